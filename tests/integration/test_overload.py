"""More than a database, a client, a disk or the descriptors can take: memory stays bounded, who is refused is told so in the
source's own form and is not done by halves, and nothing is lost for those who were not."""

import collections
import concurrent.futures
import contextlib
import json
import os
import select
import socket
import time

import grpc
from pymilvus.client.utils import check_status
from pymilvus.exceptions import ErrorCode, MilvusException

import sides
from history import now
from journey import Journey
from milvus_raw import Raw
from peak_memory import PeakMemory
from servers.base import wait_until
from torture.bad_disk import BadDisk
from vmproxy import binary, databases, milvus_to_pgvector

MIB = 1 << 20
DIMENSION = 64
# Memory that was given back is memory that was given back, also in a build with sanitizers (scripts/test --full).
NO_QUARANTINE = {"ASAN_OPTIONS": "quarantine_size_mb=1"}
# Beside what memory.inflight_bytes allows: threads that were idle, RocksDB's buffers, what the allocator keeps.
MORE_MAX = 48 * MIB


def ready(make_vmproxy, source, target, inflight="1MiB", timeout="3s", **options):
    vmproxy = make_vmproxy(source, target, start=False, settings={"memory": {"inflight_bytes": inflight}},
                           environment=NO_QUARANTINE, **options)
    vmproxy.config["listeners"][0]["request_timeout"] = timeout
    vmproxy.write_config()
    vmproxy.start()
    vmproxy.command("start", timeout=600)
    return vmproxy


class Asker:
    """A request of HTTP/1.1 on a connection of its own; the answer is read whatever became of the sending."""

    def __init__(self, port: int):
        self.connection = socket.create_connection(("127.0.0.1", port), timeout=60)

    def ask(self, method: str, path: str, body: bytes = b"") -> tuple:
        head = (f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                f"Content-Length: {len(body)}\r\n\r\n")
        self.connection.sendall(head.encode() + body)
        return self.answer()

    def answer(self) -> tuple:
        """Status, head in small letters, body."""
        got = b""
        while b"\r\n\r\n" not in got:
            more = self.connection.recv(65536)
            assert more, f"closed without an answer, after {got!r}"
            got += more
        head, body = got.split(b"\r\n\r\n", 1)
        text = head.decode().lower()
        length = next(int(line.split(":")[1]) for line in text.split("\r\n") if line.startswith("content-length:"))
        while len(body) < length:
            more = self.connection.recv(65536)
            assert more, f"closed in the body, {len(body)} of {length} bytes"
            body += more
        return int(text.split(" ", 2)[1]), text, body

    def close(self) -> None:
        self.connection.close()


def collection_path(chroma, name: str) -> str:
    made = chroma.client().get_or_create_collection(name, embedding_function=None)
    return f"/api/v2/tenants/default_tenant/databases/default_database/collections/{made.id}"


def test_a_hung_source_and_more_bodies_than_fit(chroma, pgvector, make_vmproxy):
    """400 writes of 200 KB for a Chroma that hangs: 80 MB, where 1 MiB may be held."""
    path = collection_path(chroma, "packages")
    vmproxy = ready(make_vmproxy, *databases(chroma, pgvector))

    def put(number: int) -> tuple:
        body = json.dumps({"ids": [f"r{number}"], "embeddings": [[1.0, 0.5, float(number)]],
                           "documents": ["x" * 200_000]}).encode()
        with contextlib.closing(Asker(vmproxy.port)) as asker:
            return asker.ask("POST", f"{path}/upsert", body)

    assert put(-1)[0] == 200
    memory = PeakMemory(vmproxy.process.pid)
    chroma.suspend()
    try:
        with concurrent.futures.ThreadPoolExecutor(400) as pool:
            answers = list(pool.map(put, range(400)))
    finally:
        chroma.resume()
    grown = memory.more()
    refused = [number for number, (status, _, _) in enumerate(answers) if status in (429, 503)]
    others = [answer for number, answer in enumerate(answers) if number not in refused]
    # 1 MiB holds five of them, which were sent to a source that says nothing: they may still be done there.
    assert len(refused) >= 350 and all(status == 504 for status, _, _ in others), others[:3]
    for number in refused:
        status, head, body = answers[number]
        assert "\r\nretry-after: 1" in head, head
        said = json.loads(body)
        # The one that got room in its last moment was given up before its first byte.
        kind, words = (("RateLimitError", "Nothing was sent to the database") if status == 429 else
                       ("ChromaError", "before anything was sent to the database"))
        assert said["error"] == kind and words in said["message"], said
    assert grown < MORE_MAX, f"{grown / MIB:.1f} MiB more than idle"

    # An application that tries again as it was told is served.
    wait_until(lambda: put(1000)[0] == 200, 30, "a write after the source has come back")
    vmproxy.wait_drained()
    held = sides.chroma_records(chroma, "packages")
    assert not {f"r{number}" for number in refused} & set(held), "a write that was refused was done"
    assert sides.differences(held, sides.pgvector_records(pgvector, "packages")) == []


