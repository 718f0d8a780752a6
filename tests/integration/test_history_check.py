"""What the workload records, judged by tests/checker's program. The database is a dictionary."""

import json
import pathlib
import random
import subprocess
import threading

import numpy
import pytest

from corpus import Corpus
from history import ACKED, REJECTED, UNCERTAIN, History, State
from history_log import HistoryLog
from recorded_history import RecordedHistory, write_down, write_down_final
from shared_writers import SharedWriters, value_in
from shared_writers import write_down as write_down_shared
from test_workload_checker import FaultyClient
from vmproxy import binary
from workload import Workload

PROGRAM = pathlib.Path(binary()).parent / "history_check"


class MemoryCollection:
    """What the workload uses of Chroma's collection, each call at one moment."""

    def __init__(self):
        self._records, self._lock = {}, threading.Lock()  # id: (embedding, document, metadata)

    def get_or_create_collection(self, *_, **__):
        return self

    def add(self, **arguments):
        with self._lock:
            self._change(arguments, lambda known: known is None)

    def upsert(self, **arguments):
        with self._lock:
            self._change(arguments, lambda known: True)

    def update(self, **arguments):
        with self._lock:
            self._change(arguments, lambda known: known is not None)

    def delete(self, ids=None, where=None):
        with self._lock:
            for key in self._select(ids, where):
                del self._records[key]

    def get(self, ids=None, where=None, include=()):
        with self._lock:
            return self._answer(self._select(ids, where), lambda values: values)

    def query(self, query_embeddings, n_results, include=()):
        with self._lock:
            at = query_embeddings[0]
            distance = {key: float(numpy.sum((record[0] - at) ** 2)) for key, record in self._records.items()}
            nearest = sorted(distance, key=distance.get)[:n_results]
            return {**self._answer(nearest, lambda values: [values]), "distances": [[distance[key] for key in nearest]]}

    def count(self):
        with self._lock:
            return len(self._records)

    def records(self):
        with self._lock:
            return dict(self._records)

    def _change(self, arguments, applies):
        for position, key in enumerate(arguments["ids"]):
            known = self._records.get(key)
            if not applies(known):
                continue
            embedding, document, metadata = known or (None, None, {})
            given = {name: arguments[name][position] for name in ("embeddings", "documents", "metadatas")
                     if name in arguments}
            metadata = {**metadata, **(given.get("metadatas") or {})}
            self._records[key] = (given.get("embeddings", embedding), given.get("documents", document),
                                  {name: value for name, value in metadata.items() if value is not None})

    def _select(self, ids, where):
        wanted = {} if where is None else {n: v for part in where.get("$and", [where]) for n, v in part.items()}
        return [key for key, (_, _, metadata) in self._records.items()
                if (ids is None or key in ids) and all(metadata.get(n) == v for n, v in wanted.items())]

    def _answer(self, keys, shape):
        chosen = [self._records[key] for key in keys]
        return {"ids": shape(keys), "embeddings": shape([r[0] for r in chosen]),
                "documents": shape([r[1] for r in chosen]), "metadatas": shape([r[2] for r in chosen])}


def small_corpus(count=60) -> Corpus:
    vectors = numpy.random.default_rng(1).standard_normal((count, 8)).astype(numpy.float32)
    return Corpus([f"id{n}" for n in range(count)], [f"text {n}" for n in range(count)],
                  [{"section": "s", "size": n} for n in range(count)], vectors)


def run_program(*files, options=()):
    done = subprocess.run([PROGRAM, "--json", *options, *files], capture_output=True, text=True, timeout=300)
    assert done.returncode in (0, 1, 3), done.stderr
    return done.returncode, json.loads(done.stdout)


def broken(report) -> set:
    return {rule for rule, result in report["rules"].items() if result["anomalies"]}


def workload_of(path, seed, client):
    log = HistoryLog(path)
    return log, Workload(client, small_corpus(), seed=seed, history_log=log, write_rate=2000, pause=0.0005)


def end(log, workload, collection):
    """Both sides are the same dictionary here."""
    workload.stop()
    workload.history.close()
    for side in ("source", "target"):
        write_down_final(workload.history, log, side, collection.records())
    log.close()


def test_a_run_without_faults_is_clean(tmp_path, seed):
    collection = MemoryCollection()
    log, workload = workload_of(tmp_path / "history.jsonl", seed, lambda: collection)
    workload.preload(collection)
    workload.start()
    workload.wait_for(writes=600, reads=600)
    end(log, workload, collection)
    workload.assert_clean()
    code, report = run_program(tmp_path / "history.jsonl", options=("--require", "linearizability", "--require",
                                                                    "monotone_reads", "--require", "sides_differ"))
    assert (code, report["verdict"], report["anomalies"]) == (0, "clean", [])
    assert report["counts"]["reads"] > 600 and report["counts"]["writes"] > 300 and report["counts"]["deletes"] > 0


