"""An application whose writers share their keys: each key is written, added, deleted and deleted by filter by all of them.

What was asked and what was answered is kept as it happened, for history_check; nothing is judged here. A value is a text
that no other write has, and all of a record follows from it, so that what a read shows tells which write it is of.
"""

import dataclasses
import hashlib
import random
import threading
import traceback
from typing import Optional

import numpy

from history import close
from history_log import DELETE, OK, READ, UNKNOWN, WRITE, WRITE_IF_ABSENT, now
from recorded_history import foreign
from workload import CONNECTION_ERRORS

DIMENSION = 8


@dataclasses.dataclass
class Op:
    process: str
    key: str
    op: str
    value: Optional[str]
    call: int
    ret: Optional[int]
    outcome: str
    mixed: bool = False  # a read that either side may have answered


@dataclasses.dataclass
class Scan:
    process: str
    prefix: str
    keys: list
    call: int
    ret: int


def vector_of(value: str) -> numpy.ndarray:
    digest = hashlib.sha256(value.encode()).digest()
    return numpy.frombuffer(digest[:DIMENSION], numpy.uint8).astype(numpy.float32) - 127.5


def document_of(value: str) -> str:
    return f"what {value} says"


def metadata_of(key: str, value: str) -> dict:
    return {"value": value, "group": group_of(key)}


def group_of(key: str) -> str:
    return key.partition("/")[0]


def value_in(key: str, embedding, document, metadata) -> str:
    """The value that a record shows. Parts of it that were not read are Ellipsis."""
    value = (metadata or {}).get("value")
    if (isinstance(value, str) and metadata == metadata_of(key, value) and document in (Ellipsis, document_of(value))
            and (embedding is Ellipsis or close(vector_of(value), embedding))):
        return value
    return foreign((embedding, document, metadata))


