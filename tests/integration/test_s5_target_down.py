"""S5: a target that is stopped, hangs, is slow or answers errors is nothing to the application;
a source that is stopped is an error of the source's own kind, and no phantom write."""

import time

import chromadb
import httpx
import pytest
from chromadb.config import Settings

import sides
from history import now
from journey import Journey
from relay import Relay
from workload import separate_client


def p99(workload, since, until, kind):
    return workload.latencies.percentile(0.99, kind=kind, since=since, until=until)


@pytest.fixture
def relay(pgvector):
    relay = Relay(pgvector.port)
    yield relay
    relay.close()


def application_beside(chroma, make_workload):
    """Another one, half as busy, that asks the source itself, in a tenant that vmproxy does not look into."""
    admin = chromadb.AdminClient(Settings(
        chroma_api_impl="chromadb.api.fastapi.FastAPI", chroma_server_host="127.0.0.1", chroma_server_http_port=chroma.port,
        anonymized_telemetry=False))
    admin.create_tenant("beside")
    admin.create_database("beside", tenant="beside")
    workload = make_workload(chroma.port, client={"tenant": "beside", "database": "beside"}, writers=4, readers=2, write_rate=25.0)
    workload.preload(separate_client("127.0.0.1", chroma.port, tenant="beside", database="beside"), fraction=0.1)
    return workload


@pytest.mark.long
@pytest.mark.parametrize("reads_percent", [0, 100])
def test_a_bad_target_is_nothing_to_the_application(reads_percent, chroma, pgvector, relay, make_vmproxy,
                                                     make_workload, scale):
    source = {"system": "chroma", "url": chroma.url}
    target = {"system": "pgvector", "url": pgvector.url.replace(str(pgvector.port), str(relay.port))}
    vmproxy = make_vmproxy(source, target)
    workload = make_workload(vmproxy.port)
    workload.preload(chroma.client(), fraction=0.1)
    beside = application_beside(chroma, make_workload)
    journey = Journey(vmproxy, workload, chroma, lambda: sides.chroma_records(chroma, "packages"),
                      lambda: sides.pgvector_records(pgvector, "packages"), {})
    workload.start()
    beside.start()
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
    beside.stop()
    workload.assert_clean()
    beside.assert_clean()
    assert vmproxy.status()["quarantined"] == 0

    for kind in ("write", "read"):
        # The machine has other work too, and not always as much: usual is the slowest of the times without an outage, and what
        # the source itself takes meanwhile.
        base = max(p99(workload, began, ended, kind) for began, ended in usual)
        for name, (began, ended) in outages.items():
            worst, direct = p99(workload, began, ended, kind), p99(beside, began, ended, kind)
            print(f"{kind} p99 {base * 1e3:.0f} ms usually, {worst * 1e3:.0f} ms when the target {name}, {direct * 1e3:.0f} ms "
                  f"without vmproxy")
            assert worst <= 2 * max(base, direct) + 0.15, f"{kind}s are slower when the target {name}"


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


def test_a_source_that_hangs_until_the_client_gives_up_leaves_no_phantom(chroma, pgvector, vmproxy, make_workload):
    """The write's fate is unknown while the source hangs; afterwards both sides agree on it."""
    workload = make_workload(vmproxy.port)
    workload.preload(chroma.client(), fraction=0.05)
    vmproxy.command("start", timeout=300)
    base = f"{vmproxy.url}/api/v2/tenants/default_tenant/databases/default_database/collections"
    collection = httpx.get(f"{base}/packages").json()["id"]
    chroma.suspend()
    try:
        with pytest.raises(httpx.TimeoutException):
            httpx.post(f"{base}/{collection}/upsert", json={"ids": ["late"], "embeddings": [[0.5] * 64]}, timeout=2)
    finally:
        chroma.resume()
    assert httpx.post(f"{base}/{collection}/upsert",
                      json={"ids": ["after"], "embeddings": [[0.25] * 64]}).status_code == 200
    vmproxy.wait_drained()
    assert sides.differences(sides.chroma_records(chroma, "packages"),
                             sides.pgvector_records(pgvector, "packages")) == []
