"""S3: the journey of S2 with Milvus on either side: an application on the official Milvus SDK moves to
Chroma and to pgvector, one on the Chroma SDK moves to Milvus; back, and there for good."""

import pytest

import sides
from journey import Journey
from milvus_workload import MilvusWorkload, milvus_records, separate_client
from servers import create


@pytest.fixture
def milvus():
    with create("milvus") as server:
        yield server


@pytest.fixture
def some(scale):
    return {"writes": scale(200, 40), "reads": scale(200, 40), "timeout": 300}


def database(server):
    return {"system": server.name, "url": server.url}


# Each side's records in the application's terms: {key: (vector, text, the other fields)}.

def in_milvus(server):
    client = separate_client("127.0.0.1", server.port)
    try:
        return milvus_records(client, "packages")
    finally:
        client.close()


def milvus_in_chroma(server):
    found = {}
    for key, (vector, _, metadata) in sides.chroma_records(server, "packages").items():
        found[int(key)] = (vector, metadata.pop("text"), metadata)
    return found


def milvus_in_pgvector(server):
    found = {}
    for key, row in sides.pgvector_rows(server, "packages").items():
        assert row.pop("partition", "") == ""  # part of the key
        found[key] = (row.pop("vector"), row.pop("text"), {**(row.pop("metadata") or {}), **row})
    return found


def chroma_in_milvus(server):
    client = separate_client("127.0.0.1", server.port)
    try:
        rows = sides.milvus_rows(client, "packages")
    finally:
        client.close()
    return {key: (row.pop("vector"), row.pop("document", None), row) for key, row in rows.items()}


# What Milvus and another database can follow on two cores beside the other tests; how fast they can, is bench/'s to say.
WRITE_RATE = 25.0

# Where Milvus is asked, a read that sees every acknowledged write waits for its time tick (0.2 s), and three of them stand in
# the fence. What it comes to on a quiet machine is bench/'s to say; here it must stay within promotion.fence_max.
PAUSE_MAX = 2.5


def move_from_milvus(milvus, target, read_target, make_vmproxy, corpus, seed, some):
    vmproxy = make_vmproxy(database(milvus), database(target), dialect="milvus")
    workload = MilvusWorkload(lambda: separate_client("127.0.0.1", vmproxy.port), corpus, seed=seed,
                              write_rate=WRITE_RATE)
    try:
        journey = Journey(vmproxy, workload, milvus, lambda: in_milvus(milvus), lambda: read_target(target), some,
                          pause_max=PAUSE_MAX, reads_from=100)
        journey.run(workload.preload(separate_client("127.0.0.1", milvus.port)))
    finally:
        workload.stop()
        print(workload.summary())


# The longest begins first: of two workers that have two each at once, the other one gets what is left over.
@pytest.mark.live
@pytest.mark.timeout(1800)
def test_chroma_to_milvus(chroma, milvus, make_vmproxy, make_workload, some):
    vmproxy = make_vmproxy(database(chroma), database(milvus))
    workload = make_workload(vmproxy.port, write_rate=WRITE_RATE)
    journey = Journey(vmproxy, workload, chroma, lambda: sides.chroma_records(chroma, "packages"),
                      lambda: chroma_in_milvus(milvus), some, pause_max=PAUSE_MAX, reads_from=100)
    journey.run(workload.preload(chroma.client()))


@pytest.mark.live
@pytest.mark.timeout(1800)
def test_milvus_to_chroma(milvus, chroma, make_vmproxy, corpus, seed, some):
    move_from_milvus(milvus, chroma, milvus_in_chroma, make_vmproxy, corpus, seed, some)


@pytest.mark.live
@pytest.mark.timeout(1800)
def test_milvus_to_pgvector(milvus, pgvector, make_vmproxy, corpus, seed, some):
    move_from_milvus(milvus, pgvector, milvus_in_pgvector, make_vmproxy, corpus, seed, some)
