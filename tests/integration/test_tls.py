"""`vmproxy serve` with TLS on its listener and to its source: the vendors' SDKs go through it, and nobody is believed who
cannot prove who it is. The databases speak TLS by a relay in front of them."""

import socket
import ssl

import grpc
import httpx
import pytest
from pymilvus.grpc_gen import milvus_pb2, milvus_pb2_grpc

import milvus_workload
import sides
import workload
from certificates import Authority
from relay import Relay
from servers import free_port

UNREACHABLE = {"system": "pgvector", "url": "postgresql://postgres@127.0.0.1:1/app"}


class TlsRelay(Relay):
    """TLS in front of a port, as the database's own; keeps the names that it was asked for."""

    def __init__(self, port: int, authority: Authority):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*authority.issue("database"))
        context.set_alpn_protocols(["h2", "http/1.1"])
        self.names = []
        context.sni_callback = lambda _, name, __: self.names.append(name)
        super().__init__(port, context)


class PostgresTlsRelay(TlsRelay):
    """As a PostgreSQL that lets nobody in without TLS (hostssl). The tests' server is built without."""

    SSL_REQUEST, GSS_REQUEST = b"\0\0\0\x08\x04\xd2\x16\x2f", b"\0\0\0\x08\x04\xd2\x16\x30"

    def greet(self, client):
        asked = client.recv(8, socket.MSG_WAITALL)
        while asked == self.GSS_REQUEST:
            client.sendall(b"N")
            asked = client.recv(8, socket.MSG_WAITALL)
        if asked != self.SSL_REQUEST:
            raise OSError("in the clear")
        client.sendall(b"S")


class Ends:
    """Two authorities: one that applications believe, one of the database. Neither believes the other."""

    def __init__(self, directory, make_vmproxy):
        self.ours, self.databases = Authority(directory, "ours"), Authority(directory, "databases")
        self._make_vmproxy = make_vmproxy
        self._relays = []

    def relay(self, port: int, kind=TlsRelay) -> TlsRelay:
        self._relays.append(kind(port, self.databases))
        return self._relays[-1]

    def vmproxy(self, system: str, relay: TlsRelay, target: dict, **tls):
        source = {"system": system, "url": f"https://127.0.0.1:{relay.port}", "tls": {"ca": str(self.databases.file), **tls}}
        made = self._make_vmproxy(source, target, start=False, dialect=system)
        certificate, key = self.ours.issue("vmproxy")
        made.config["listeners"][0]["tls"] = {"cert": str(certificate), "key": str(key)}
        made.write_config()
        return made.start()

    def close(self):
        for relay in self._relays:
            relay.close()


@pytest.fixture
def ends(tmp_path, make_vmproxy):
    made = Ends(tmp_path, make_vmproxy)
    yield made
    made.close()


def move_reads(things, vmproxy, chroma, pgvector) -> None:
    """Two records are copied, two written live; then the target answers."""
    things.add(ids=["a", "b"], embeddings=[[1, 0, 0], [0, 1, 0]], documents=["one", "two"])
    vmproxy.command("start", timeout=300)
    things.upsert(ids=["b", "c"], embeddings=[[0, 2, 0], [0, 0, 3]], documents=["two again", "three"])
    vmproxy.wait_drained()
    records = sides.chroma_records(chroma, "things")
    assert records.keys() == {"a", "b", "c"}
    assert sides.differences(records, sides.pgvector_records(pgvector, "things")) == []
    vmproxy.command("cutover", "--percent", "100")
    assert things.query(query_embeddings=[[0, 0, 3]], n_results=1)["ids"] == [["c"]]


def test_chroma_moves_under_tls(chroma, pgvector, ends):
    relay = ends.relay(chroma.port)
    vmproxy = ends.vmproxy("chroma", relay, {"system": "pgvector", "url": pgvector.url}, server_name="localhost")
    application = workload.separate_client("127.0.0.1", vmproxy.port, ca=ends.ours.file)
    things = application.create_collection("things", embedding_function=None)
    move_reads(things, vmproxy, chroma, pgvector)
    assert set(relay.names) == {"localhost"}  # of the calls that pass and of vmproxy's own

    with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
        httpx.get(f"https://127.0.0.1:{vmproxy.port}/api/v2/heartbeat",
                  verify=ssl.create_default_context(cafile=ends.databases.file))
    assert things.count() == 3


def test_milvus_moves_under_tls(milvus, pgvector, ends):
    relay = ends.relay(milvus.port)
    vmproxy = ends.vmproxy("milvus", relay, {"system": "pgvector", "url": pgvector.url}, server_name="localhost")
    application = milvus_workload.separate_client("127.0.0.1", vmproxy.port, ca=ends.ours.file)
    application.create_collection("things", dimension=3, metric_type="L2", consistency_level="Strong")
    application.insert("things", [{"id": 1, "vector": [1, 0, 0], "n": 1}, {"id": 2, "vector": [0, 1, 0], "n": 1}])
    vmproxy.command("start", timeout=300)
    application.upsert("things", [{"id": 2, "vector": [0, 2, 0], "n": 2}, {"id": 3, "vector": [0, 0, 3], "n": 2}])
    vmproxy.wait_drained()
    records = sides.milvus_records(milvus, "things")
    assert records.keys() == {1, 2, 3}
    assert sides.differences(records, sides.pgvector_fields(pgvector, "things")) == []
    found = application.search("things", [[0.0, 0.0, 3.0]], limit=1)
    assert [hit["id"] for hit in found[0]] == [3]
    application.close()
    assert set(relay.names) == {"localhost"}


def pgvector_under_tls(pgvector, relay, **tls) -> dict:
    return {"system": "pgvector", "url": pgvector.url.replace(str(pgvector.port), str(relay.port)), "tls": tls}


