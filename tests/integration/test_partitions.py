"""Milvus collections with partitions: deletes that name none, partitions made after the promotion, released, dropped."""

import json

import numpy
import pytest

from milvus_workload import separate_client
from servers import create
from vmproxy import milvus_to_pgvector


@pytest.fixture
def milvus():
    with create("milvus") as server:
        yield server


def rows(*keys: int) -> list:
    return [{"id": n, "vector": numpy.full(4, n, dtype="float32").tolist(), "size": n} for n in keys]


def on_replica(pgvector) -> set:
    with pgvector.client() as connection:
        return set(connection.execute('select partition, id from public.parted').fetchall())


def on_source(client, *partitions: str) -> set:
    found = set()
    for name in partitions:
        answer = client.query("parted", filter="id >= 0", output_fields=["id"], partition_names=[name],
                              consistency_level="Strong")
        found |= {("" if name == "_default" else name, row["id"]) for row in answer}
    return found


def in_chroma(chroma) -> set:
    return set(chroma.client().get_collection("parted", embedding_function=None).get(include=[])["ids"])


def answered_by_target(vmproxy, live, *keys: int) -> set:
    before = vmproxy.metric("requests_total", side="target")
    found = {row["id"] for row in live.query("parted", ids=list(keys), output_fields=["id"])}
    assert vmproxy.metric("requests_total", side="target") > before
    return found


def create_unparted(client) -> None:
    """Records 1 to 4 in the default partition, the only one."""
    from pymilvus import DataType
    schema = client.create_schema(auto_id=False, enable_dynamic_field=False)
    schema.add_field("id", DataType.INT64, is_primary=True)
    schema.add_field("vector", DataType.FLOAT_VECTOR, dim=4)
    schema.add_field("size", DataType.INT64)
    index = client.prepare_index_params()
    index.add_index("vector", index_type="FLAT", metric_type="L2")
    client.create_collection("parted", schema=schema, index_params=index, consistency_level="Strong")
    client.insert("parted", rows(1, 2, 3, 4))


def create_parted(client) -> None:
    """And 5 to 8 in "p"."""
    create_unparted(client)
    client.create_partition("parted", "p")
    client.insert("parted", rows(5, 6, 7, 8), partition_name="p")


@pytest.fixture
def moving(milvus, pgvector, make_vmproxy):
    """(a client of the source, vmproxy, a client of vmproxy), with everything copied."""
    client = separate_client("127.0.0.1", milvus.port)
    create_parted(client)
    vmproxy = make_vmproxy(*milvus_to_pgvector(milvus, pgvector), dialect="milvus")
    vmproxy.command("start", timeout=300)
    assert on_replica(pgvector) == {("", n) for n in (1, 2, 3, 4)} | {("p", n) for n in (5, 6, 7, 8)}
    live = separate_client("127.0.0.1", vmproxy.port)
    yield client, vmproxy, live
    live.close()
    client.close()


@pytest.mark.timeout(600)
def test_deletes_without_a_partition_come_over(moving, pgvector):
    _, vmproxy, live = moving
    live.create_partition("parted", "later")
    live.insert("parted", rows(9, 10), partition_name="later")
    live.delete("parted", ids=[1, 5, 9, 77])
    live.delete("parted", filter="size in [2, 6, 10]")
    live.delete("parted", ids=[3, 7], partition_name="p")
    status = vmproxy.wait_drained()
    assert status["gaps"] == 0, status
    assert on_replica(pgvector) == {("", 3), ("", 4), ("p", 8)}
    compared = vmproxy.run("validate", "--full")
    assert compared.returncode == 0, compared


@pytest.mark.timeout(600)
def test_a_partition_made_after_the_promotion_goes_back_with_its_records(moving, pgvector):
    client, vmproxy, live = moving
    live.query("parted", ids=[1])  # whom the source has let in is let in later
    vmproxy.command("cutover", "--percent", "100")
    vmproxy.wait_drained()
    live.query("parted", ids=[1])  # one read has to be tried before
    vmproxy.command("promote")
    live.create_partition("parted", "p2")
    live.insert("parted", rows(20))
    live.insert("parted", rows(21), partition_name="p2")
    assert on_replica(pgvector) >= {("", 20), ("p2", 21)}
    vmproxy.wait_drained()
    vmproxy.command("rollback")
    assert vmproxy.status()["primary"] == "source"
    assert on_source(client, "_default", "p", "p2") == {("", n) for n in (1, 2, 3, 4, 20)} | \
        {("p", n) for n in (5, 6, 7, 8)} | {("p2", 21)}


