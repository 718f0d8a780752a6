"""S5: a target that is stopped, hangs, is slow or answers errors is nothing to the application;
a source that is stopped is an error of the source's own kind, and no phantom write."""

import time

import httpx
import pytest

import sides
from history import now
from journey import Journey
from relay import Relay

# net/server.h, request_timeout: of a request that brings no deadline of its own. No setting changes it.
REQUEST_TIMEOUT = 120


def p99(workload, since, until, kind):
    return workload.latencies.percentile(0.99, kind=kind, since=since, until=until)


@pytest.fixture
def relay(pgvector):
    relay = Relay(pgvector.port)
    yield relay
    relay.close()


@pytest.mark.long
@pytest.mark.parametrize("reads_percent", [0, 100])
def test_a_bad_target_is_nothing_to_the_application(reads_percent, chroma, pgvector, relay, make_vmproxy,
                                                     make_workload, scale):
    source = {"system": "chroma", "url": chroma.url}
    target = {"system": "pgvector", "url": pgvector.url.replace(str(pgvector.port), str(relay.port))}
    vmproxy = make_vmproxy(source, target)
    workload = make_workload(vmproxy.port)
    workload.preload(chroma.client(), fraction=0.1)
    journey = Journey(vmproxy, workload, chroma, lambda: sides.chroma_records(chroma, "packages"),
                      lambda: sides.pgvector_records(pgvector, "packages"), {})
    workload.start()
    vmproxy.command("start", timeout=600)
    journey.assert_equal_sides()
    if reads_percent:
        vmproxy.command("cutover", "--percent", str(reads_percent))
    workload.wait_for(writes=scale(100, 20), reads=scale(100, 20))

    def lasts(seconds=scale(6, 4)):
        """The outage takes its time; this is its length, not a synchronisation."""
        began = now()
        time.sleep(seconds)
        workload.assert_clean()
        return began, now()

    usual = [lasts()]
    outages = {}
    pgvector.suspend()
    outages["hangs"] = lasts()
    pgvector.resume()
    journey.assert_equal_sides()

    pgvector.kill9()
    relay.cut()
    outages["is stopped"] = lasts(scale(30, 4))
    lag = vmproxy.status()["lag"]["changes"]
    assert lag > 0, "writes went on, so something is owed"
    pgvector.start()
    journey.assert_equal_sides()
    usual.append(lasts())

    relay.delay = 0.1
    outages["is slow"] = lasts()
    relay.delay = 0.0
    journey.assert_equal_sides()

    with pgvector.client() as connection:
        connection.execute("alter system set default_transaction_read_only = on")
        connection.execute("select pg_reload_conf()")
    outages["answers errors"] = lasts()
    with pgvector.client() as connection:
        connection.execute("set default_transaction_read_only = off")
        connection.execute("alter system reset default_transaction_read_only")
        connection.execute("select pg_reload_conf()")
    journey.assert_equal_sides()
    usual.append(lasts())
    workload.stop()
    workload.assert_clean()
    assert vmproxy.status()["quarantined"] == 0

    for kind in ("write", "read"):
        # The machine has other work too, and not always as much: usual is the slowest of the times without an outage.
        base = max(p99(workload, began, ended, kind) for began, ended in usual)
        for name, (began, ended) in outages.items():
            worst = p99(workload, began, ended, kind)
            print(f"{kind} p99 {base * 1e3:.0f} ms usually, {worst * 1e3:.0f} ms when the target {name}")
            assert worst <= 2 * base + 0.15, f"{kind}s are slower when the target {name}"


def test_a_dead_source_is_an_error_of_its_kind_and_no_phantom_write(chroma, pgvector, vmproxy, make_workload):
    workload = make_workload(vmproxy.port)
    workload.preload(chroma.client(), fraction=0.05)
    vmproxy.command("start", timeout=300)
    base = f"{vmproxy.url}/api/v2/tenants/default_tenant/databases/default_database/collections"
    collection = httpx.get(f"{base}/packages").json()["id"]
    zeros = [0.5] * 64

    chroma.stop()
    for path, body in (("upsert", {"ids": ["phantom"], "embeddings": [zeros]}), ("get", {"ids": ["phantom"]}),
                       ("delete", {"ids": ["phantom", "0ad"]})):
        answer = httpx.post(f"{base}/{collection}/{path}", json=body, timeout=30)
        assert answer.status_code == 503, answer.text
        assert answer.headers["content-type"].startswith("application/json")
        assert set(answer.json()) == {"error", "message"}, answer.text
    assert "phantom" not in sides.pgvector_records(pgvector, "packages")

    chroma.start()
    assert httpx.post(f"{base}/{collection}/upsert",
                      json={"ids": ["real"], "embeddings": [zeros]}).status_code == 200
    vmproxy.wait_drained()
    left, right = sides.chroma_records(chroma, "packages"), sides.pgvector_records(pgvector, "packages")
    assert "real" in right and "phantom" not in right
    assert sides.differences(left, right) == []


@pytest.mark.long
@pytest.mark.timeout(600)
def test_a_hanging_source_is_answered_within_the_deadline_and_leaves_no_phantom(chroma, pgvector, vmproxy, make_workload):
    """The write's fate is unknown while the source hangs; afterwards both sides agree on it."""
    workload = make_workload(vmproxy.port)
    workload.preload(chroma.client(), fraction=0.05)
    vmproxy.command("start", timeout=300)
    base = f"{vmproxy.url}/api/v2/tenants/default_tenant/databases/default_database/collections"
    collection = httpx.get(f"{base}/packages").json()["id"]
    chroma.suspend()
    try:
        began = now()
        answer = httpx.post(f"{base}/{collection}/upsert", json={"ids": ["late"], "embeddings": [[0.5] * 64]},
                            timeout=REQUEST_TIMEOUT + 60)
        took = now() - began
        # vmproxy's answer in Chroma's shape, and not the client's patience, ends it.
        assert answer.status_code == 504, answer.text
        assert answer.json()["error"] == "ChromaError" and "deadline" in answer.json()["message"], answer.text
        assert REQUEST_TIMEOUT - 5 < took < REQUEST_TIMEOUT + 10
    finally:
        chroma.resume()
    assert httpx.post(f"{base}/{collection}/upsert",
                      json={"ids": ["after"], "embeddings": [[0.25] * 64]}).status_code == 200
    vmproxy.wait_drained()
    assert sides.differences(sides.chroma_records(chroma, "packages"),
                             sides.pgvector_records(pgvector, "packages")) == []