def test_a_hung_milvus_and_more_bodies_than_fit(milvus, pgvector, make_vmproxy):
    """The same over gRPC: the word for it is Milvus' own, for which its SDK waits and tries again."""
    with Raw(milvus.port) as direct:
        direct.create(dimension=DIMENSION)
    vmproxy = ready(make_vmproxy, *milvus_to_pgvector(milvus, pgvector), dialect="milvus")
    request = Raw.insertion(list(range(1000)), dimension=DIMENSION)
    assert request.ByteSize() > 250_000
    outcomes = collections.Counter()
    memory = PeakMemory(vmproxy.process.pid)
    with contextlib.ExitStack() as ends:
        clients = [ends.enter_context(Raw(vmproxy.port)) for _ in range(8)]
        milvus.suspend()
        try:
            calls = [clients[number % len(clients)].stub.Insert.future(request) for number in range(400)]
            for call in calls:
                outcomes[outcome_for_the_sdk(call)] += 1
        finally:
            milvus.resume()
        grown = memory.more()
        refused = outcomes.pop(ErrorCode.RATE_LIMIT)
        gone = {grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.UNAVAILABLE}
        assert set(outcomes) <= gone and refused >= 350, (refused, outcomes)
        assert grown < MORE_MAX, f"{grown / MIB:.1f} MiB more than idle"
        wait_until(lambda: outcome_for_the_sdk(clients[0].stub.Insert.future(request)) == ErrorCode.SUCCESS, 60,
                   "a write after the source has come back")
    vmproxy.wait_drained()


def outcome_for_the_sdk(call):
    """As pymilvus' own code reads an answer: its error code, or the gRPC status."""
    try:
        status = call.result().status
    except grpc.RpcError as error:
        return error.code()
    try:
        check_status(status)
    except MilvusException as error:
        assert "Nothing was sent to the database" in error.message, error
        return error.code
    return ErrorCode.SUCCESS