@pytest.mark.timeout(600)
def test_a_partition_that_the_application_dropped_is_no_obstacle(moving, pgvector):
    client, vmproxy, live = moving
    live.release_partitions("parted", ["p"])
    live.drop_partition("parted", "p")
    vmproxy.wait(lambda status: status["gaps"] == 1, 30, "the gap that the drop leaves")
    # The mirror goes on, and reads what it has to.
    live.insert("parted", rows(9))
    vmproxy.wait_drained()
    assert ("", 9) in on_replica(pgvector)
    repaired = vmproxy.run("validate", "--full", "--repair")
    assert repaired.returncode in (0, 4), repaired
    vmproxy.wait_drained()
    compared = vmproxy.run("validate", "--full", "--repair")
    assert compared.returncode == 0, compared
    status = vmproxy.status()
    assert status["gaps"] == 0, json.dumps(status)
    assert on_replica(pgvector) == {("", n) for n in (1, 2, 3, 4, 9)}


@pytest.mark.timeout(600)
def test_a_released_partition_stays_released(moving):
    _, vmproxy, live = moving
    live.release_partitions("parted", ["p"])
    live.delete("parted", ids=[1, 5])  # what it reaches in there cannot be listed, so it is a gap
    vmproxy.wait(lambda status: status["gaps"] > 0, 30, "the gap that the delete leaves")
    live.drop_partition("parted", "p")  # Milvus drops none that is loaded


@pytest.mark.timeout(600)
def test_what_is_written_to_a_released_partition_waits_in_quarantine(moving, pgvector):
    _, vmproxy, live = moving
    live.release_partitions("parted", ["p"])
    live.insert("parted", rows(9), partition_name="p")
    live.insert("parted", rows(10))
    status = vmproxy.wait_drained(60)
    assert status["quarantined"] == 1, status
    assert ("", 10) in on_replica(pgvector)
    assert ("p", 9) not in on_replica(pgvector)
    listed = vmproxy.command("quarantine", "list")
    assert "partition 'p' of collection 'parted' is released" in listed, listed
    assert "vmproxy quarantine retry" in listed, listed
    live.load_partitions("parted", ["p"])
    vmproxy.command("quarantine", "retry")
    vmproxy.wait(lambda now: now["quarantined"] == 0, 60, "the record to come over")
    assert ("p", 9) in on_replica(pgvector)


def mend(vmproxy) -> None:
    """One full comparison repairs, the next finds nothing."""
    vmproxy.wait_drained()
    repaired = vmproxy.run("validate", "--full", "--repair")
    assert repaired.returncode == 4, repaired
    vmproxy.wait_drained()
    compared = vmproxy.run("validate", "--full", "--repair")
    assert compared.returncode == 0, compared
    assert vmproxy.status()["gaps"] == 0


@pytest.mark.timeout(600)
def test_the_first_partition_and_the_end_of_the_last_give_records_other_ids_in_chroma(milvus, chroma, make_vmproxy):
    client = separate_client("127.0.0.1", milvus.port)
    create_unparted(client)
    client.close()
    vmproxy = make_vmproxy({"system": "milvus", "url": milvus.url}, {"system": "chroma", "url": chroma.url},
                           dialect="milvus")
    vmproxy.command("start", timeout=300)
    assert in_chroma(chroma) == {"1", "2", "3", "4"}
    live = separate_client("127.0.0.1", vmproxy.port)
    live.query("parted", ids=[1])  # whom the source has let in is let in later
    vmproxy.command("cutover", "--percent", "100")
    assert answered_by_target(vmproxy, live, 1, 4) == {1, 4}

    live.create_partition("parted", "p")
    live.insert("parted", rows(5), partition_name="p")
    assert vmproxy.status()["gaps"] > 0
    assert {row["id"] for row in live.query("parted", ids=[1, 4], output_fields=["id"])} == {1, 4}
    mend(vmproxy)
    assert in_chroma(chroma) == {":1", ":2", ":3", ":4", "p:5"}
    assert answered_by_target(vmproxy, live, 1, 4, 5) == {1, 4, 5}

    live.release_partitions("parted", ["p"])
    live.drop_partition("parted", "p")
    assert vmproxy.status()["gaps"] > 0
    mend(vmproxy)
    assert in_chroma(chroma) == {"1", "2", "3", "4"}
    assert answered_by_target(vmproxy, live, 1, 4, 5) == {1, 4}
    live.close()
