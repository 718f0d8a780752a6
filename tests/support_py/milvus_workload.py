"""workload.py's application with the official Milvus SDK: upsert, insert, delete by id and by
expression; query by id, by expression, search. Milvus replaces whole records, so there are no
partial updates."""

import random

from history import ACKED, State, in_order
from workload import Workload

FIELDS = ["id", "text", "section", "size", "homepage", "v", "writer", "grp", "note", "score"]


def separate_client(host: str, port: int, ca=None):
    """A client with a connection of its own (the SDK shares them between equal addresses). ca: it speaks TLS and believes this
    authority."""
    from pymilvus import MilvusClient
    tls = {"secure": True, "server_pem_path": str(ca)} if ca else {}
    return MilvusClient(f"{'https' if ca else 'http'}://{host}:{port}", dedicated=True, **tls)


class MilvusWorkload(Workload):
    connection_errors = ()  # the SDK repeats a lost call by itself
    kinds = ("upsert", "insert", "delete", "delete where")

    def __init__(self, make_client, corpus, **options):
        super().__init__(make_client, corpus, **options)
        self.history.lenient_in_flight = True
        # Keys are numbers: the position in the corpus.
        self._all = list(range(len(corpus)))
        self._keys = [self._all[writer::self._writer_count] for writer in range(self._writer_count)]
        self._row = {key: key for key in self._all}

    def preload(self, client, fraction=0.8, batch=1000) -> int:
        from pymilvus import DataType
        schema = client.create_schema(auto_id=False, enable_dynamic_field=True)
        schema.add_field("id", DataType.INT64, is_primary=True)
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=self.corpus.embeddings.shape[1])
        schema.add_field("text", DataType.VARCHAR, max_length=2000)
        schema.add_field("section", DataType.VARCHAR, max_length=100)
        schema.add_field("size", DataType.INT64)
        schema.add_field("homepage", DataType.BOOL)
        schema.add_field("v", DataType.INT64)
        schema.add_field("writer", DataType.INT32)
        schema.add_field("grp", DataType.INT32)
        index = client.prepare_index_params()
        index.add_index("vector", index_type="FLAT", metric_type="L2")
        client.create_collection(self.collection_name, schema=schema, index_params=index, consistency_level="Strong")
        count = int(len(self.corpus) * fraction)
        for first in range(0, count, batch):
            states = {key: self._full_state(key, key % self._writer_count, random.Random(f"{self.seed} {key}"))
                      for key in range(first, min(first + batch, count))}
            tokens = self.history.begin(states)
            client.insert(self.collection_name, self._rows(states))
            self.history.finish(tokens, ACKED)
        client.flush(self.collection_name)
        return count

    def _open(self, client):
        return client

    def _write_once(self, number, chance) -> None:
        keys = chance.sample(self._keys[number], min(len(self._keys[number]), chance.randint(1, self._batch)))
        absent = [key for key in keys if self.history.known(key) == (True, None)]
        kind = chance.choices(("upsert", "insert", "delete ids", "delete where"), (60, 20, 15, 5))[0]
        name = self.collection_name
        if kind == "delete where":
            self._delete_where(number, chance)
        elif kind == "delete ids":
            states = {key: None for key in keys}
            self._request("delete", states, lambda c: c.delete(name, ids=list(states)))
        else:  # an insert of a key that exists would make it two
            chosen = absent if kind == "insert" and absent else keys
            states = {key: self._full_state(key, number, chance) for key in chosen}
            if kind == "insert" and absent:
                self._request("insert", states, lambda c: c.insert(name, self._rows(states)))
            else:
                self._request("upsert", states, lambda c: c.upsert(name, self._rows(states)))

    def _delete_where(self, number, chance) -> None:
        group = chance.randrange(self._groups)
        states = {}
        for key in self._keys[number]:
            certain, state = self.history.known(key)
            if not certain:
                return
            if state is not None and (state.metadata["writer"], state.metadata["grp"]) == (number, group):
                states[key] = None
        if 0 < len(states) <= 40:
            self._request("delete where", states, lambda c: c.delete(
                self.collection_name, filter=f"writer == {number} and grp == {group}"))

    def _read_get(self, client, chance) -> None:
        with self._lock:
            recent = list(self._recent)
        # Half of them ask for records that were not written just now: those may be answered by a target that lags a little.
        keys = sorted({*chance.sample(recent, min(len(recent), 6)), *chance.sample(self._all, 2)} if chance.random() < 0.5
                      else set(chance.sample(self._all, 2)))
        floor = self.history.floor(keys)
        answer = client.query(self.collection_name, filter=f"id in {keys}", output_fields=[*FIELDS, "vector"],
                              consistency_level="Strong")
        found = {row["id"]: row for row in answer}
        if len(found) != len(answer):
            self._violation("get", f"an id twice: {[row['id'] for row in answer]}")
        for key in keys:
            row = found.pop(key, None)
            self._judge("get", key, floor.get(key, 0), observed(row, row and row["vector"]))
        if found:
            self._violation("get", f"ids that were not asked for: {list(found)}")

    def _read_where(self, client, chance) -> None:
        writer, group = chance.randrange(self._writer_count), chance.randrange(self._groups)
        floor = self.history.floor(self._keys[writer])
        answer = client.query(self.collection_name, filter=f"writer == {writer} and grp == {group}",
                              output_fields=FIELDS, limit=10_000)
        settled, ids = self.history.settled_states(floor), {row["id"] for row in answer}
        for row in answer:
            self._judge("where", row["id"], floor.get(row["id"], 0), observed(row))
        missing = [key for key, state in settled.items() if state is not None and key not in ids
                   and (state.metadata["writer"], state.metadata["grp"]) == (writer, group)]
        if missing:
            self._violation("where", f"writer {writer} grp {group}: missing {missing[:5]}")

    def _read_query(self, client, chance) -> None:
        floor = self.history.floor()
        at = self.corpus.embeddings[chance.randrange(len(self.corpus))]
        hits = client.search(self.collection_name, [at.tolist()], limit=10, output_fields=FIELDS)[0]
        distances = [hit["distance"] for hit in hits]
        if not in_order(distances):
            self._violation("query", f"distances out of order: {distances}")
        for hit in hits:
            self._judge("query", hit["id"], floor.get(hit["id"], 0), observed({**hit["entity"], "id": hit["id"]}))

    def _read_count(self, client, _) -> None:
        floor = self.history.floor()
        count = client.query(self.collection_name, filter="", output_fields=["count(*)"])[0]["count(*)"]
        settled = self.history.settled_states(floor)
        least = sum(1 for state in settled.values() if state is not None)
        if count < least:  # Milvus counts replaced records until they are compacted: no upper bound
            self._violation("count", f"{count}, at least {least}")

    def _full_state(self, key, writer, chance) -> State:
        source = self.corpus.metadatas[key]
        metadata = {"section": source["section"], "size": source["size"], "homepage": source["homepage"],
                    "v": self.history.next_version(key), "writer": writer, "grp": chance.randrange(self._groups),
                    "score": 0.25}
        if chance.random() < 0.5:
            metadata["note"] = chance.choice(("ä", "note", "x" * 30))
        return State(key if chance.random() < 0.7 else chance.randrange(len(self.corpus)),
                     self._document(key, chance), metadata)

    def _rows(self, states) -> list:
        return [{"id": key, "vector": self.corpus.embeddings[s.row].tolist(), "text": s.document, **s.metadata}
                for key, s in states.items()]


def observed(row, vector=Ellipsis):
    """A row as history.py sees it; Milvus leaves absent dynamic fields out."""
    if row is None:
        return None
    return (vector, row["text"], {k: v for k, v in row.items() if k not in ("id", "text", "vector")})


def milvus_records(client, collection: str, fields=("*",), batch: int = 1000) -> dict:
    """All records, read directly: {id: (vector, text, the other fields)}."""
    records = {}
    iterator = client.query_iterator(collection, batch_size=batch, filter="id >= 0", output_fields=list(fields))
    while page := iterator.next():
        for row in page:
            if row["id"] in records:
                raise AssertionError(f"{row['id']} twice")
            row.pop("$meta", None)
            records[row["id"]] = observed(row, row["vector"])
    iterator.close()
    return records


__all__ = ["MilvusWorkload", "milvus_records", "separate_client"]
