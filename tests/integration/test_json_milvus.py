"""Milvus takes JSON that cannot be carried exactly: such a record is named in quarantine, and the others move."""

import pytest
from pymilvus.grpc_gen import schema_pb2

from milvus_raw import Raw, upsertion
from milvus_workload import separate_client
from vmproxy import milvus_to_pgvector

WHOLE = b'{"mark": "whole"}'
HALF = rb'{"mark": "\ud83d"}'  # of a surrogate pair, as JavaScript's JSON.stringify writes it


def create_documents(port: int) -> None:
    from pymilvus import DataType
    client = separate_client("127.0.0.1", port)
    schema = client.create_schema(auto_id=False, enable_dynamic_field=False)
    schema.add_field("id", DataType.INT64, is_primary=True)
    schema.add_field("vector", DataType.FLOAT_VECTOR, dim=4)
    schema.add_field("info", DataType.JSON)
    index = client.prepare_index_params()
    index.add_index("vector", index_type="FLAT", metric_type="L2")
    client.create_collection("documents", schema=schema, index_params=index, consistency_level="Strong")
    client.close()


def write(port: int, documents: dict) -> None:
    """The JSON goes as it is: an SDK would make another text of it."""
    message = upsertion(Raw.insertion(list(documents), "documents"))
    message.fields_data.extend([schema_pb2.FieldData(
        type=schema_pb2.JSON, field_name="info",
        scalars=schema_pb2.ScalarField(json_data=schema_pb2.JSONArray(data=list(documents.values()))))])
    with Raw(port) as application:
        answer = application.call("Upsert", message)
        assert answer.status.code == 0, answer


def on_replica(pgvector) -> set:
    with pgvector.client() as connection:
        return {key for key, in connection.execute("select id from public.documents").fetchall()}


def in_quarantine(vmproxy) -> set:
    """(key, whether it is said what is wrong with it)"""
    rows = [line.split("\t") for line in vmproxy.command("quarantine", "list").splitlines()]
    return {(row[3], "field 'info': holds JSON that cannot be carried exactly" in row[4]) for row in rows}


@pytest.mark.timeout(600)
def test_a_record_with_json_that_cannot_be_carried_is_named_and_the_others_move(milvus, pgvector, make_vmproxy):
    create_documents(milvus.port)
    write(milvus.port, {1: WHOLE, 2: HALF, 3: WHOLE})
    vmproxy = make_vmproxy(*milvus_to_pgvector(milvus, pgvector), dialect="milvus")
    started = vmproxy.run("start", timeout=300)
    assert started.returncode == 4 and "quarantine list" in started.stderr, started
    vmproxy.wait_drained(60)
    assert on_replica(pgvector) == {1, 3}
    assert in_quarantine(vmproxy) == {("2", True)}

    write(vmproxy.port, {3: HALF, 4: HALF, 5: WHOLE})
    write(vmproxy.port, {6: WHOLE})
    vmproxy.wait_drained(60)
    assert on_replica(pgvector) == {1, 3, 5, 6}
    assert in_quarantine(vmproxy) == {(key, True) for key in "234"}
    compared = vmproxy.run("validate", "--full")
    assert compared.returncode == 4 and "0 different, 0 missing, 0 extra" in compared.stdout, compared

    write(vmproxy.port, {2: WHOLE, 3: WHOLE, 4: WHOLE})
    vmproxy.wait_drained(60)
    vmproxy.command("quarantine", "retry")
    vmproxy.wait(lambda now: now["quarantined"] == 0, 60, "the records to come over")
    assert on_replica(pgvector) == {1, 2, 3, 4, 5, 6}
    compared = vmproxy.run("validate", "--full")
    assert compared.returncode == 0, compared
