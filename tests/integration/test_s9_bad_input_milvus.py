"""S9, Milvus: bad input over gRPC gets Milvus' own answer before promotion and an error of the same shape after it;
nothing is lost, nothing crashes. And the REST interface on the same port: its writes are gaps that are shown."""

import base64
import re
import socket
import tempfile

import grpc
import httpx
import pytest
from pymilvus.grpc_gen import milvus_pb2

from milvus_raw import SERVICE, Raw, padded, post_frames, upsertion
from servers import create
from vmproxy import Vmproxy, milvus_to_pgvector

CODES = grpc.StatusCode
NOT_UTF8 = b"\x1a\x02\xff\xfe"  # the name of the collection, in each of these messages
MESSAGE_MAX = 64 << 20  # bytes of a message that Milvus takes


class Stage:
    """One Milvus, one PostgreSQL and one vmproxy for all bad input: it has to survive it all."""

    def __init__(self, milvus, pgvector, vmproxy):
        self.milvus, self.pgvector, self.vmproxy = milvus, pgvector, vmproxy
        self.next = 100

    def check_alive(self):
        assert self.vmproxy.running, self.vmproxy.log_tail()
        self.next += 1
        with Raw(self.vmproxy.port) as application:
            assert application.insert([self.next]).status.code == 0
            assert self.next in application.keys()
        self.vmproxy.wait_drained()
        with self.pgvector.client() as connection:
            assert connection.execute("select count(*) from public.things where id = %s", [self.next]).fetchone()[0] == 1


@pytest.fixture(scope="module")
def stage():
    with create("milvus") as milvus, create("pgvector") as pgvector, \
            tempfile.TemporaryDirectory(prefix="vmproxy-s9-") as directory:
        vmproxy = Vmproxy(directory, *milvus_to_pgvector(milvus, pgvector), dialect="milvus").start()
        with Raw(vmproxy.port) as application:
            application.create()
        vmproxy.command("start", timeout=300)
        yield Stage(milvus, pgvector, vmproxy)
        print(vmproxy.log_tail())
        assert vmproxy.starts == 1
        vmproxy.stop()


def both(stage, ask):
    """The same question to Milvus itself and through vmproxy."""
    with Raw(stage.milvus.port) as direct, Raw(stage.vmproxy.port) as through:
        return ask(direct), ask(through)


@pytest.mark.parametrize("name", ["Upsert", "Insert", "Delete", "Query", "Search", "CreateCollection", "DescribeCollection"])
@pytest.mark.parametrize("message", [b"\xff\xff\xff", b"\x0a", b"\x1a\x7fxx", b"\x08\x96\x01\x1a" + b"\xff" * 8, bytes(range(256)),
                                     NOT_UTF8])
def test_bad_protobuf(stage, name, message):
    gaps = stage.vmproxy.status()["gaps"]
    direct, through = both(stage, lambda raw: raw.bytes(name, message))
    assert isinstance(direct, CODES), "Milvus itself should refuse this"
    assert through == direct
    stage.check_alive()
    # Milvus could not read it, so it cannot have done anything.
    assert stage.vmproxy.status()["gaps"] == gaps


@pytest.mark.parametrize("body", [b"", b"\0", b"\0\0\0", b"\0\0\0\0\x20abc", b"\0\xff\xff\xff\xff" + b"x" * 100,
                                  b"\1\0\0\0\3abc", b"\7\0\0\0\0", b"\0\0\0\0\0\0\0\0\0\0"],
                         ids=["empty", "1 byte", "3 bytes", "cut", "4 GiB announced", "compressed without a name", "bad flag", "two"])
@pytest.mark.parametrize("name", ["Upsert", "Query"])
def test_broken_frames(stage, name, body):
    """Frames that no library would send. Milvus' answer goes through as it is."""
    def status_of(port):
        text = post_frames(port, name, body)
        return re.findall(r"grpc-status: (\d+)", text) or re.findall(r"RST_STREAM.*?error_code=(\w+)", text, re.S)
    direct, through = status_of(stage.milvus.port), status_of(stage.vmproxy.port)
    assert through == direct and through
    stage.check_alive()


def refusal(raw, name, message: bytes):
    """The code and the text of a call that must fail."""
    with pytest.raises(grpc.RpcError) as refused:
        raw.channel.unary_unary(SERVICE + name)(message, timeout=60)
    return refused.value.code(), refused.value.details()


def of_size(key: int, size: int) -> bytes:
    return padded(upsertion(Raw.insertion([key])), size)


def test_the_largest_message_passes_and_is_mirrored(stage):
    gaps = stage.vmproxy.status()["gaps"]  # of other tests
    with Raw(stage.vmproxy.port) as application:
        assert isinstance(application.bytes("Upsert", of_size(60, MESSAGE_MAX), timeout=60), bytes)
        assert 60 in application.keys()
    stage.check_alive()
    with stage.pgvector.client() as connection:
        assert connection.execute("select count(*) from public.things where id = 60").fetchone()[0] == 1
    assert stage.vmproxy.status()["gaps"] == gaps


