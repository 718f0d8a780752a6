"""A body of 2 GiB goes through `vmproxy serve` in either direction and is never in its memory."""

import socket
import tempfile
import threading

import pytest

from peak_memory import PeakMemory
from vmproxy import Vmproxy

SIZE = 2 << 30
MORE_MAX = 100 << 20  # bytes of memory over what it has when idle
BLOCK = memoryview(bytes(range(256)) * 4096)  # 1 MiB
PATH = "/api/v2/tenants/default_tenant/databases/default_database/collections/00000000-0000-4000-8000-000000000001"


def read_head(connection) -> tuple:
    """The head in small letters, and what came after it."""
    got = b""
    while b"\r\n\r\n" not in got:
        chunk = connection.recv(65536)
        assert chunk, f"closed in the head, after {got!r}"
        got += chunk
    head, rest = got.split(b"\r\n\r\n", 1)
    return head.decode().lower(), rest


def length_of(head: str) -> int:
    return next(int(line.split(":")[1]) for line in head.split("\r\n") if line.startswith("content-length:"))


def send_body(connection, size: int) -> None:
    for _ in range(size // len(BLOCK)):
        connection.sendall(BLOCK)


def receive_body(connection, first: bytes, size: int) -> int:
    """How many bytes came, of which `first` are here; each block is looked at where it begins."""
    got, room = len(first), bytearray(1 << 20)
    assert first == bytes(BLOCK[:len(first)])
    while got < size:
        count = connection.recv_into(room)
        if count == 0:
            break
        assert room[0] == got % 256 and room[count - 1] == (got + count - 1) % 256, f"other bytes near {got}"
        got += count
    return got


class Database:
    """Takes a body of any size and says how long it was; answers the GET of a count with one of SIZE bytes."""

    def __init__(self):
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        self._listener.close()

    def _accept(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        with connection:
            head, rest = read_head(connection)
            if head.startswith(f"get {PATH}/count "):
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % SIZE)
                send_body(connection, SIZE)
            elif head.startswith("get "):
                connection.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            else:
                text = b"%d" % receive_body(connection, rest, length_of(head))
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (len(text), text))


@pytest.fixture(scope="module")
def proxy():
    database = Database()
    with tempfile.TemporaryDirectory(prefix="vmproxy-large-") as directory:
        vmproxy = Vmproxy(directory, {"system": "chroma", "url": f"http://127.0.0.1:{database.port}"},
                          {"system": "pgvector", "url": "postgresql://postgres@127.0.0.1:1/app"})
        try:
            yield vmproxy.start()
            assert vmproxy.stop() == 0
        finally:
            print(vmproxy.log_tail())
            vmproxy.kill9()
            database.close()


def test_a_request_of_2_gib(proxy):
    memory = PeakMemory(proxy.process.pid)
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=60) as application:
        application.sendall(f"POST {PATH}/upsert HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                            f"Content-Length: {SIZE}\r\n\r\n".encode())
        send_body(application, SIZE)
        head, text = read_head(application)
        while len(text) < length_of(head):
            text += application.recv(100)
    assert head.startswith("http/1.1 200 ") and int(text) == SIZE, (head, text)
    assert memory.more() < MORE_MAX, f"{memory.more() >> 20} MiB more than idle"


def test_an_answer_of_2_gib(proxy):
    memory = PeakMemory(proxy.process.pid)
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=60) as application:
        application.sendall(f"GET {PATH}/count HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        head, first = read_head(application)
        assert head.startswith("http/1.1 200 ") and length_of(head) == SIZE, head
        assert receive_body(application, first, SIZE) == SIZE
    assert memory.more() < MORE_MAX, f"{memory.more() >> 20} MiB more than idle"
