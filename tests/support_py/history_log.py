"""Writes histories for history_check (tests/checker/README.md): JSON lines, appended.

One log may be shared by all threads of a process; each process has a file of its own. At most
`buffer_bytes` wait in memory, and nothing longer than `flush_seconds` once the next record comes:
the thread whose record fills the buffer writes it out. A worker that may be killed announces its
writes with begin(), so that a write whose end was never told counts as unknown.
"""

import dataclasses
import itertools
import json
import os
import threading
import time
from typing import Optional

OK, FAIL, UNKNOWN = "ok", "fail", "unknown"
READ, WRITE, WRITE_IF_ABSENT, DELETE, DELETE_WHERE = "read", "write", "write_if_absent", "delete", "delete_where"


def now() -> int:
    """Nanoseconds on the clock that all processes of a machine share."""
    return time.monotonic_ns()


@dataclasses.dataclass(frozen=True)
class Begun:
    number: int
    process: str
    key: str
    op: str
    value: Optional[str]
    call: int
    more: dict


class HistoryLog:
    def __init__(self, path, buffer_bytes: int = 1 << 20, flush_seconds: float = 1.0):
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self._lock = threading.Lock()
        self._lines, self._bytes = [], 0
        self._buffer_bytes, self._flush_ns = buffer_bytes, int(flush_seconds * 1e9)
        self._flushed = now()
        self._numbers = itertools.count(1)

    # An operation that has ended. `more`: latest, stale (nanoseconds or "any"), side, epoch.
    def operation(self, process: str, key: str, op: str, value: Optional[str] = None, *, call: int,
                  ret: Optional[int] = None, outcome: str = OK, **more) -> None:
        record = {"type": "op", "process": process, "key": key, "op": op}
        if op in (WRITE, WRITE_IF_ABSENT) or (op == READ and outcome == OK):
            record["value"] = value
        record["call"] = call
        if ret is not None:
            record["ret"] = ret
        self._append({**record, "outcome": outcome, **more})

    # A write that is about to be sent. It is in the file when this returns.
    def begin(self, process: str, key: str, op: str, value: Optional[str] = None, **more) -> Begun:
        begun = Begun(next(self._numbers), process, key, op, value, now(), more)
        self.operation(process, key, op, value, call=begun.call, outcome="begun", id=begun.number, **more)
        self.flush()
        return begun

    def end(self, begun: Begun, outcome: str, **more) -> None:
        self.operation(begun.process, begun.key, begun.op, begun.value, call=begun.call, ret=now(), outcome=outcome,
                       id=begun.number, **{**begun.more, **more})

    def scan(self, process: str, keys, *, call: int, ret: int, prefix: str = "", partial: bool = False) -> None:
        self._append({"type": "scan", "process": process, "prefix": prefix, "keys": list(keys), "call": call,
                      "ret": ret, "partial": partial})

    def execution(self, side: str, epoch: int, key: str, *, call: int, ret: int) -> None:
        self._append({"type": "execution", "side": side, "epoch": epoch, "key": key, "call": call, "ret": ret})

    def sent(self, side: str, request: str, certain: bool = True) -> None:
        record = {"type": "sent", "side": side, "request": request}
        self._append(record if certain else {**record, "outcome": UNKNOWN})

    def seen(self, side: str, request: str) -> None:
        self._append({"type": "seen", "side": side, "request": request})

    def final(self, side: str, key: str, value: Optional[str]) -> None:
        self._append({"type": "final", "side": side, "key": key, "value": value})

    def final_complete(self, side: str) -> None:
        self._append({"type": "final_complete", "side": side})

    def _append(self, record: dict) -> None:
        line = json.dumps(record, separators=(",", ":")).encode() + b"\n"
        with self._lock:
            self._lines.append(line)
            self._bytes += len(line)
            if self._bytes >= self._buffer_bytes or now() - self._flushed >= self._flush_ns:
                self._write_out()

    def flush(self) -> None:
        with self._lock:
            self._write_out()

    def _write_out(self) -> None:
        rest = memoryview(b"".join(self._lines))
        self._lines, self._bytes, self._flushed = [], 0, now()
        while rest:
            rest = rest[os.write(self._file, rest):]

    def close(self) -> None:
        with self._lock:
            if self._file < 0:
                return
            self._write_out()
            os.close(self._file)
            self._file = -1

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
