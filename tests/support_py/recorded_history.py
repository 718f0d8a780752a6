"""history.py's states as records of history_log.py, for tests/checker's program.

RecordedHistory records while the workload runs, with the real times. write_down() converts what a
plain History knows at its end: its versions in order, without reads. A value is a version of its
key ("v7"): what a read shows is turned back into the version that it matches.
"""

import hashlib
import threading

from history import ACKED, BEGUN, REJECTED, UNCERTAIN, History
from history_log import DELETE, FAIL, OK, READ, UNKNOWN, WRITE, HistoryLog, now

_OUTCOMES = {ACKED: OK, UNCERTAIN: UNKNOWN, BEGUN: UNKNOWN, REJECTED: FAIL}


class RecordedHistory(History):
    """A History whose calls also go to the log. A thread is a process of the record."""

    def __init__(self, embeddings, log: HistoryLog):
        super().__init__(embeddings)
        self._log = log
        self._calls = {}  # of writes under way, by the entry's identity: (process, key, call)
        self._reading = threading.local()
        self.torn_reads = 0  # legal by history.py, but of no single version: not recorded
        self.acknowledged = []  # (key, call, ret): one of the keys of each request

    def begin(self, states: dict) -> dict:
        call, process = now(), threading.current_thread().name
        tokens = super().begin(states)
        with self._lock:
            for key, entry in tokens.items():
                self._calls[id(entry)] = (process, key, call)
        return tokens

    def finish(self, tokens: dict, status: str) -> None:
        ret = now()
        super().finish(tokens, status)
        for entry in tokens.values():
            process, key, call = known = self._taken(entry)
            self._write(entry, known, ret)
        if status == ACKED and tokens:
            self.acknowledged.append((str(key), call, ret))

    def floor(self, keys=None) -> dict:
        self._reading.call = now()
        return super().floor(keys)

    def judge(self, key, floor: int, observed):
        reason = super().judge(key, floor, observed)
        ret, call = now(), self._reading.call
        value, in_flight = self._seen(key, floor, observed)
        if value is Ellipsis and reason is None:
            self.torn_reads += 1
            return None
        stale = {"stale": "any"} if self.lenient_in_flight and in_flight else {}
        self._log.operation(threading.current_thread().name, str(key), READ,
                            foreign(observed) if value is Ellipsis else value, call=call, ret=ret, **stale)
        return reason

    def close(self) -> None:
        """Writes that nobody ended may have happened."""
        with self._lock:
            left, self._calls = self._calls, {}
            entries = {id(entry): entry for line in self._entries.values() for entry in line}
        for identity, known in left.items():
            self._write(entries[identity], known, None)
        self._log.flush()

    def _taken(self, entry):
        with self._lock:
            return self._calls.pop(id(entry))

    def _write(self, entry, known, ret) -> None:
        process, key, call = known
        outcome = _OUTCOMES[entry.status]
        more = {} if outcome == UNKNOWN or ret is None else {"ret": ret}
        self._log.operation(process, str(key), DELETE if entry.state is None else WRITE, value_of(entry), call=call,
                            outcome=outcome, **more)

    def _seen(self, key, floor, observed):
        """The value read, or Ellipsis if no version matches; whether a write of the key was under way."""
        with self._lock:
            line = list(self._entries.get(key, ()))
        possible = [entry for entry in line[floor:] if entry.status != REJECTED]
        return version_seen(self, possible + line, observed), len(possible) > 1


def write_down(history: History, log: HistoryLog) -> None:
    """All versions of a plain History, each key on a clock of its own: one writer, one after the other."""
    for key, line in history._entries.items():
        for position, entry in enumerate(line[1:]):
            outcome = _OUTCOMES[entry.status]
            more = {} if outcome == UNKNOWN else {"ret": 2 * position + 1}
            log.operation("writer", str(key), DELETE if entry.state is None else WRITE, value_of(entry),
                          call=2 * position, outcome=outcome, **more)


def write_down_final(history: History, log: HistoryLog, side: str, records: dict) -> None:
    """What a side holds at the end: {key: (embedding, document, metadata)}, all of it."""
    for key, observed in records.items():
        value = version_seen(history, reversed(history._entries.get(key, [])), observed)
        log.final(side, str(key), foreign(observed) if value is Ellipsis else value)
    log.final_complete(side)


def value_of(entry):
    return None if entry.state is None else f"v{entry.version}"


def version_seen(history: History, entries, observed):
    """The value of the first entry that matches; None: absent; Ellipsis: none matches."""
    if observed is None:
        return None
    return next((value_of(entry) for entry in entries if history.matches(entry.state, observed)), Ellipsis)


def foreign(observed) -> str:
    return "foreign " + hashlib.sha256(repr(observed).encode()).hexdigest()[:16]
