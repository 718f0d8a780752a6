"""S4: S2's load and journey with vmproxy killed (-9) twenty times at random moments."""

import pytest

import sides
from chaos import Killer, drive
from journey import Journey

AFTER_READY = {"ready", "canary", "reads_moved", "promoted", "finalized"}


def has_begun(status) -> bool:
    """Whatever was killed on the way to ready goes on by itself; a change of the primary that was killed before it was
    decided is taken back, and a person asks for it again."""
    return status["state"] != "created"


@pytest.fixture
def journey(chroma, pgvector, vmproxy, make_workload, scale):
    workload = make_workload(vmproxy.port, tolerate_connection_errors=True)
    return Journey(vmproxy, workload, chroma, lambda: sides.chroma_records(chroma, "packages"),
                   lambda: sides.pgvector_records(pgvector, "packages"),
                   {"writes": scale(150, 20), "reads": scale(150, 20), "timeout": 300})


# How many of the kills fall into which part of the way: after each, the target is not asked for some seconds (H57), so that
# twenty in a row would all meet the copy.
KILLS = {"start": 5, "10 %": 2, "50 %": 2, "100 %": 2, "promote": 4, "rollback": 3, "start again": 2}


@pytest.mark.long
@pytest.mark.timeout(1500)
def test_twenty_kills(journey, chroma, scale, seed):
    vmproxy, workload = journey.vmproxy, journey.workload
    workload.preload(chroma.client())
    workload.start()
    journey.go_on()
    killer = Killer(vmproxy, seed, 0)

    def killed_in(part, reached, *command, **options):
        """At random moments from the command on, until it is done and the application has gone on after it."""
        killer.again(scale(KILLS[part], 1))
        drive(vmproxy, reached, *command, **options)
        journey.go_on()
        killer.finish()
        drive(vmproxy, reached, *command, **options)  # a kill takes back what was not decided yet
        journey.go_on()

    try:
        killed_in("start", lambda s: s["state"] in AFTER_READY, "start", begun=has_begun)
        for percent in (10, 50, 100):
            killed_in(f"{percent} %", lambda s, p=percent: s["reads_percent"] == p, "cutover", "--percent", str(percent))
        killed_in("promote", lambda s: s["primary"] == "target", "promote")
        killed_in("rollback", lambda s: s["primary"] == "source", "rollback", "--reason", "another round")
        journey.assert_equal_sides()
        killed_in("start again", lambda s: s["state"] == "ready", "start", begun=has_begun)
    finally:
        killer.cancel()
    journey.assert_equal_sides()
    vmproxy.command("cutover", "--percent", "100")
    journey.promote()
    journey.assert_equal_sides()
    journey.finalize()
    assert killer.outside(workload.tolerated) == [], "connection errors while vmproxy was alive"
    assert vmproxy.starts == sum(scale(kills, 1) for kills in KILLS.values()) + 1
    print(f"serving again after {max(killer.recoveries):.2f} s at most")