@pytest.mark.parametrize("name", ["Upsert", "Query"])
@pytest.mark.parametrize("size", [MESSAGE_MAX + 1, MESSAGE_MAX + (3 << 20)])
def test_a_message_larger_than_milvus_takes(stage, name, size):
    gaps = stage.vmproxy.status()["gaps"]
    direct, through = both(stage, lambda raw: refusal(raw, name, of_size(61, size)))
    assert direct == (CODES.RESOURCE_EXHAUSTED, f"grpc: received message larger than max ({size} vs. {MESSAGE_MAX})")
    assert through == direct
    stage.check_alive()
    with Raw(stage.vmproxy.port) as application:
        assert 61 not in application.keys()
    with stage.pgvector.client() as connection:
        assert connection.execute("select count(*) from public.things where id = 61").fetchone()[0] == 0
    assert stage.vmproxy.status()["gaps"] == gaps


@pytest.mark.parametrize("bytes_sent", [
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff" * 200,
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0" + b"\0\xff\xff\1\5\0\0\0\1" + b"\x88" * 300,
    b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n",
    b"PRI * HT",
    b"POST /milvus.proto.milvus.MilvusService/Insert HTTP/1.1\r\nhost: x\r\ncontent-type: application/grpc\r\ncontent-length: 3\r\n\r\nabc",
], ids=["garbage after the preface", "broken headers", "broken preface", "cut preface", "gRPC over HTTP/1.1"])
def test_broken_connections(stage, bytes_sent):
    with socket.create_connection(("127.0.0.1", stage.vmproxy.port), timeout=10) as connection:
        connection.sendall(bytes_sent)
        connection.shutdown(socket.SHUT_WR)
        connection.settimeout(10)
        try:
            while connection.recv(65536):
                pass
        except ConnectionResetError:
            pass
    stage.check_alive()


def test_wrong_dimension_and_unknown_collection(stage):
    gaps = stage.vmproxy.status()["gaps"]
    for ask in (lambda raw: raw.insert([1], dimension=3).status, lambda raw: raw.insert([1], name="nothing").status,
                lambda raw: raw.query(name="nothing").status, lambda raw: raw.query("id >").status,
                lambda raw: raw.call("Delete", milvus_pb2.DeleteRequest(collection_name="things", expr="id >"))
                .status,
                lambda raw: raw.call("Delete", milvus_pb2.DeleteRequest(collection_name="nothing", expr="id in [1]")).status):
        direct, through = both(stage, ask)
        assert direct.code != 0
        assert (through.code, through.error_code, through.reason) == (direct.code, direct.error_code, direct.reason)
    stage.check_alive()
    # Milvus refused them all: none of them can have changed anything.
    assert stage.vmproxy.status()["gaps"] == gaps


def test_a_call_that_nobody_knows(stage):
    gaps = stage.vmproxy.status()["gaps"]
    direct, through = both(stage, lambda raw: raw.bytes("Nothing", b""))
    assert through == direct == CODES.UNIMPLEMENTED
    assert stage.vmproxy.status()["gaps"] == gaps
    stage.check_alive()


def test_writes_over_rest_are_gaps_that_are_shown(milvus, pgvector, make_vmproxy):
    vmproxy = make_vmproxy(*milvus_to_pgvector(milvus, pgvector), dialect="milvus")
    with Raw(vmproxy.port) as application:
        application.create()
        vmproxy.command("start", timeout=300)

        def post(port, path, content):
            return httpx.post(f"http://127.0.0.1:{port}/v1/vector/{path}", json=content, timeout=30)
        # Reads pass and leave nothing behind.
        query = {"collectionName": "things", "filter": "id >= 0", "outputFields": ["id"]}
        direct, through = (post(port, "query", query) for port in (milvus.port, vmproxy.port))
        assert (through.status_code, through.json()) == (direct.status_code, direct.json())
        assert through.json()["code"] == 200
        # A write that Milvus refuses changed nothing.
        refused = post(vmproxy.port, "insert", {"collectionName": "nothing", "data": [{"id": 1, "vector": [1, 2, 3, 4]}]})
        assert refused.json()["code"] != 200
        status = vmproxy.status()
        assert (status["gaps"], status["state"]) == (0, "ready")
        # One that it takes may have changed anything.
        done = post(vmproxy.port, "insert", {"collectionName": "things", "data": [{"id": 7, "vector": [1, 2, 3, 4]}]})
        assert done.json()["code"] == 200, done.text
        status = vmproxy.wait(lambda s: s["gaps"] >= 1, 10, "the gap to be shown")
        assert status["unknown_requests"] >= 1
        refused = vmproxy.run("promote", "--yes")
        assert refused.returncode == 3, "a gap closes the gates"
        # A full validation with repair finds what came that way.
        assert vmproxy.run("validate", "--full", "--repair", timeout=120).returncode == 4, "one record was missing"
        vmproxy.wait_drained()
        with pgvector.client() as connection:
            assert connection.execute("select count(*) from public.things where id = 7").fetchone()[0] == 1
        vmproxy.command("validate", "--full", timeout=120)


