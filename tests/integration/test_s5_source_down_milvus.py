"""S5, Milvus: with the source stopped the application gets gRPC's UNAVAILABLE, and no write reaches the target that the
application was not told of."""

import time

import grpc
import pytest
from pymilvus.grpc_gen import milvus_pb2

from milvus_raw import Raw
from servers.base import wait_until
from vmproxy import milvus_to_pgvector

UNAVAILABLE = grpc.StatusCode.UNAVAILABLE


def target_keys(pgvector) -> list:
    with pgvector.client() as connection:
        return sorted(row[0] for row in connection.execute("select id from public.things").fetchall())


@pytest.mark.parametrize("state", ["created", "mirroring"])
def test_source_stopped(state, milvus, pgvector, make_vmproxy):
    vmproxy = make_vmproxy(*milvus_to_pgvector(milvus, pgvector), dialect="milvus")
    with Raw(vmproxy.port) as application:
        application.create()
        if state == "mirroring":
            vmproxy.command("start", "--until", "mirroring")
        assert application.insert([1, 2, 3]).status.code == 0
        if state == "mirroring":
            vmproxy.wait_drained()
            assert target_keys(pgvector) == [1, 2, 3]
        milvus.kill9()

        began = time.monotonic()
        assert application.list() == UNAVAILABLE
        assert application.query() == UNAVAILABLE
        assert application.insert([4, 5]) == UNAVAILABLE
        assert application.call("Delete", milvus_pb2.DeleteRequest(collection_name="things", expr="id in [1]")) == UNAVAILABLE
        assert application.call("Delete", milvus_pb2.DeleteRequest(collection_name="things", expr="id > 0")) == UNAVAILABLE
        assert application.call("DropCollection", milvus_pb2.DropCollectionRequest(collection_name="things")) == UNAVAILABLE
        assert time.monotonic() - began < 20, "an error at once, not when a deadline ends"
        if state == "mirroring":
            vmproxy.wait(lambda s: s["lag"]["changes"] == 0, 60, "every change to be done or dropped")
            assert target_keys(pgvector) == [1, 2, 3]

        # The same proxy goes on by itself.
        milvus.start()
        # Milvus loads its collections again by and by. Until then it says of reads that it does not, in a message of its own or,
        # while its parts still look for each other, by a status of gRPC.
        def loaded() -> bool:
            answer = application.query()
            return not isinstance(answer, grpc.StatusCode) and answer.status.code == 0
        wait_until(loaded, 60, "Milvus to have loaded again")
        assert application.keys() == [1, 2, 3]
        assert application.insert([6]).status.code == 0
        assert application.keys() == [1, 2, 3, 6]
        if state == "mirroring":
            vmproxy.wait_drained()
            assert target_keys(pgvector) == [1, 2, 3, 6]
        assert vmproxy.status()["gaps"] == 0