class SharedWriters:
    """`make_client` gives one SDK client of Chroma; a pool of them is shared by all threads. An error of a request is
    kept in `errors`, or counted in `tolerated` when `expects_errors`: what became of it is unknown then."""

    def __init__(self, make_client, seed: int, *, collection="shared", keys=24, groups=4, writers=6, readers=3, pool=4,
                 pause=0.03):
        self.collection_name, self.seed = collection, seed
        self.keys = [f"g{n % groups}/k{n:02}" for n in range(keys)]
        self.ops, self.scans, self.errors, self.tolerated = [], [], [], []
        self.expects_errors = False
        self.mixed = False  # reads may be answered by either side
        self.kinds = {"upsert": 52, "add": 16, "delete": 26, "delete where": 6}  # of writes, and how often
        self._groups = sorted({group_of(key) for key in self.keys})
        self._make_client, self._pool_size, self._pause = make_client, pool, pause
        self._writer_count, self._reader_count = writers, readers
        self._stopping = threading.Event()
        self._threads, self._clients = [], []
        self._lock = threading.Lock()
        self._numbers = {}  # of the values of each process

    # Life.
    def preload(self, client) -> None:
        """What is in the database before vmproxy comes: three keys of four."""
        collection = client.get_or_create_collection(self.collection_name, embedding_function=None)
        self._write("preload", WRITE, {key: self._next("preload") for n, key in enumerate(self.keys) if n % 4},
                    lambda values: collection.add(**arguments(values)))

    def start(self) -> None:
        self._clients = [self._make_client().get_or_create_collection(self.collection_name, embedding_function=None)
                         for _ in range(self._pool_size)]
        self._threads = [
            *(threading.Thread(target=self._forever, args=(f"writer-{n}", self._write_something), daemon=True)
              for n in range(self._writer_count)),
            *(threading.Thread(target=self._forever, args=(f"reader-{n}", self._read_something), daemon=True)
              for n in range(self._reader_count))]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join(120)
            assert not thread.is_alive(), "a request hangs for two minutes"
        self._threads = []

    def go_on(self, writes: int, reads: int = 0, timeout: float = 120.0) -> None:
        """Returns after so many more operations of one key each."""
        def done():
            with self._lock:
                return (sum(1 for op in self.ops if op.op != READ and op.outcome == OK),
                        sum(1 for op in self.ops if op.op == READ))
        first, deadline = done(), now() + int(timeout * 1e9)
        while True:
            self.assert_no_errors()
            last = done()
            if last[0] - first[0] >= writes and last[1] - first[1] >= reads:
                return
            assert now() < deadline, f"only {last[0] - first[0]} writes and {last[1] - first[1]} reads in {timeout} s"
            self._stopping.wait(0.05)

    def assert_no_errors(self) -> None:
        assert not self.errors, f"seed {self.seed}: {len(self.errors)} errors of the application:\n{self.errors[0]}"

    # What a test asks for itself, beside the threads.
    def upsert(self, process: str, key: str) -> None:
        self._write(process, WRITE, {key: self._next(process)}, lambda values: self._clients[0].upsert(**arguments(values)))

    def delete(self, process: str, key: str) -> None:
        self._write(process, DELETE, {key: None}, lambda values: self._clients[0].delete(ids=list(values)))

    def get(self, process: str, keys: list) -> None:
        self._get(process, self._clients[0], keys)

    # The threads.
    def _forever(self, process, something) -> None:
        chance = random.Random(f"{self.seed} {process}")
        while not self._stopping.wait(chance.uniform(0, 2 * self._pause)):
            try:
                something(process, chance)
            except Exception:
                self.errors.append(f"{process}: {traceback.format_exc()[-1500:]}")

    def _write_something(self, process, chance) -> None:
        collection = chance.choice(self._clients)
        kind = chance.choices([*self.kinds], [*self.kinds.values()])[0]
        if kind == "delete where":
            group = chance.choice(self._groups)
            # A key's group never changes: all of its keys are gone afterwards.
            self._write(process, DELETE, {key: None for key in self.keys if group_of(key) == group},
                        lambda _: collection.delete(where={"group": group}))
            return
        keys = chance.sample(self.keys, chance.randint(1, 3))
        if kind == "delete":
            self._write(process, DELETE, dict.fromkeys(keys), lambda values: collection.delete(ids=list(values)))
        else:
            send = collection.upsert if kind == "upsert" else collection.add  # add leaves what is there alone
            self._write(process, WRITE if kind == "upsert" else WRITE_IF_ABSENT,
                        {key: self._next(process) for key in keys}, lambda values: send(**arguments(values)))
        if chance.random() < 0.3:
            self._get(process, collection, keys)  # a process that sees its own writes

    def _read_something(self, process, chance) -> None:
        collection = chance.choice(self._clients)
        kind = chance.choices(("get", "where", "scan"), (60, 30, 10))[0]
        if kind == "get":
            self._get(process, collection, chance.sample(self.keys, chance.randint(1, 4)))
            return
        mixed, call = self.mixed, now()
        try:
            if kind == "scan":
                answer = collection.get(include=[])
                with self._lock:
                    self.scans.append(Scan(process, "", list(answer["ids"]), call, now()))
                return
            group = chance.choice(self._groups)
            answer = collection.get(where={"group": group}, include=["documents", "metadatas"])
        except Exception as error:
            self._failed(error)
            return
        self._seen(process, [key for key in self.keys if group_of(key) == group], answer, call, mixed, f"{group}/")

    def _get(self, process, collection, keys) -> None:
        mixed, call = self.mixed, now()
        try:
            answer = collection.get(ids=sorted(keys), include=["documents", "metadatas"])
        except Exception as error:
            self._failed(error)
            return
        self._seen(process, keys, answer, call, mixed, None)

    def _seen(self, process, keys, answer, call, mixed, prefix: Optional[str]) -> None:
        """`prefix`: the answer is to have every key that begins with it."""
        ret = now()
        found = {key: value_in(key, Ellipsis, document, metadata)
                 for key, document, metadata in zip(answer["ids"], answer["documents"], answer["metadatas"])}
        twice = len(found) != len(answer["ids"])
        with self._lock:
            for key in sorted({*keys, *found}):
                self.ops.append(Op(process, key, READ, found.get(key), call, ret, OK, mixed or self.mixed))
            if prefix or twice:
                self.scans.append(Scan(process, prefix or "nothing", list(answer["ids"]), call, ret))

    def _write(self, process, op, values: dict, send) -> None:
        call, failed = now(), None
        try:
            send(values)
        except Exception as error:
            failed = error
        ret = now()
        with self._lock:
            for key, value in values.items():
                self.ops.append(Op(process, key, op, value, call, None if failed else ret, UNKNOWN if failed else OK))
        if failed:
            self._failed(failed)

    def _failed(self, error) -> None:
        if not self.expects_errors:
            raise error
        self.tolerated.append(repr(error)[:300])
        if isinstance(error, CONNECTION_ERRORS):
            self._stopping.wait(0.05)  # the proxy is dead; do not spin

    def _next(self, process) -> str:
        with self._lock:
            number = self._numbers[process] = self._numbers.get(process, 0) + 1
        return f"{process}:{number}"


def arguments(values: dict) -> dict:
    return {"ids": list(values), "embeddings": [vector_of(value) for value in values.values()],
            "documents": [document_of(value) for value in values.values()],
            "metadatas": [metadata_of(key, value) for key, value in values.items()]}


def write_down(writers: SharedWriters, log, reign=lambda call, ret: None, every_read=True) -> None:
    """reign(call, ret): (side, epoch) if the primary was certain from one to the other. No read may be stale, whoever has
    answered it (docs/configuration.md, reads.consistency). Not every_read: only those that either side may have answered."""
    for op in writers.ops:
        if op.op == READ and not (every_read or op.mixed):
            continue
        more = {} if op.ret is None else {"ret": op.ret}
        of = None if op.op == READ or op.ret is None else reign(op.call, op.ret)
        if of:
            more.update(side=of[0], epoch=of[1])
        log.operation(op.process, op.key, op.op, op.value, call=op.call, outcome=op.outcome, **more)
    for scan in writers.scans if every_read else ():
        log.scan(scan.process, scan.keys, call=scan.call, ret=scan.ret, prefix=scan.prefix)