@pytest.mark.parametrize("fault", ["lost write", "late retry", "resurrection", "stale read"])
def test_a_planted_fault_is_found(fault, tmp_path, seed):
    collection, chance = MemoryCollection(), random.Random(seed)
    log, workload = workload_of(tmp_path / "history.jsonl", seed, lambda: FaultyClient(collection, chance, fault))
    workload.preload(collection)
    workload.start()
    workload.wait_for(writes=1500, fail_fast=False)
    end(log, workload, collection)
    code, report = run_program(tmp_path / "history.jsonl")
    assert code == 1
    assert "linearizability" in broken(report)
    if fault == "resurrection":
        assert "resurrection" in broken(report)
    assert all(anomaly["records"] for anomaly in report["anomalies"])


def shared(path, seed, client, writes):
    """Several writers a key, each call at one moment; both sides are the same dictionary."""
    collection = client if isinstance(client, MemoryCollection) else client._client
    writers = SharedWriters(lambda: client, seed, pause=0.001)
    writers.preload(collection)
    writers.start()
    try:
        writers.go_on(writes, reads=writes)
    finally:
        writers.stop()
    with HistoryLog(path) as log:
        write_down_shared(writers, log)
        for side in ("source", "target"):
            for key, record in collection.records().items():
                log.final(side, key, value_in(key, *record))
            log.final_complete(side)


def test_writers_that_share_their_keys_are_clean(tmp_path, seed):
    shared(tmp_path / "history.jsonl", seed, MemoryCollection(), 1500)
    required = [word for rule in ("linearizability", "set_lost", "resurrection") for word in ("--require", rule)]
    code, report = run_program(tmp_path / "history.jsonl", options=required)
    assert (code, report["verdict"], report["anomalies"]) == (0, "clean", [])
    assert report["counts"]["writes"] > 500 and report["counts"]["deletes"] > 300 and report["counts"]["scans"] > 10


@pytest.mark.parametrize("fault", ["lost write", "late retry", "resurrection", "stale read"])
def test_a_fault_among_writers_that_share_their_keys_is_found(fault, tmp_path, seed):
    client = FaultyClient(MemoryCollection(), random.Random(seed), fault)
    shared(tmp_path / "history.jsonl", seed, client, 3000)
    code, report = run_program(tmp_path / "history.jsonl")
    assert code == 1 and "linearizability" in broken(report)


def state(row, version) -> State:
    return State(row, f"document {version}", {"v": version})


def as_read(history, known: State):
    return history._embeddings[known.row], known.document, dict(known.metadata)


@pytest.mark.parametrize("recorded", [False, True])
def test_outcomes_and_versions_are_converted(recorded, tmp_path):
    path, corpus = tmp_path / "history.jsonl", small_corpus()
    with HistoryLog(path) as log:
        history = RecordedHistory(corpus.embeddings, log) if recorded else History(corpus.embeddings)
        first, second, third = state(0, 1), state(1, 2), state(2, 3)
        history.finish(history.begin({"k": first}), ACKED)
        history.finish(history.begin({"k": second}), UNCERTAIN)
        history.finish(history.begin({"k": third}), REJECTED)
        history.begin({"k": None})
        if recorded:
            floor = history.floor(["k"])["k"]
            assert history.judge("k", floor, as_read(history, second)) is None
            history.close()
        else:
            write_down(history, log)
        write_down_final(history, log, "source", {"k": as_read(history, second)})
        write_down_final(history, log, "target", {"k": as_read(history, second)})
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    writes = [(line["op"], line.get("value"), line["outcome"]) for line in lines
              if line["type"] == "op" and line["op"] != "read"]
    assert writes == [("write", "v1", "ok"), ("write", "v2", "unknown"), ("write", "v3", "fail"),
                      ("delete", None, "unknown")]
    assert [line["value"] for line in lines if line["type"] == "final"] == ["v2", "v2"]
    assert run_program(path)[1]["verdict"] == "clean"


@pytest.mark.parametrize("ending, rule", [
    ({"k": "first"}, "illegal_final"),  # the second was acknowledged
    ({}, "set_lost"),
    ({"k": "foreign"}, "illegal_final"),
])
def test_an_illegal_end_is_found(ending, rule, tmp_path):
    path, corpus = tmp_path / "history.jsonl", small_corpus()
    history = History(corpus.embeddings)
    states = {"first": state(0, 1), "second": state(1, 2), "foreign": state(3, 9)}
    for name in ("first", "second"):
        history.finish(history.begin({"k": states[name]}), ACKED)
    records = {key: as_read(history, states[name]) for key, name in ending.items()}
    with HistoryLog(path) as log:
        write_down(history, log)
        write_down_final(history, log, "source", records)
        write_down_final(history, log, "target", records)
    code, report = run_program(path)
    assert code == 1 and rule in broken(report)
