"""S4: S2's load and journey with vmproxy killed (-9) twenty times at random moments."""

import sides
from chaos import Killer, drive
from test_s2_live_move_chroma_pgvector import assert_equal_sides

AFTER_READY = {"ready", "canary", "reads_moved", "promoted", "finalized"}


def test_twenty_kills(chroma, pgvector, vmproxy, make_workload, scale, seed):
    some = {"writes": scale(200, 20), "reads": scale(200, 20), "timeout": 300}
    workload = make_workload(vmproxy.port, tolerate_connection_errors=True)
    workload.preload(chroma.client())
    workload.start()
    workload.wait_for(**some)

    killer = Killer(vmproxy, seed, kills=scale(20, 3)).start()
    try:
        rounds = 0
        while not killer.done:  # round and round until all kills are spent
            rounds += 1
            drive(vmproxy, lambda s: s["state"] in AFTER_READY, "start", timeout=900)
            for percent in (10, 50, 100):
                drive(vmproxy, lambda s, p=percent: s["reads_percent"] == p, "cutover", "--percent", str(percent))
                workload.wait_for(**some)
            drive(vmproxy, lambda s: s["primary"] == "target", "promote")
            workload.wait_for(**some)
            drive(vmproxy, lambda s: s["primary"] == "source", "rollback", "--reason", "another round")
            workload.wait_for(**some)
        killer.finish()
    finally:
        killer.cancel()

    workload.wait_for(**some)
    assert_equal_sides(vmproxy, workload, chroma, pgvector)
    drive(vmproxy, lambda s: s["state"] == "ready", "start")
    vmproxy.command("cutover", "--percent", "100")
    vmproxy.command("promote")
    workload.wait_for(**some)
    assert_equal_sides(vmproxy, workload, chroma, pgvector)
    vmproxy.command("finalize")
    chroma.stop()
    workload.wait_for(**some)
    workload.stop()
    workload.assert_clean()
    assert sides.illegal_final(workload.history, sides.pgvector_records(pgvector, "packages")) == []
    assert killer.outside(workload.tolerated) == [], "connection errors while vmproxy was alive"
    assert vmproxy.starts == scale(20, 3) + 1
    print(f"{rounds} rounds; serving again after {max(killer.recoveries):.2f} s at most")