def test_a_postgresql_that_wants_tls_is_moved_to(chroma, pgvector, ends, make_vmproxy):
    relay = ends.relay(pgvector.port, PostgresTlsRelay)
    vmproxy = make_vmproxy({"system": "chroma", "url": chroma.url},
                           pgvector_under_tls(pgvector, relay, ca=str(ends.databases.file)))
    things = workload.separate_client("127.0.0.1", vmproxy.port).create_collection("things", embedding_function=None)
    move_reads(things, vmproxy, chroma, pgvector)
    vmproxy.command("promote")
    chroma.stop()
    assert sorted(things.get()["ids"]) == ["a", "b", "c"]


@pytest.mark.parametrize("tls", ["another authority", "none"])
def test_a_postgresql_that_cannot_prove_who_it_is_or_wants_tls_is_told(tls, chroma, pgvector, ends, make_vmproxy):
    relay = ends.relay(pgvector.port, PostgresTlsRelay)
    settings = {"ca": str(ends.ours.file)} if tls == "another authority" else {}
    target = pgvector_under_tls(pgvector, relay, **settings)
    if not settings:
        del target["tls"]
        target["url"] += "?sslmode=disable"
    vmproxy = make_vmproxy({"system": "chroma", "url": chroma.url}, target)
    things = workload.separate_client("127.0.0.1", vmproxy.port).create_collection("things", embedding_function=None)
    things.add(ids=["a"], embeddings=[[1, 0, 0]])
    refused = vmproxy.run("start", "--timeout", "20s", timeout=120)
    assert refused.returncode in (3, 5, 6), (refused.returncode, refused.stdout, refused.stderr)
    said = " ".join((refused.stdout + refused.stderr).split())
    assert f"127.0.0.1:{relay.port}" in said or str(relay.port) in said, said
    if settings:
        assert "certificate verify failed" in said, said
    assert things.count() == 1  # and the application notices nothing
    with pgvector.client() as connection:
        assert connection.execute("select count(*) from pg_tables where schemaname = 'public'").fetchone()[0] == 0


def test_a_chroma_under_tls_is_moved_to(milvus, chroma, ends, make_vmproxy):
    relay = ends.relay(chroma.port)
    vmproxy = make_vmproxy({"system": "milvus", "url": milvus.url},
                           {"system": "chroma", "url": f"https://127.0.0.1:{relay.port}",
                            "tls": {"ca": str(ends.databases.file), "server_name": "localhost"}}, dialect="milvus")
    application = milvus_workload.separate_client("127.0.0.1", vmproxy.port)
    application.create_collection("things", dimension=3, metric_type="L2", consistency_level="Strong")
    application.insert("things", [{"id": 1, "vector": [1, 0, 0], "n": 1}, {"id": 2, "vector": [0, 1, 0], "n": 1}])
    vmproxy.command("start", timeout=300)
    application.upsert("things", [{"id": 2, "vector": [0, 2, 0], "n": 2}, {"id": 3, "vector": [0, 0, 3], "n": 2}])
    vmproxy.wait_drained()
    found = sides.chroma_records(chroma, "things")
    assert {key: (list(record[0]), record[2]) for key, record in found.items()} == {
        "1": ([1, 0, 0], {"n": 1}), "2": ([0, 2, 0], {"n": 2}), "3": ([0, 0, 3], {"n": 2})}
    application.close()
    assert set(relay.names) == {"localhost"}


def over_http(vmproxy, authority) -> str:
    answer = httpx.get(f"https://127.0.0.1:{vmproxy.port}/api/v2/heartbeat", timeout=30,
                       verify=ssl.create_default_context(cafile=authority.file))
    assert answer.status_code == 503, answer.text
    return answer.text


def over_grpc(vmproxy, authority) -> str:
    credentials = grpc.ssl_channel_credentials(authority.file.read_bytes())
    with grpc.secure_channel(f"127.0.0.1:{vmproxy.port}", credentials, options=[("grpc.enable_http_proxy", 0)]) as channel:
        with pytest.raises(grpc.RpcError) as refused:
            milvus_pb2_grpc.MilvusServiceStub(channel).ShowCollections(milvus_pb2.ShowCollectionsRequest(), timeout=30)
    assert refused.value.code() == grpc.StatusCode.UNAVAILABLE
    return refused.value.details()


@pytest.mark.parametrize("system, ask", [("chroma", over_http), ("milvus", over_grpc)], ids=["chroma", "milvus"])
@pytest.mark.parametrize("wrong", ["authority", "name"])
def test_a_source_that_cannot_prove_who_it_is_is_sent_nothing(system, ask, wrong, ends):
    relay = ends.relay(free_port())  # nobody is there: no handshake ends
    wrongly = {"ca": str(ends.ours.file)} if wrong == "authority" else {"server_name": "other.test"}
    vmproxy = ends.vmproxy(system, relay, UNREACHABLE, **wrongly)
    name = "127.0.0.1" if wrong == "authority" else "other.test"
    said = ask(vmproxy, ends.ours)
    for part in (f"TLS with 127.0.0.1:{relay.port} as '{name}' failed: certificate verify failed", "Nothing was sent",
                 "Check the certificate, tls.ca and tls.server_name"):
        assert part in said, said

    checked = vmproxy.run("check", timeout=120)
    assert checked.returncode == 6, (checked.returncode, checked.stdout, checked.stderr)
    reason = "unable to get local issuer certificate" if wrong == "authority" else "mismatch"
    text = " ".join((checked.stdout + checked.stderr).split())  # as it was before it was wrapped
    assert f"TLS with 127.0.0.1:{relay.port} as '{name}' failed" in text and reason in text, text
