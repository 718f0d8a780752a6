"""A Milvus collection whose keys Milvus makes up (auto_id): only its answers name what the application inserts."""

import numpy
import pytest

import sides
from milvus_workload import separate_client
from servers import create
from vmproxy import milvus_to_pgvector


@pytest.fixture
def milvus():
    with create("milvus") as server:
        yield server


def rows(first: int, last: int) -> list:
    return [{"vector": numpy.full(4, n, dtype="float32").tolist(), "text": f"text {n}"} for n in range(first, last)]


@pytest.mark.timeout(600)
def test_inserts_of_a_live_application_come_over(milvus, pgvector, make_vmproxy):
    from pymilvus import DataType
    client = separate_client("127.0.0.1", milvus.port)
    schema = client.create_schema(auto_id=True, enable_dynamic_field=False)
    schema.add_field("id", DataType.INT64, is_primary=True, auto_id=True)
    schema.add_field("vector", DataType.FLOAT_VECTOR, dim=4)
    schema.add_field("text", DataType.VARCHAR, max_length=100)
    index = client.prepare_index_params()
    index.add_index("vector", index_type="FLAT", metric_type="L2")
    client.create_collection("made", schema=schema, index_params=index, consistency_level="Strong")
    keys = list(client.insert("made", rows(0, 50))["ids"])
    vmproxy = make_vmproxy(*milvus_to_pgvector(milvus, pgvector), dialect="milvus")
    vmproxy.command("start", timeout=300)
    live = separate_client("127.0.0.1", vmproxy.port)
    keys += live.insert("made", rows(50, 80))["ids"]
    keys += live.insert("made", rows(80, 81))["ids"]
    status = vmproxy.wait_drained()
    assert status["gaps"] == 0, status
    found = sides.pgvector_rows(pgvector, "made")
    assert sorted(found) == sorted(keys)
    assert {row["text"] for row in found.values()} == {f"text {n}" for n in range(81)}
    live.close()
    client.close()
