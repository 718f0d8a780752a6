"""A relay that reads along: it tells of each HTTP/1.1 request that passed it to its last byte, and of each answer."""

import dataclasses
import hashlib
from typing import Optional

from history_log import now
from relay import Relay


@dataclasses.dataclass
class Request:
    method: str
    path: str
    headers: dict  # names in lower case
    body: bytes
    began: int  # nanoseconds: its first byte was read
    passed: int = 0  # its last byte had gone on
    answered: int = 0  # the first byte of its answer was read; 0: not (yet)
    status: Optional[int] = None

    @property
    def operation(self) -> str:
        return self.path.partition("?")[0].rpartition("/")[2]

    def identity(self) -> str:
        """Of requests that are the same byte for byte: their bodies carry what no other writes."""
        return f"{self.method} {self.operation} {hashlib.sha256(self.body).hexdigest()[:20]}"


class RequestReader:
    """Finds the requests in one connection's bytes. No pipelining: clients here wait for their answer."""

    def __init__(self):
        self._bytes, self._began = b"", 0

    def head(self, chunk: bytes):
        """The request that begins with these bytes, without its body; None: they go on with one."""
        head, end, _ = chunk.partition(b"\r\n\r\n")
        if self._bytes or not end:
            return None
        return self._request(head, b"", now())

    def feed(self, chunk: bytes) -> list:
        if not self._bytes:
            self._began = now()
        self._bytes += chunk
        found = []
        while (request := self._take()) is not None:
            found.append(request)
            self._began = now()
        return found

    def _take(self):
        head, end, rest = self._bytes.partition(b"\r\n\r\n")
        if not end:
            return None
        headers = self._request(head, b"", 0).headers
        if "chunked" in headers.get("transfer-encoding", "").lower():
            taken = self._chunked(rest)
            if taken is None:
                return None
            body, self._bytes = taken
        else:
            length = int(headers.get("content-length", "0"))
            if len(rest) < length:
                return None
            body, self._bytes = rest[:length], rest[length:]
        return dataclasses.replace(self._request(head, body, self._began), passed=now())

    @staticmethod
    def _request(head: bytes, body: bytes, began: int) -> Request:
        lines = head.decode("latin-1").split("\r\n")
        method, path, _ = lines[0].split(" ", 2)
        fields = (line.partition(":") for line in lines[1:])
        return Request(method, path, {name.strip().lower(): value.strip() for name, _, value in fields}, body, began)

    @staticmethod
    def _chunked(rest: bytes):
        body = b""
        while True:
            size, end, rest = rest.partition(b"\r\n")
            if not end:
                return None
            length = int(size.partition(b";")[0], 16)
            if len(rest) < length + 2:
                return None
            if length == 0:
                return body, rest[2:]  # nobody here sends trailers
            body, rest = body + rest[:length], rest[length + 2:]


class RequestRelay(Relay):
    """`passed(request)` and `answered(request)` are called from the connections' threads. What `lose(request)` is true for
    has been executed when its answer gets lost: the connection ends instead. `before(request)` is called before a request
    goes on, without its body, `executed(request)` before its answer goes back: either may take its time."""

    def __init__(self, target_port: int, passed=lambda request: None, answered=lambda request: None,
                 lose=lambda request: False, before=lambda request: None, executed=lambda request: None):
        self.passed, self.answered, self.lose = passed, answered, lose
        self.before, self.executed = before, executed
        super().__init__(target_port)

    def watch(self):
        return _Watch(self)


class _Watch:
    def __init__(self, relay: RequestRelay):
        self._relay, self._reader, self._waiting = relay, RequestReader(), None

    def sending(self, chunk: bytes) -> None:
        request = self._reader.head(chunk)
        if request is not None:
            self._relay.before(request)

    def sent(self, chunk: bytes) -> None:
        for request in self._reader.feed(chunk):
            self._waiting = request
            self._relay.passed(request)

    def answered(self, chunk: bytes) -> bool:
        request, self._waiting = self._waiting, None
        if request is None:  # the rest of an answer
            return True
        request.answered, request.status = now(), int(chunk[9:12])
        if self._relay.lose(request):
            return False
        self._relay.executed(request)
        self._relay.answered(request)
        return True
