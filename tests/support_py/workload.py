"""An application that never stops: writers and readers with the official Chroma SDK.

Writers upsert, update parts, delete by id and by filter and add again; readers get by id, get by
filter and query. Clients come from a pool, and any thread may use any of them, so that a write
and the read after it usually travel over different connections. history.py judges each read.

    workload = Workload(lambda: server.client(), corpus)
    workload.preload(); workload.start(); workload.wait_for(writes=1000); workload.stop()
    workload.assert_clean()
"""

import collections
import contextlib
import random
import sys
import threading
import time
import traceback

import httpx

from history import ACKED, UNCERTAIN, History, Latencies, State, in_order, now
from recorded_history import RecordedHistory

# The request may or may not have reached the database.
CONNECTION_ERRORS = (httpx.TransportError,)


def separate_client(host: str, port: int, ca=None, **options):
    """An SDK client with connections of its own (the SDK shares them between equal clients). ca: it speaks TLS and believes
    this authority."""
    import chromadb
    from chromadb.api.shared_system_client import SharedSystemClient
    from chromadb.config import Settings
    with _client_lock:
        SharedSystemClient.clear_system_cache()
        settings = Settings(anonymized_telemetry=False, chroma_server_ssl_verify=str(ca) if ca else None)
        client = chromadb.HttpClient(host, port, ssl=bool(ca), settings=settings, **options)
        SharedSystemClient.clear_system_cache()
    return client


_client_lock = threading.Lock()


