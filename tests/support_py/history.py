"""What an application may legally read, key by key.

Each key has one writer at a time, so its states form a line. A state is `begun` before the
request goes out and `acked` when the answer came; a request that ended with a connection error
stays `uncertain`, and both outcomes are legal. The rule a read is held to: for every key, what it
returns is the last state acknowledged before the read began, or a later one.
"""

import dataclasses
import threading
import time
from typing import Optional

import numpy

BEGUN, ACKED, UNCERTAIN, REJECTED = "begun", "acked", "uncertain", "rejected"


@dataclasses.dataclass(frozen=True)
class State:
    """A record's content. The embedding is a row of the corpus: small and exact."""
    row: int
    document: Optional[str]
    metadata: dict


@dataclasses.dataclass
class Entry:
    version: int
    state: Optional[State]  # None: absent
    status: str


class History:
    # A system that, asked directly, may show a still older state of a key while a write of that key
    # is under way (Milvus 2.3.5: two deletes of one key hide each other from a snapshot between
    # them). Then reads are judged strictly only where no write of the key was in flight.
    lenient_in_flight = False

    def __init__(self, embeddings):
        self._embeddings = embeddings
        self._entries = {}
        self._lock = threading.Lock()

    # The writer's side.
    def begin(self, states: dict) -> dict:
        """Announces new states by key, before the request; returns the tokens for the outcome."""
        tokens = {}
        with self._lock:
            for key, state in states.items():
                line = self._entries.setdefault(key, [Entry(0, None, ACKED)])
                entry = Entry(line[-1].version + 1, state, BEGUN)
                line.append(entry)
                tokens[key] = entry
        return tokens

    def finish(self, tokens: dict, status: str) -> None:
        with self._lock:
            for entry in tokens.values():
                entry.status = status

    def next_version(self, key) -> int:
        with self._lock:
            line = self._entries.get(key)
            return line[-1].version + 1 if line else 1

    def known(self, key):
        """(True, state) when only one state is possible now, else (False, None)."""
        with self._lock:
            possible = self._possible(self._entries.get(key, [Entry(0, None, ACKED)]))
        return (True, possible[0]) if len(possible) == 1 else (False, None)

    # The reader's side.
    def floor(self, keys=None) -> dict:
        """Taken before a read: the position of each key's last acknowledged state."""
        with self._lock:
            if keys is None:
                keys = self._entries
            return {key: self._floor(self._entries[key]) for key in keys if key in self._entries}

    def judge(self, key, floor: int, observed) -> Optional[str]:
        """None if the observation (id, embedding, document, metadata, or None) is legal, else why not.

        Parts of the observation that were not asked for are Ellipsis.
        """
        with self._lock:
            line = self._entries.get(key)
            candidates = [] if line is None else [e for e in line[floor:] if e.status != REJECTED]
            if self.lenient_in_flight and len(candidates) > 1:
                candidates = line
        if line is None:
            return None if observed is None else f"{key}: a key that nobody wrote"
        if any(self.matches(entry.state, observed) for entry in candidates):
            return None
        if observed is not None and len(candidates) > 1:
            # Chroma itself reads the vector and the rest one after the other: during a write it
            # may answer with one part from before and one from after. Each part must be legal.
            embedding, document, metadata = observed
            if document is None and metadata is None and any(e.state is None for e in candidates):
                return None  # the same race with a delete
            if (any(self.matches(entry.state, (Ellipsis, document, metadata)) for entry in candidates)
                    and any(self.matches(entry.state, (embedding, Ellipsis, Ellipsis)) for entry in candidates)):
                return None
        legal = "; ".join(f"v{e.version} {e.status} {_brief(e.state)}" for e in candidates)
        return f"{key}: read {_brief_observed(observed)}, legal: {legal}"

    def delete_races(self, floor: dict) -> bool:
        """True if a delete of one of these keys may have run since the floor was taken."""
        with self._lock:
            return any(entry.state is None for key, position in floor.items()
                       for entry in self._entries[key][position + 1:])

    def settled_states(self, floor: dict) -> dict:
        """Keys whose state could not have changed since the floor was taken, with that state."""
        with self._lock:
            settled = {}
            for key, position in floor.items():
                line = [e for e in self._entries[key][position:] if e.status != REJECTED]
                if len(line) == 1:
                    settled[key] = line[0].state
            return settled

    def final(self) -> dict:
        """For each key the list of states that are possible now."""
        with self._lock:
            return {key: self._possible(line) for key, line in self._entries.items()}

    def matches(self, state: Optional[State], observed) -> bool:
        if state is None or observed is None:
            return state is None and observed is None
        embedding, document, metadata = observed
        if document is not Ellipsis and document != state.document:
            return False
        if metadata is not Ellipsis and not same_metadata(metadata or {}, state.metadata):
            return False
        if embedding is Ellipsis:
            return True
        return close(self._embeddings[state.row], embedding)

    @staticmethod
    def _floor(line) -> int:
        for position in range(len(line) - 1, -1, -1):
            if line[position].status == ACKED:
                return position
        return 0

    @classmethod
    def _possible(cls, line) -> list:
        return [entry.state for entry in line[cls._floor(line):] if entry.status != REJECTED]


TIES = 1e-4  # design.md, Equality: among hits that are this near each other any order is right


def in_order(distances) -> bool:
    return all(nearer <= farther + TIES for nearer, farther in zip(distances, distances[1:]))


def close(expected, actual) -> bool:
    """design.md, Equality: relative L2 distance at most 1e-6."""
    expected, actual = numpy.asarray(expected, numpy.float64), numpy.asarray(actual, numpy.float64)
    if expected.shape != actual.shape:
        return False
    scale = max(float(numpy.linalg.norm(expected)), 1e-30)
    return float(numpy.linalg.norm(expected - actual)) <= 1e-6 * scale


def same_metadata(left: dict, right: dict) -> bool:
    """Equal with types: Python alone would call 1, 1.0 and True the same."""
    return left == right and all(type(left[name]) is type(right[name]) for name in left)


def _brief(state) -> str:
    return "absent" if state is None else f"(row {state.row}, {state.document!r:.40}, {state.metadata})"


def _brief_observed(observed) -> str:
    if observed is None:
        return "absent"
    _, document, metadata = observed
    return f"({'...' if document is Ellipsis else repr(document)[:40]}, {metadata})"


class Latencies:
    """Request times by kind, with the moment each request began."""

    def __init__(self):
        self._lock = threading.Lock()
        self._samples = []

    def add(self, kind: str, began: float, seconds: float) -> None:
        with self._lock:
            self._samples.append((kind, began, seconds))

    def seconds(self, kind=None, since=0.0, until=float("inf")) -> list:
        with self._lock:
            return [s for k, b, s in self._samples if (kind is None or k == kind) and since <= b < until]

    def percentile(self, fraction: float, **which) -> float:
        samples = sorted(self.seconds(**which))
        return samples[min(len(samples) - 1, int(len(samples) * fraction))] if samples else float("nan")

    def longest(self, **which) -> float:
        return max(self.seconds(**which), default=0.0)


def now() -> float:
    return time.monotonic()