def token_of(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def test_wrong_credentials(pgvector, make_vmproxy):
    good, wrong = token_of("root:Milvus"), token_of("root:wrong")
    with create("milvus", settings={"common.security.authorizationEnabled": "true"}) as milvus:
        source, target = milvus_to_pgvector(milvus, pgvector)
        vmproxy = make_vmproxy({**source, "auth": {"token": "root:Milvus"}}, target, dialect="milvus")
        for token in (wrong, ""):
            with Raw(milvus.port, token) as direct, Raw(vmproxy.port, token) as through:
                assert through.list() == direct.list() == CODES.UNAUTHENTICATED
                assert through.insert([1]) == direct.insert([1]) == CODES.UNAUTHENTICATED
        with Raw(vmproxy.port, good) as application:
            application.create()
            assert application.insert([1, 2]).status.code == 0
            vmproxy.command("start", timeout=300)
            # While the mirror is armed, too: refused by Milvus, so nothing is owed and nothing unknown.
            with Raw(vmproxy.port, wrong) as stranger:
                assert stranger.insert([3]) == CODES.UNAUTHENTICATED
                assert stranger.call("CheckHealth", milvus_pb2.CheckHealthRequest()) == CODES.UNAUTHENTICATED
            status = vmproxy.status()
            assert status["gaps"] == 0, status
            vmproxy.command("cutover", "--percent", "100")
            vmproxy.command("promote")
            milvus.stop()
            # The source let this one in before it went away, and never the others.
            assert application.keys() == [1, 2]
            assert application.insert([4]).status.code == 0
            assert application.keys() == [1, 2, 4]
            for token in (wrong, ""):
                with Raw(vmproxy.port, token) as stranger:
                    assert stranger.list() == CODES.UNAUTHENTICATED
                    assert stranger.query() == CODES.UNAUTHENTICATED
                    assert stranger.insert([5]) == CODES.UNAUTHENTICATED
                    assert stranger.bytes("Connect", b"") == CODES.UNAUTHENTICATED
            assert application.keys() == [1, 2, 4]


@pytest.fixture(scope="module")
def promoted():
    with create("milvus") as milvus, create("pgvector") as pgvector, \
            tempfile.TemporaryDirectory(prefix="vmproxy-s9-") as directory:
        vmproxy = Vmproxy(directory, *milvus_to_pgvector(milvus, pgvector), dialect="milvus").start()
        with Raw(vmproxy.port) as application:
            application.create()
            assert application.insert([1]).status.code == 0
        vmproxy.command("start", timeout=300)
        vmproxy.command("cutover", "--percent", "100")
        vmproxy.command("promote")
        milvus.stop()
        yield vmproxy
        with Raw(vmproxy.port) as application:
            assert application.keys() == [1]
        assert vmproxy.running and vmproxy.starts == 1
        vmproxy.stop()


@pytest.mark.parametrize("name", ["Upsert", "Insert", "Delete", "Query", "Search", "CreateCollection", "DescribeCollection", "Flush"])
@pytest.mark.parametrize("message", [b"\xff\xff\xff", b"\x0a", b"\x1a\x7fxx", NOT_UTF8])
def test_bad_protobuf_after_promotion(promoted, name, message):
    with Raw(promoted.port) as application:
        assert application.bytes(name, message) == CODES.INTERNAL


@pytest.mark.parametrize("body, code", [(b"", "2"), (b"\0\0\0", "2"), (b"\0\0\0\0\x20abc", "2"), (b"\0\xff\xff\xff\xff" + b"x" * 100, "8"),
                                        (b"\1\0\0\0\3abc", "13"), (b"\7\0\0\0\0", "13")])
def test_broken_frames_after_promotion(promoted, body, code):
    """The codes that Milvus 2.3.5 answers itself (test_broken_frames passes its own on)."""
    assert re.findall(r"grpc-status: (\d+)", post_frames(promoted.port, "Upsert", body)) == [code]


def test_the_largest_message_and_a_larger_one_after_promotion(promoted):
    with Raw(promoted.port) as application:
        assert isinstance(application.bytes("Upsert", of_size(1, MESSAGE_MAX), timeout=60), bytes)
        for name in ("Upsert", "Query"):
            assert refusal(application, name, of_size(2, MESSAGE_MAX + 1)) == (
                CODES.RESOURCE_EXHAUSTED, f"grpc: received message larger than max ({MESSAGE_MAX + 1} vs. {MESSAGE_MAX})")


def test_an_expression_nested_deeply_after_promotion(promoted):
    with Raw(promoted.port) as application:
        for depth in (100_000, 1_000_000):
            deep = "(" * depth + "id == 1" + ")" * depth
            assert application.query(deep).status.code != 0
            assert application.call("Delete", milvus_pb2.DeleteRequest(collection_name="things", expr=deep)).status.code != 0
        assert application.keys() == [1]


def test_rest_after_promotion(promoted):
    for path, content in (("insert", {"collectionName": "things", "data": []}), ("query", {"collectionName": "things"})):
        answer = httpx.post(f"{promoted.url}/v1/vector/{path}", json=content)
        assert answer.json()["code"] != 200 and answer.json()["message"], answer.text
