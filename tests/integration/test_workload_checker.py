"""The checker of the live tests, tested: content with a real Chroma, not content with faults."""

import random
import threading

import pytest

import sides
from workload import Workload, separate_client


class Faulty:
    """A collection that does most things right."""

    def __init__(self, collection, chance, fault):
        self._collection, self._chance, self._fault = collection, chance, fault
        self._old, self._lock = None, threading.Lock()

    def __getattr__(self, name):
        return getattr(self._collection, name)

    def _sometimes(self):
        with self._lock:
            return self._chance.random() < 0.05

    def upsert(self, **arguments):
        if self._fault == "lost write" and self._sometimes():
            return
        self._collection.upsert(**arguments)
        if self._fault == "late retry":  # an old attempt lands after a newer one
            old, self._old = self._old, arguments
            if old and self._sometimes():
                self._collection.upsert(**old)

    def delete(self, **arguments):
        if self._fault == "resurrection" and "ids" in arguments:
            before = self._collection.get(ids=arguments["ids"], include=["embeddings", "documents", "metadatas"])
            self._collection.delete(**arguments)
            if before["ids"] and self._sometimes():
                before = {name: before[name] for name in ("ids", "embeddings", "documents", "metadatas")}
                self._collection.upsert(**before)
        else:
            self._collection.delete(**arguments)

    def get(self, **arguments):
        if self._fault == "lost connection" and self._sometimes():
            import httpx
            raise httpx.ReadError("connection reset")
        answer = self._collection.get(**arguments)
        if self._fault == "stale read" and "ids" in arguments:
            old, self._old = self._old, dict(answer)
            if old and self._sometimes():
                return {**answer, **{k: old[k] for k in ("ids", "embeddings", "documents", "metadatas")}}
        return answer


class FaultyClient:
    def __init__(self, client, chance, fault):
        self._client, self._chance, self._fault = client, chance, fault

    def get_or_create_collection(self, *arguments, **options):
        return Faulty(self._client.get_or_create_collection(*arguments, **options), self._chance, self._fault)


def test_clean_against_a_real_chroma(chroma, make_workload, scale):
    workload = make_workload(chroma.port)
    workload.preload(chroma.client())
    workload.start()
    workload.wait_for(writes=scale(800, 150), reads=scale(800, 150))
    workload.stop()
    workload.assert_clean()
    assert sides.illegal_final(workload.history, sides.chroma_records(chroma, "packages")) == []


@pytest.mark.parametrize("fault", ["lost write", "late retry", "resurrection", "stale read", "lost connection"])
def test_a_planted_fault_is_found(fault, chroma, corpus, seed):
    chance = random.Random(seed)
    workload = Workload(lambda: FaultyClient(separate_client("127.0.0.1", chroma.port), chance, fault), corpus,
                        seed=seed)
    workload.preload(chroma.client(), fraction=min(0.8, 800 / len(corpus)))
    # Few keys: each is read soon after it was written.
    workload._keys = [keys[:15] for keys in workload._keys]
    workload.start()
    try:
        with pytest.raises(AssertionError, match="errors|illegal") as caught:
            workload.wait_for(writes=3000, timeout=60)
            workload.stop()
            workload.assert_clean()
            assert not sides.illegal_final(workload.history, sides.chroma_records(chroma, "packages")), "illegal end"
        print(f"{fault}: {str(caught.value)[:300]}")
    finally:
        workload.stop()
