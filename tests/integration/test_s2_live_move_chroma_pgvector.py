"""S2: an application that never stops moves from Chroma to pgvector, back, and there for good."""

import sides


def assert_equal_sides(vmproxy, workload, chroma, pgvector, name="packages"):
    """Record by record, read directly from both databases, while no write is under way."""
    with workload.writers_paused():
        vmproxy.wait_drained()
        left, right = sides.chroma_records(chroma, name), sides.pgvector_records(pgvector, name)
        assert sides.differences(left, right) == []
        assert sides.illegal_final(workload.history, left) == []
        assert len(left) > 0


def test_live_move_and_back_and_again(chroma, pgvector, vmproxy, make_workload, scale):
    some = {"writes": scale(400, 40), "reads": scale(400, 40)}
    workload = make_workload(vmproxy.port)
    preloaded = workload.preload(chroma.client())
    workload.start()
    workload.wait_for(**some)

    vmproxy.command("start", timeout=900)
    status = vmproxy.status()
    assert status["state"] == "ready", status
    assert status["backfill"]["records"] >= preloaded * 0.5, status
    workload.wait_for(**some)

    for percent in (10, 50, 100):
        vmproxy.command("cutover", "--percent", str(percent))
        assert vmproxy.status()["reads_percent"] == percent
        before = vmproxy.metric("requests_total", side="target")
        workload.wait_for(**some)
        assert vmproxy.metric("requests_total", side="target") > before, "no read went to the target"
    assert vmproxy.state() == "reads_moved"

    vmproxy.command("promote")
    status = vmproxy.status()
    assert (status["state"], status["primary"]) == ("promoted", "target"), status
    workload.wait_for(**some)
    assert_equal_sides(vmproxy, workload, chroma, pgvector)

    vmproxy.command("rollback", "--reason", "a test of the way back")
    status = vmproxy.status()
    assert (status["primary"], status["reads_percent"]) == ("source", 0), status
    assert status["state"] in ("ready", "mirroring"), status
    workload.wait_for(**some)
    assert_equal_sides(vmproxy, workload, chroma, pgvector)

    vmproxy.wait(lambda s: s["state"] == "ready", 120, "ready again after the rollback")
    vmproxy.command("cutover", "--percent", "100")
    workload.wait_for(**some)
    vmproxy.command("promote")
    workload.wait_for(**some)
    assert_equal_sides(vmproxy, workload, chroma, pgvector)

    vmproxy.command("finalize")
    assert vmproxy.state() == "finalized"
    workload.wait_for(**some)
    chroma.stop()
    workload.wait_for(**some)
    workload.stop()
    workload.assert_clean()
    assert sides.illegal_final(workload.history, sides.pgvector_records(pgvector, "packages")) == []
    print(f"writes p50 {workload.latencies.percentile(0.5, kind='write') * 1e3:.1f} ms, "
          f"p99 {workload.latencies.percentile(0.99, kind='write') * 1e3:.1f} ms, "
          f"longest {workload.latencies.longest(kind='write') * 1e3:.0f} ms")
