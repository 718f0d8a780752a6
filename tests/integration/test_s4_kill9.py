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


@pytest.mark.long
@pytest.mark.timeout(1500)
def test_twenty_kills(journey, chroma, scale, seed):
    vmproxy, workload = journey.vmproxy, journey.workload
    workload.preload(chroma.client())
    workload.start()
    journey.go_on()

    kills = scale(20, 4)
    killer = Killer(vmproxy, seed, kills).start()
    rounds = 0
    try:
        while not killer.done:  # round and round until all kills are spent
            rounds += 1
            drive(vmproxy, lambda s: s["state"] in AFTER_READY, "start", begun=has_begun, timeout=600)
            for percent in (10, 50, 100):
                drive(vmproxy, lambda s, p=percent: s["reads_percent"] == p, "cutover", "--percent", str(percent))
                journey.go_on()
            drive(vmproxy, lambda s: s["primary"] == "target", "promote")
            journey.go_on()
            drive(vmproxy, lambda s: s["primary"] == "source", "rollback", "--reason", "another round")
            journey.go_on()
        killer.finish()
    finally:
        killer.cancel()

    journey.go_on()
    journey.assert_equal_sides()
    drive(vmproxy, lambda s: s["state"] == "ready", "start", begun=has_begun)
    vmproxy.command("cutover", "--percent", "100")
    journey.promote()
    journey.assert_equal_sides()
    journey.finalize()
    assert killer.outside(workload.tolerated) == [], "connection errors while vmproxy was alive"
    assert vmproxy.starts == kills + 1
    print(f"{rounds} rounds; serving again after {max(killer.recoveries):.2f} s at most")
