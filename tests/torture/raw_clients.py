"""Clients without an SDK: each keeps one connection and asks as fast as it is answered.

An SDK hides which connection a request went over. Here each failure says whether the connection was fresh or had been used, and
what had come of the answer.
"""

import http.client
import socket
import threading

import hpack
from history import now
from hyperframe.exceptions import HyperframeError
from hyperframe.frame import (DataFrame, Frame, GoAwayFrame, HeadersFrame, PingFrame, RstStreamFrame, SettingsFrame,
                              WindowUpdateFrame)

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


class RawClients:
    """HTTP/1.1, one request at a time."""

    def __init__(self, port: int, count: int, path: str):
        self._port, self._path = port, path
        self.answered = 0
        self.failures = []  # (when, words)
        self._lock, self._stop = threading.Lock(), threading.Event()
        self._threads = [threading.Thread(target=self._ask_forever, daemon=True) for _ in range(count)]

    def start(self) -> "RawClients":
        for thread in self._threads:
            thread.start()
        return self

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(60)

    def _ask_forever(self) -> None:
        while not self._stop.is_set():
            connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
            try:
                connection.connect()
            except OSError:
                self._stop.wait(0.01)  # nobody listens: nothing was sent
                continue
            self._use(connection)
            connection.close()

    def _use(self, connection) -> None:
        """Until the server says that it is the last one, or the connection breaks."""
        used, kept = 0, True
        while kept and not self._stop.is_set():
            step = "sending"
            try:
                connection.request("GET", self._path)
                step = "waiting for the answer"
                answer = connection.getresponse()
                step = "reading the answer"
                answer.read()
            except (OSError, http.client.HTTPException) as error:
                what = f"a connection that had served {used} requests" if used else "a fresh connection"
                with self._lock:
                    self.failures.append((now(), f"{type(error).__name__} while {step} on {what}"))
                return
            used += 1
            kept = not answer.will_close
            with self._lock:
                self.answered += 1
            if answer.status != 200:
                with self._lock:
                    self.failures.append((now(), f"status {answer.status}"))


class RawHttp2Clients(RawClients):
    """HTTP/2, `STREAMS` requests at a time. What a GOAWAY does not count was not taken, and is no failure. Frames by hand: h2's
    connection is closed for it by the first GOAWAY, and a server that drains says two."""

    STREAMS = 8
    ANSWERS = (DataFrame, HeadersFrame)

    def _ask_forever(self) -> None:
        while not self._stop.is_set():
            try:
                connection = socket.create_connection(("127.0.0.1", self._port), timeout=60)
            except OSError:
                self._stop.wait(0.01)  # nobody listens: nothing was sent
                continue
            with connection:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._use(connection)

    def _use(self, connection) -> None:
        """Until the server says goodbye, or the connection breaks."""
        fields, answers = hpack.Encoder(), hpack.Decoder()
        under_way, answered, number, used, last = set(), set(), 1, 0, None  # last: what the last GOAWAY says was taken
        received, out = b"", PREFACE + SettingsFrame(0).serialize()
        try:
            while True:
                while last is None and not self._stop.is_set() and len(under_way) < self.STREAMS:
                    out += HeadersFrame(number, fields.encode(
                        [(":method", "GET"), (":scheme", "http"), (":authority", "127.0.0.1"), (":path", self._path)]),
                        flags=["END_HEADERS", "END_STREAM"]).serialize()
                    under_way.add(number)
                    number += 2
                connection.sendall(out)
                out = b""
                if not under_way:
                    return
                more = connection.recv(1 << 16)
                if not more:
                    raise OSError("the connection ended")
                received += more
                while len(received) >= 9:
                    frame, length = Frame.parse_frame_header(memoryview(received)[:9])
                    if len(received) < 9 + length:
                        break
                    frame.parse_body(memoryview(received)[9:9 + length])
                    received = received[9 + length:]
                    if isinstance(frame, GoAwayFrame):
                        if frame.error_code or (last is not None and frame.last_stream_id > last):
                            self._failed(f"a GOAWAY with error {frame.error_code} that counts {frame.last_stream_id}, after one "
                                         f"that counts {last}")
                        if begun := [stream for stream in under_way & answered if stream > frame.last_stream_id]:
                            self._failed(f"a GOAWAY that does not count {begun}, whose answers had begun")
                        last = frame.last_stream_id
                        under_way = {stream for stream in under_way if stream <= last}
                    elif isinstance(frame, SettingsFrame) and "ACK" not in frame.flags:
                        out += SettingsFrame(0, flags=["ACK"]).serialize()
                    elif isinstance(frame, PingFrame) and "ACK" not in frame.flags:
                        out += PingFrame(0, frame.opaque_data, flags=["ACK"]).serialize()
                    elif isinstance(frame, DataFrame) and length:
                        for stream in (0, frame.stream_id):
                            out += WindowUpdateFrame(stream, window_increment=length).serialize()
                    elif isinstance(frame, HeadersFrame):
                        answered.add(frame.stream_id)
                        status = dict(answers.decode(frame.data)).get(":status", "200")
                        if status != "200":
                            self._failed(f"status {status}")
                    elif isinstance(frame, RstStreamFrame) and frame.stream_id in under_way:
                        under_way.discard(frame.stream_id)
                        self._failed(f"request {frame.stream_id} was reset with {frame.error_code}")
                    if isinstance(frame, self.ANSWERS) and "END_STREAM" in frame.flags:
                        under_way.discard(frame.stream_id)
                        used += 1
                        with self._lock:
                            self.answered += 1
        except (OSError, HyperframeError, hpack.HPACKError) as error:
            if under_way:
                said = f"a GOAWAY that counts {last}" if last is not None else "no GOAWAY"
                self._failed(f"{type(error).__name__}: {error}: {len(under_way)} requests without an answer after {used} with "
                             f"one, {said}")

    def _failed(self, words: str) -> None:
        with self._lock:
            self.failures.append((now(), f"HTTP/2: {words}"))