class Workload:
    connection_errors = CONNECTION_ERRORS
    kinds = ("upsert", "update", "add", "delete", "delete where")  # of write requests

    def __init__(self, make_client, corpus, *, collection="packages", writers=8, readers=4,
                 pool=6, groups=None, batch=8, write_rate=50.0, pause=0.01, seed=None, tolerate_connection_errors=False,
                 history_log=None, lean=False):
        """lean: records without a document and with three fields of metadata. Chroma writes a row for each field and an index of
        each document's parts, so that is what makes the difference where many records a second are asked for."""
        self.corpus = corpus
        self.collection_name = collection
        # With a log, tests/checker's program can judge the run as well.
        self.history = RecordedHistory(corpus.embeddings, history_log) if history_log else History(corpus.embeddings)
        self.latencies = Latencies()
        self.seed = seed if seed is not None else random.SystemRandom().randrange(1 << 32)
        self.violations, self.errors, self.tolerated = [], [], []
        self.counts = collections.Counter()
        self._make_client, self._pool_size = make_client, pool
        self._writer_count, self._reader_count = writers, readers
        # Some twenty keys of a writer in each: what a delete by filter takes. With more of them a collection bleeds out.
        self._groups = groups or max(20, len(corpus) // (writers * 20))
        self._batch, self._pause, self._lean = batch, pause, lean
        # The application's own pace, whatever the database could take: an application that writes
        # faster to the one than the other can ever follow has no way back.
        self._write_interval = writers / write_rate
        self._tolerate = tolerate_connection_errors
        self._lock = threading.Lock()
        self._recent = collections.deque(maxlen=400)
        self._stopping = threading.Event()
        self._writing = threading.Event()  # cleared: writers wait between two writes
        self._writing.set()
        self._at_work = 0
        self._threads, self._clients = [], []
        # Each key has one writer. A fifth of the corpus is held back: keys that appear while
        # the copy runs.
        self._keys = [[] for _ in range(writers)]
        for position, key in enumerate(corpus.ids):
            self._keys[position % writers].append(key)
        self._row = {key: position for position, key in enumerate(corpus.ids)}

    # Life.
    def preload(self, client, fraction=0.8, batch=1000) -> int:
        """The history: what is in the database before vmproxy comes."""
        collection = client.get_or_create_collection(self.collection_name, embedding_function=None)
        count = int(len(self.corpus) * fraction)
        for first in range(0, count, batch):
            chosen = {}
            for position in range(first, min(first + batch, count)):
                key = self.corpus.ids[position]
                chosen[key] = self._full_state(key, position % self._writer_count,
                                               random.Random(f"{self.seed} {key}"))
            tokens = self.history.begin(chosen)
            collection.add(**self._arguments(chosen))
            self.history.finish(tokens, ACKED)
        return count

    def start(self) -> None:
        self._clients = [self._open(self._make_client()) for _ in range(self._pool_size)]
        self._stopping.clear()
        self._threads = [
            *(threading.Thread(target=self._write_forever, args=(n,), name=f"writer-{n}", daemon=True)
              for n in range(self._writer_count)),
            *(threading.Thread(target=self._read_forever, args=(n,), name=f"reader-{n}", daemon=True)
              for n in range(self._reader_count))]
        for thread in self._threads:
            thread.start()

    def _open(self, client):
        return client.get_or_create_collection(self.collection_name, embedding_function=None)

    def stop(self) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join(120)
            if thread.is_alive():
                self.errors.append(f"{thread.name} hangs")
        self._threads = []

    @contextlib.contextmanager
    def writers_paused(self, timeout=60.0):
        """No write is under way inside; readers go on. To compare both sides record by record."""
        self._writing.clear()
        deadline = now() + timeout
        try:
            while self._at_work:
                if now() > deadline:
                    raise AssertionError(f"a write hangs for {timeout} s")
                time.sleep(0.005)
            yield
        finally:
            self._writing.set()

    def wait_for(self, writes=0, reads=0, timeout=120.0, fail_fast=True) -> None:
        """Returns after so many more acknowledged writes and finished reads."""
        with self._lock:
            goal_writes = self.counts["writes"] + writes
            goal_reads = self.counts["reads"] + reads
        deadline = now() + timeout
        while self.counts["writes"] < goal_writes or self.counts["reads"] < goal_reads:
            if fail_fast:
                self.assert_clean()
            if now() > deadline:
                raise AssertionError(f"no progress within {timeout} s: {dict(self.counts)}")
            time.sleep(0.01)

    def assert_clean(self) -> None:
        if self.errors or self.violations:
            raise AssertionError(
                f"seed {self.seed}: {len(self.errors)} errors, {len(self.violations)} illegal reads; "
                f"first:\n" + "\n".join([*self.errors[:3], *self.violations[:5]]))

    def summary(self) -> str:
        return (f"{self.counts['writes']} writes ({self.counts['records']} records), "
                f"{self.counts['reads']} reads, {len(self.errors)} errors, "
                f"{len(self.violations)} illegal reads, {len(self.tolerated)} uncertain, seed {self.seed}")

    # Writers.
    def _write_forever(self, number: int) -> None:
        chance = random.Random(f"{self.seed} writer {number}")
        while not self._stopping.is_set():
            if not self._writing.wait(0.1):
                continue
            began = now()
            with self._lock:
                self._at_work += 1
            try:
                if self._writing.is_set():
                    self._write_once(number, chance)
            except Exception:
                self._error()
            finally:
                with self._lock:
                    self._at_work -= 1
            self._stopping.wait(max(0.0, began + chance.uniform(0, 2 * self._write_interval) - now()))

    def _write_once(self, number: int, chance: random.Random) -> None:
        keys = chance.sample(self._keys[number], min(len(self._keys[number]), chance.randint(1, self._batch)))
        known = {key: self.history.known(key) for key in keys}
        present = [key for key in keys if known[key][0] and known[key][1] is not None]
        absent = [key for key in keys if known[key][0] and known[key][1] is None]
        kind = chance.choices(
            ("upsert", "update metadata", "update document", "update embedding", "upsert part",
             "delete ids", "delete where", "add"), (30, 14, 0 if self._lean else 8, 8, 8, 10, 4, 18))[0]
        # After an uncertain outcome only whole images and deletes: their result is certain.
        if kind == "upsert" or (kind == "add" and not absent) or (kind.startswith("up") and not present):
            states = {key: self._full_state(key, number, chance) for key in keys}
            self._request("upsert", states, lambda c: c.upsert(**self._arguments(states)))
        elif kind == "add":
            states = {key: self._full_state(key, number, chance) for key in absent}
            self._request("add", states, lambda c: c.add(**self._arguments(states)))
        elif kind == "update metadata":
            self._update_metadata(present, known, chance)
        elif kind == "update document":
            # With the embedding, or the SDK would compute one itself.
            states = {key: self._changed(key, known[key][1], document=self._document(key, chance)) for key in present}
            self._request("update", states, lambda c: c.update(
                ids=list(states), documents=[s.document for s in states.values()],
                embeddings=[self.corpus.embeddings[s.row] for s in states.values()],
                metadatas=[{"v": s.metadata["v"]} for s in states.values()]))
        elif kind == "update embedding":
            states = {key: self._changed(key, known[key][1], row=chance.randrange(len(self.corpus))) for key in present}
            self._request("update", states, lambda c: c.update(
                ids=list(states), embeddings=[self.corpus.embeddings[s.row] for s in states.values()],
                metadatas=[{"v": s.metadata["v"]} for s in states.values()]))
        elif kind == "upsert part":  # the document and the other metadata stay
            states = {key: self._changed(key, known[key][1], row=chance.randrange(len(self.corpus))) for key in present}
            self._request("upsert", states, lambda c: c.upsert(
                ids=list(states), embeddings=[self.corpus.embeddings[s.row] for s in states.values()],
                metadatas=[{"v": s.metadata["v"]} for s in states.values()]))
        elif kind == "delete where":
            self._delete_where(number, chance)
        else:
            states = {key: None for key in keys}
            self._request("delete", states, lambda c: c.delete(ids=list(states)))

    def _update_metadata(self, present, known, chance) -> None:
        states, sent = {}, []
        for key in present:
            change = {"v": self.history.next_version(key)}
            if self._lean:
                pass  # an upsert names every field, or what it does not name would stay
            elif chance.random() < 0.5:
                change["note"] = chance.choice(("ä", "note", "x" * 30))
            elif "note" in known[key][1].metadata:
                change["note"] = None  # removes it
            if not self._lean and chance.random() < 0.3:
                change["score"] = chance.choice((0.5, 1.0, -2.25))
            states[key] = self._changed(key, known[key][1], change=change)
            sent.append(change)
        self._request("update", states, lambda c: c.update(ids=list(states), metadatas=sent))

    def _delete_where(self, number: int, chance: random.Random) -> None:
        group = chance.randrange(self._groups)
        wanted = {"writer": number, "group": group}
        states = {}
        for key, possible in ((key, self.history.known(key)) for key in self._keys[number]):
            certain, state = possible
            if not certain:
                return  # what the filter would match is not known
            if state is not None and all(state.metadata.get(n) == v for n, v in wanted.items()):
                states[key] = None
        if not 0 < len(states) <= 40:
            return
        self._request("delete where", states, lambda c: c.delete(
            where={"$and": [{name: value} for name, value in wanted.items()]}))

    def _request(self, kind: str, states: dict, send) -> None:
        if not states:
            return
        tokens = self.history.begin(states)
        began = now()
        try:
            send(random.choice(self._clients))
        except self.connection_errors as error:
            self.history.finish(tokens, UNCERTAIN)
            self._connection_error(kind, error, began)
            return
        except Exception:
            self.history.finish(tokens, UNCERTAIN)
            raise
        self.history.finish(tokens, ACKED)
        self.latencies.add("write", began, now() - began)
        with self._lock:
            self.counts["writes"] += 1
            self.counts["records"] += len(states)
            self.counts[kind] += 1
            self._recent.extend(states)

    def _connection_error(self, kind, error, began) -> None:
        if not self._tolerate:
            raise error
        with self._lock:
            self.tolerated.append((kind, began, now(), repr(error)))
        self._stopping.wait(0.05)  # the proxy is dead; do not spin

    # Readers.
    def _read_forever(self, number: int) -> None:
        chance = random.Random(f"{self.seed} reader {number}")
        while not self._stopping.is_set():
            kind = chance.choices(("get", "where", "query", "count"), (60, 10, 25, 5))[0]
            began = now()
            try:
                getattr(self, f"_read_{kind}")(random.choice(self._clients), chance)
                self.latencies.add("read", began, now() - began)
                with self._lock:
                    self.counts["reads"] += 1
                    self.counts[f"read {kind}"] += 1
            except self.connection_errors as error:
                try:
                    self._connection_error(kind, error, began)
                except self.connection_errors:
                    self._error()
            except Exception:
                self._error()
            self._stopping.wait(chance.uniform(0, 2 * self._pause))

    def _read_get(self, collection, chance) -> None:
        """By id: what was written a moment ago, and what was not."""
        with self._lock:
            recent = list(self._recent)
        keys = set(chance.sample(recent, min(len(recent), 6)))
        keys.update(chance.sample(self.corpus.ids, 2))
        keys = sorted(keys)
        floor = self.history.floor(keys)
        answer = self._racing_deletes(floor, lambda: collection.get(
            ids=keys, include=["embeddings", "documents", "metadatas"]))
        if answer is None:
            return
        found = dict(zip(answer["ids"], zip(answer["embeddings"], answer["documents"], answer["metadatas"])))
        if len(found) != len(answer["ids"]):
            self._violation("get", f"an id twice: {answer['ids']}")
        for key in keys:
            self._judge("get", key, floor.get(key, 0), found.pop(key, None))
        if found:
            self._violation("get", f"ids that were not asked for: {list(found)}")

    def _read_where(self, collection, chance) -> None:
        """By filter: nothing stale, and nothing missing that certainly matched."""
        wanted = {"writer": chance.randrange(self._writer_count), "group": chance.randrange(self._groups)}
        floor = self.history.floor(self._keys[wanted["writer"]])
        answer = collection.get(where={"$and": [{n: v} for n, v in wanted.items()]},
                                include=["documents", "metadatas"])
        settled = self.history.settled_states(floor)
        for key, document, metadata in zip(answer["ids"], answer["documents"], answer["metadatas"]):
            self._judge("where", key, floor.get(key, 0), (Ellipsis, document, metadata))
        missing = [key for key, state in settled.items()
                   if state is not None and key not in answer["ids"]
                   and all(state.metadata.get(n) == v for n, v in wanted.items())]
        if missing:
            self._violation("where", f"{wanted}: missing {missing[:5]}")
        with self._lock:
            self.counts["where records"] += len(answer["ids"])

    def _read_query(self, collection, chance) -> None:
        """By vector: whatever is returned must be a legal state."""
        row = chance.randrange(len(self.corpus))
        floor = self.history.floor()
        answer = self._racing_deletes(floor, lambda: collection.query(
            query_embeddings=[self.corpus.embeddings[row]], n_results=10,
            include=["documents", "metadatas", "distances"]))
        if answer is None:
            return
        distances = answer["distances"][0]
        if not in_order(distances):
            self._violation("query", f"distances out of order: {distances}")
        for key, document, metadata in zip(answer["ids"][0], answer["documents"][0], answer["metadatas"][0]):
            self._judge("query", key, floor.get(key, 0), (Ellipsis, document, metadata))

    def _read_count(self, collection, _) -> None:
        floor = self.history.floor()
        count = collection.count()
        final = self.history.settled_states(floor)
        least = sum(1 for state in final.values() if state is not None)
        most = len(self.corpus) - sum(1 for state in final.values() if state is None)
        if not least <= count <= most:
            self._violation("count", f"{count}, legal {least} to {most}")

    def _racing_deletes(self, floor, read):
        """Chroma itself, asked directly, fails a read that races with a delete of what it found:
        it finds the id in one segment and then no vector in the other. Only then, only so."""
        import chromadb.errors
        try:
            return read()
        except chromadb.errors.InternalError as error:
            if "Error finding id" not in str(error) or not self.history.delete_races(floor):
                raise
            with self._lock:
                self.counts["races of Chroma with a delete"] += 1
            return None

    def _judge(self, kind, key, floor, observed) -> None:
        reason = self.history.judge(key, floor, observed)
        if reason:
            self._violation(kind, reason)

    def _error(self) -> None:
        """Called in an except clause: what the application saw, short enough to read."""
        error = sys.exc_info()[1]
        frames = [f"{frame.name}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)
                  if "site-packages" not in frame.filename]
        self.errors.append(f"{now():.3f} {threading.current_thread().name}: {type(error).__name__}: "
                           f"{str(error)[:600]} ({' > '.join(frames[-4:])})")
        self._stopping.wait(0.1)

    def _violation(self, kind, reason) -> None:
        self.violations.append(f"{kind} at {now():.3f}: {reason}")

    # Content.
    def _full_state(self, key, writer, chance) -> State:
        metadata = {"v": self.history.next_version(key), "writer": writer, "group": chance.randrange(self._groups)}
        if not self._lean:
            metadata = {**self.corpus.metadatas[self._row[key]], **metadata, "note": "first", "score": 0.25}
        return State(self._row[key] if chance.random() < 0.7 else chance.randrange(len(self.corpus)),
                     None if self._lean else self._document(key, chance), metadata)

    def _document(self, key, chance) -> str:
        return f"{self.corpus.texts[self._row[key]]} #{chance.randrange(1 << 20)}"

    def _changed(self, key, state, row=None, document=None, change=None) -> State:
        metadata = {**state.metadata, "v": self.history.next_version(key), **(change or {})}
        return State(state.row if row is None else row,
                     state.document if document is None else document,
                     {name: value for name, value in metadata.items() if value is not None})

    def _arguments(self, states: dict) -> dict:
        return {"ids": list(states),
                "embeddings": [self.corpus.embeddings[s.row] for s in states.values()],
                "documents": None if self._lean else [s.document for s in states.values()],
                "metadatas": [s.metadata for s in states.values()]}