def test_clients_that_do_not_read(chroma, pgvector, make_vmproxy):
    """150 clients ask for answers of 4.4 MB, first from the source and then from the target, and read none of it."""
    client = chroma.client()
    path = collection_path(chroma, "packages")
    collection = client.get_collection("packages", embedding_function=None)
    for first in range(0, 2000, 500):
        ids = [f"r{number}" for number in range(first, first + 500)]
        collection.add(ids=ids, embeddings=[[1.0, 0.0, float(number)] for number in range(500)], documents=["x" * 2000] * 500)
    vmproxy = ready(make_vmproxy, *databases(chroma, pgvector), inflight="16MiB", timeout="20s")
    body = json.dumps({"include": ["documents", "embeddings"]}).encode()
    large = Asker(vmproxy.port)
    assert len(large.ask("POST", f"{path}/get", body)[2]) > 4_000_000
    large.close()
    for percent, side in ((0, "source"), (100, "target")):
        if percent:
            vmproxy.command("cutover", "--percent", str(percent))
        memory = PeakMemory(vmproxy.process.pid)
        lazy = []
        for _ in range(150):
            asker = Asker(vmproxy.port)
            asker.connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 << 10)
            asker.connection.sendall(f"POST {path}/get HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                                     f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
            lazy.append(asker)
        # Others are served meanwhile.
        slowest = 0.0
        for _ in range(20):
            began = time.monotonic()
            with contextlib.closing(Asker(vmproxy.port)) as quick:
                status, _, said = quick.ask("POST", f"{path}/get", json.dumps({"ids": ["r1"]}).encode())
            assert status == 200 and json.loads(said)["ids"] == ["r1"], said
            slowest = max(slowest, time.monotonic() - began)
        wait_until(lambda: sum(map(readable, lazy)) >= 4, 20, "answers that nobody reads")
        time.sleep(2)  # so long it is looked at what more of them take
        grown = memory.more()
        print(f"{side}: {grown / MIB:.1f} MiB, slowest {slowest:.3f} s")
        for asker in lazy:
            asker.close()
        # A quarter of the 16 MiB for each answer that is made; making one takes some 14 MB.
        assert grown < 16 * MIB + 4 * 14 * MIB + MORE_MAX, f"{side}: {grown / MIB:.1f} MiB more than idle"


def test_a_slow_disk(chroma, pgvector, make_vmproxy, make_workload, tmp_path):
    """Each sync of the journal takes 300 ms longer: writes take longer, none fails, none is lost, and memory stands still."""
    with BadDisk(None) as disk:
        vmproxy = make_vmproxy(*databases(chroma, pgvector), start=False, settings={"data_dir": str(disk.path / "data")},
                               environment={**disk.environment, **NO_QUARANTINE})
        vmproxy.start()
        workload = make_workload(vmproxy.port, write_rate=40.0)
        workload.preload(chroma.client(), fraction=0.1)
        journey = Journey(vmproxy, workload, chroma, lambda: sides.chroma_records(chroma, "packages"),
                          lambda: sides.pgvector_records(pgvector, "packages"), {})
        workload.start()
        vmproxy.command("start", timeout=600)
        workload.wait_for(writes=40, reads=40)
        usual = workload.latencies.percentile(0.5, kind="write", since=0.0, until=now())
        memory = PeakMemory(vmproxy.process.pid)
        disk.slow_down(300)
        began = now()
        workload.wait_for(writes=100, reads=100)
        slow = workload.latencies.percentile(0.5, kind="write", since=began + 1, until=now())
        grown = memory.more()
        disk.mend()
        assert slow > usual + 0.25, f"the disk was not slow: {usual:.3f} s before, {slow:.3f} s with it"
        assert grown < MORE_MAX, f"{grown / MIB:.1f} MiB more than before"
        assert vmproxy.status()["gaps"] == 0
        journey.assert_equal_sides()
        workload.stop()
        workload.assert_clean()
        vmproxy.stop()


def test_without_descriptors(chroma, pgvector, make_vmproxy, tmp_path):
    """200 clients where 256 files may be open: who is connected is served and mirrored, the admin API answers, nobody spins, and
    who waited is served when others have gone."""
    limited = tmp_path / "limited"
    limited.write_text(f"#!/bin/sh\nulimit -n 256 && exec {binary()} \"$@\"\n")
    limited.chmod(0o755)
    path = collection_path(chroma, "packages")
    vmproxy = ready(make_vmproxy, *databases(chroma, pgvector), inflight="16MiB", timeout="20s", program=limited)

    def put(client, number: int) -> int:
        body = json.dumps({"ids": [f"r{number}"], "embeddings": [[1.0, 0.5, float(number)]]}).encode()
        return client.ask("POST", f"{path}/upsert", body)[0]

    members = [Asker(vmproxy.port) for _ in range(8)]  # with connections that stay open: theirs before the crowd's
    assert all(put(member, number) == 200 for number, member in enumerate(members))
    crowd = [Asker(vmproxy.port) for _ in range(200)]
    for asker in crowd:
        asker.connection.sendall(b"GET /api/v2/heartbeat HTTP/1.1\r\nHost: x\r\n\r\n")
    with concurrent.futures.ThreadPoolExecutor(len(members)) as pool:
        asked = [pool.submit(lambda m=member, n=number: [put(m, 100 * n + i) for i in range(10)])
                 for number, member in enumerate(members)]
        assert all(status == 200 for each in asked for status in each.result())
    assert vmproxy.status()["state"] == "ready"
    before = processor_seconds(vmproxy.process.pid)
    time.sleep(2)
    assert processor_seconds(vmproxy.process.pid) - before < 1.0, "half a processor while nobody is served"
    served = [asker for asker in crowd if readable(asker)]
    assert 30 <= len(served) < 100, f"{len(served)} of 200 served"
    for asker in served:
        asker.close()
    late = next(asker for asker in crowd if asker not in served)
    late.connection.settimeout(10)
    assert late.answer()[0] == 200
    for asker in [*crowd, *members]:
        asker.close()
    vmproxy.wait_drained()
    held = sides.chroma_records(chroma, "packages")
    assert len(held) == 80 and sides.differences(held, sides.pgvector_records(pgvector, "packages")) == []
    assert vmproxy.status()["gaps"] == 0


def processor_seconds(pid: int) -> float:
    with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
        user, system = stat.read().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def readable(asker) -> bool:
    return bool(select.select([asker.connection], [], [], 0)[0])
