"""A Milvus collection with partitions: a delete that names no partition reaches the record wherever it is."""

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


@pytest.mark.timeout(600)
def test_deletes_without_a_partition_come_over(milvus, pgvector, make_vmproxy):
    from pymilvus import DataType
    client = separate_client("127.0.0.1", milvus.port)
    schema = client.create_schema(auto_id=False, enable_dynamic_field=False)
    schema.add_field("id", DataType.INT64, is_primary=True)
    schema.add_field("vector", DataType.FLOAT_VECTOR, dim=4)
    schema.add_field("size", DataType.INT64)
    index = client.prepare_index_params()
    index.add_index("vector", index_type="FLAT", metric_type="L2")
    client.create_collection("parted", schema=schema, index_params=index, consistency_level="Strong")
    client.create_partition("parted", "p")
    client.insert("parted", rows(1, 2, 3, 4))
    client.insert("parted", rows(5, 6, 7, 8), partition_name="p")
    vmproxy = make_vmproxy(*milvus_to_pgvector(milvus, pgvector), dialect="milvus")
    vmproxy.command("start", timeout=300)
    assert on_replica(pgvector) == {("", n) for n in (1, 2, 3, 4)} | {("p", n) for n in (5, 6, 7, 8)}
    live = separate_client("127.0.0.1", vmproxy.port)
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
    live.close()
    client.close()
