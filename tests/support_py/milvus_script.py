"""More than sixty calls of the official Milvus SDK, errors included, as a list of answers.

The same idea as chroma_script.py: run(host, port) returns [(name, answer)]. Timestamps, generated
ids and timings are replaced; messages are kept.
"""

import re

import chroma_script

differences = chroma_script.differences

_VOLATILE = [
    (re.compile(r"(?<!\d)[1-9]\d{17,18}(?!\d)"), "<id>"),                      # collection, partition and segment ids, timestamps
    (re.compile(r"traceback?.*$", re.S | re.I), ""),
    (re.compile(r"<elapsed:[^>]*>|cost: [\d.]+m?s"), "<time>"),
    (re.compile(r"\d+\.\d+\.\d+\.\d+:\d+|localhost:\d+"), "<address>"),
]
_VOLATILE_KEYS = {"timestamp", "collection_id", "created_timestamp", "created_utc_timestamp", "update_timestamp",
                  "cost", "creation_time", "db_id", "properties_timestamp", "session_ts", "dbID"}


class Recorder(chroma_script.Recorder):
    def _plain(self, value):
        if isinstance(value, bool):
            return value
        if isinstance(value, int) and value > 1 << 57:
            return "<id>"
        if isinstance(value, str):
            for pattern, name in _VOLATILE:
                value = pattern.sub(name, value)
            return value
        if isinstance(value, bytes):
            return value.hex()
        if type(value).__name__ in ("HybridExtraList", "ExtraList", "SearchResult", "Hits", "RepeatedScalarContainer",
                                    "RepeatedScalarFieldContainer"):
            return [self._plain(item) for item in value]
        if hasattr(value, "to_dict") and not isinstance(value, dict):
            return self._plain(value.to_dict())
        if isinstance(value, dict) or type(value).__name__ in ("OmitZeroDict", "Hit"):
            return {str(key): self._plain(item) for key, item in dict(value).items() if key not in _VOLATILE_KEYS}
        if value is None or isinstance(value, (int, float, list, tuple, set)) or type(value).__module__ == "numpy":
            return super()._plain(value)
        return super()._plain(str(value))


def run(host: str, port: int, parts=("setup", "data", "errors", "administration", "partitions"), recorder=None) -> list:
    from pymilvus import MilvusClient
    recorder = recorder or Recorder()
    client = MilvusClient(f"http://{host}:{port}")
    try:
        for part in parts:
            _PARTS[part](recorder.call, client)
    finally:
        client.close()
    return recorder.answers


def rows(first, last):
    """Distances between these are all different."""
    return [{"id": n, "vector": [n * 1.0, n * n / 16.0, (n % 3) / 4.0, 1.0], "title": f"title {n}", "year": 1990 + n,
             "price": n / 4.0, "new": n % 2 == 0, "info": {"colour": ("red", "green", "blue")[n % 3], "n": n},
             "extra": f"dynamic {n}"} for n in range(first, last)]


def schema(client):
    from pymilvus import DataType
    made = client.create_schema(auto_id=False, enable_dynamic_field=True, description="books of a library")
    made.add_field("id", DataType.INT64, is_primary=True)
    made.add_field("vector", DataType.FLOAT_VECTOR, dim=4)
    made.add_field("title", DataType.VARCHAR, max_length=64)
    made.add_field("year", DataType.INT32)
    made.add_field("price", DataType.DOUBLE)
    made.add_field("new", DataType.BOOL)
    made.add_field("info", DataType.JSON)
    return made


def setup(call, client):
    """Collections and records; in S6 these exist before the migration begins."""
    from pymilvus import DataType
    call("server version", client.get_server_version)
    call("no collections", client.list_collections)
    index = client.prepare_index_params()
    index.add_index("vector", index_type="FLAT", metric_type="L2", index_name="by_vector")
    call("create", client.create_collection, "books", schema=schema(client), index_params=index, consistency_level="Strong")
    call("create simple", client.create_collection, "simple", dimension=4, metric_type="COSINE", consistency_level="Strong")
    words = client.create_schema(auto_id=False)
    words.add_field("word", DataType.VARCHAR, max_length=32, is_primary=True)
    words.add_field("vector", DataType.FLOAT_VECTOR, dim=2)
    inner = client.prepare_index_params()
    inner.add_index("vector", index_type="FLAT", metric_type="IP")
    call("create with string keys", client.create_collection, "words", schema=words, index_params=inner,
         consistency_level="Strong")
    call("insert", client.insert, "books", rows(1, 21))
    call("insert one", client.insert, "books", rows(21, 22)[0])
    call("insert simple", client.insert, "simple", [{"id": n, "vector": [n, 1.0, 0.5, -n], "any": n * 2} for n in range(1, 6)])
    call("insert words", client.insert, "words", [{"word": w, "vector": [len(w), i]} for i, w in enumerate(
        ("alpha", "bé", "日本", "d'e\"f"))])
    call("flush", client.flush, "books")
    call("insert after flush", client.insert, "books", rows(22, 25))


def data(call, client):
    """Reads, expressions and writes of records."""
    everything = ["id", "title", "year", "price", "new", "info", "extra"]

    def query(name, expression, fields=("id",), **options):
        call(f"query {name}", lambda: sorted(client.query("books", filter=expression, output_fields=list(fields), **options),
                                             key=lambda row: row.get("id", 0)))

    call("get", client.get, "books", ids=[3, 1, 2])
    call("get fields", client.get, "books", ids=[5], output_fields=everything)
    call("get unknown", client.get, "books", ids=[999])
    call("get by word", client.get, "words", ids=["日本", "d'e\"f"])
    query("all fields", "id < 4", everything)
    query("vector", "id in [7, 8]", ["id", "vector"])
    query("star", "id == 9", ["*"])
    for name, expression in {
            "equal": "year == 2000", "not equal": "year != 2000", "less": "price < 1.0", "chain": "1 < id < 5",
            "and": "year > 1995 and new == true", "or": "id == 1 or title == 'title 7'", "not": "not (id > 3)",
            "in": "id in [1, 5, 700]", "not in": "id not in [1, 2, 3]", "in strings": "title in ['title 2', 'title 9']",
            "like": "title like 'title 1%'", "arithmetic": "id % 5 == 2", "sum": "price + 1 == 3.5", "double": "price >= 2.25",
            "json": "info['colour'] == 'red'", "json number": "info['n'] > 20", "dynamic": "extra == 'dynamic 4'",
            "json contains": "json_contains(info['list'], 1)", "bool": "new == false and id < 6",
            "exists": "exists info['colour']", "symbols": "id > 2 && id < 5 || id == 20", "negative": "id > -1 and price == 0.25",
            "string order": "title > 'title 8'", "escaped": "title == 'it\\'s'"}.items():
        query(name, expression)
    call("get by words", client.get, "words", ids=["日本", "bé"])
    query("limit", "id > 0", limit=1000)
    call("query limit offset", lambda: len(client.query("books", filter="id > 0", limit=5, offset=3, output_fields=["id"])))
    call("count", client.query, "books", filter="", output_fields=["count(*)"])
    call("count filtered", client.query, "books", filter="year > 2000", output_fields=["count(*)"])

    at = [3.1, 0.7, 0.1, 1.0]
    call("search", client.search, "books", [at], limit=4)
    call("search fields", client.search, "books", [at], limit=2, output_fields=everything)
    call("search filter", client.search, "books", [at], limit=5, filter="year > 1995 and info['colour'] == 'blue'", output_fields=["year"])
    call("search two", client.search, "books", [at, [9.0, 5.0, 0.0, 1.0]], limit=2)
    call("search offset", client.search, "books", [at], limit=3, search_params={"params": {}, "offset": 2})
    call("search range", client.search, "books", [at], limit=10, search_params={"params": {"radius": 5.0, "range_filter": 0.5}})
    call("search cosine", client.search, "simple", [[1.0, 1.0, 0.2, 0.3]], limit=3, output_fields=["any"])
    call("search inner product", client.search, "words", [[1.0, 2.0]], limit=3)
    call("search with vector", client.search, "books", [at], limit=1, output_fields=["vector"])
    call("search nothing", client.search, "books", [at], limit=3, filter="id > 5000")

    call("upsert", client.upsert, "books", [{**rows(3, 4)[0], "title": "changed", "extra": 5}])
    query("after upsert", "id == 3", everything)
    call("upsert new", client.upsert, "books", rows(30, 32))
    call("upsert without dynamic", client.upsert, "books", [{k: v for k, v in rows(4, 5)[0].items() if k != "extra"}])
    query("after upsert without dynamic", "id == 4", everything)
    call("delete ids", client.delete, "books", ids=[1, 2, 999])
    call("delete expression", client.delete, "books", filter="year > 2010 and new == true")
    call("delete words", client.delete, "words", ids=["alpha"])
    query("after delete", "id > 0", everything)
    call("insert again", client.insert, "books", rows(1, 2))
    query("after insert again", "id == 1", everything)
    call("count at the end", client.query, "books", filter="", output_fields=["count(*)"])
    call("search at the end", client.search, "books", [at], limit=50, output_fields=["title"])

    def iterate(make, *arguments, **options):
        iterator, found = make(*arguments, **options), []
        while True:
            page = iterator.next()
            if not page:
                iterator.close()
                return sorted(row["id"] for row in page_rows(found))
            found.append(list(page))

    call("query iterator", iterate, client.query_iterator, "books", batch_size=7, filter="id > 0", output_fields=["id"])
    call("search iterator", iterate, client.search_iterator, "books", data=[at], batch_size=4, limit=12,
         search_params={"metric_type": "L2"})


def page_rows(pages):
    return [row for page in pages for row in page]


def errors(call, client):
    """What applications do wrong."""
    call("wrong dimension", client.insert, "books", [{**rows(50, 51)[0], "vector": [1.0, 2.0]}])
    call("missing field", client.insert, "books", [{"id": 50, "vector": [1.0] * 4}])
    call("wrong type", client.insert, "books", [{**rows(50, 51)[0], "year": "old"}])
    call("too long", client.insert, "books", [{**rows(50, 51)[0], "title": "x" * 100}])
    call("unknown collection insert", client.insert, "nothing", rows(1, 2))
    call("unknown collection search", client.search, "nothing", [[1.0] * 4], limit=1)
    call("unknown collection query", client.query, "nothing", filter="id > 0")
    call("describe unknown", client.describe_collection, "nothing")
    call("search wrong dimension", client.search, "books", [[1.0, 2.0]], limit=1)
    call("bad expression", client.query, "books", filter="id >")
    call("unknown field in expression", client.query, "words", filter="nothing == 1")
    call("type error in expression", client.query, "books", filter="title > 5")
    call("unknown output field", client.query, "words", filter="word != ''", output_fields=["nothing"])
    call("no filter no limit", client.query, "books", filter="")
    call("limit too large", client.search, "books", [[1.0] * 4], limit=20_000)
    call("create existing with another schema", client.create_collection, "simple", dimension=8)
    call("bad name", client.create_collection, "1 bad name", dimension=4)
    call("drop unknown", client.drop_collection, "nothing")
    call("nothing after the errors", client.get, "books", ids=[50])


def administration(call, client):
    """Describe, indexes, partitions, aliases, loading."""
    call("list", lambda: sorted(client.list_collections()))
    call("has", lambda: [client.has_collection("books"), client.has_collection("nothing")])
    call("describe", client.describe_collection, "books")
    call("list indexes", client.list_indexes, "books")
    call("describe index", client.describe_index, "books", "by_vector")
    call("load state", client.get_load_state, "books")
    call("release", client.release_collection, "simple")
    call("search released", client.search, "simple", [[1.0] * 4], limit=1)
    call("load", client.load_collection, "simple")
    call("search loaded", client.search, "simple", [[1.0, 1.0, 0.2, 0.3]], limit=2)
    call("create counted", client.create_collection, "counted", dimension=2)
    call("insert counted", client.insert, "counted", [{"id": n, "vector": [n, 1.0]} for n in range(7)])
    call("flush counted", client.flush, "counted")
    call("statistics", client.get_collection_stats, "counted")
    call("drop counted", client.drop_collection, "counted")
    call("create partition", client.create_partition, "books", "old")
    call("list partitions", lambda: sorted(client.list_partitions("books")))
    call("has partition", client.has_partition, "books", "old")
    call("load partition", client.load_partitions, "books", ["old"])
    call("insert into partition", client.insert, "books", rows(60, 63), partition_name="old")
    call("query partition", lambda: sorted(r["id"] for r in client.query(
        "books", filter="id > 0", output_fields=["id"], partition_names=["old"])))
    call("search partition", client.search, "books", [[60.0, 225.0, 0.0, 1.0]], limit=2, partition_names=["old"])
    call("delete in partition", client.delete, "books", ids=[61], partition_name="old")
    call("after delete in partition", lambda: sorted(r["id"] for r in client.query("books", filter="id > 55", output_fields=["id"])))
    call("create alias", client.create_alias, "books", "library")
    call("search by alias", client.search, "library", [[3.1, 0.7, 0.1, 1.0]], limit=2)
    call("list aliases", client.list_aliases, "books")
    call("drop by alias", client.drop_collection, "library")
    call("drop alias", client.drop_alias, "library")
    call("rename", client.rename_collection, "words", "terms")
    call("after rename", lambda: sorted(client.list_collections()))
    call("drop", client.drop_collection, "terms")
    call("after drop", client.has_collection, "terms")
    call("list databases", client.list_databases)
    call("list users", client.list_users)


def partitions(call, client):
    """The life of partitions, on a collection of its own."""
    index = client.prepare_index_params()
    index.add_index("vector", index_type="FLAT", metric_type="L2", index_name="by_vector")
    call("parts create", client.create_collection, "parted", schema=schema(client), index_params=index,
         consistency_level="Strong")

    def ids(name, expression="id > 0", **options):
        call(name, lambda: sorted(row["id"] for row in client.query("parted", filter=expression, output_fields=["id"], **options)))

    call("parts insert", client.insert, "parted", rows(1, 5))
    call("parts create a", client.create_partition, "parted", "a")
    call("parts create b", client.create_partition, "parted", "b")
    call("parts create a again", client.create_partition, "parted", "a")
    call("parts list", lambda: sorted(client.list_partitions("parted")))
    call("parts load", client.load_partitions, "parted", ["a", "b"])
    call("parts insert a", client.insert, "parted", rows(10, 15), partition_name="a")
    call("parts insert b", client.insert, "parted", rows(20, 25), partition_name="b")
    call("parts upsert a", client.upsert, "parted", [{**rows(10, 11)[0], "title": "new in a"}], partition_name="a")
    call("parts insert unknown", client.insert, "parted", rows(90, 91), partition_name="nowhere")
    ids("parts all")
    ids("parts a", partition_names=["a"])
    ids("parts default", partition_names=["_default"])
    ids("parts two", partition_names=["a", "b"])
    ids("parts unknown", partition_names=["nowhere"])
    call("parts get", lambda: sorted(row["title"] for row in client.get("parted", ids=[1, 10, 20], output_fields=["title"])))
    call("parts get a", lambda: sorted(row["title"] for row in client.get("parted", ids=[1, 10, 20], output_fields=["title"],
                                                                          partition_names=["a"])))
    call("parts search a", client.search, "parted", [[10.0, 6.25, 0.25, 1.0]], limit=2, partition_names=["a"])
    call("parts search", client.search, "parted", [[10.0, 6.25, 0.25, 1.0]], limit=20)
    call("parts count a", client.query, "parted", filter="", output_fields=["count(*)"], partition_names=["a"])
    call("parts delete ids in a", client.delete, "parted", ids=[11, 20], partition_name="a")
    ids("parts after delete ids in a")
    call("parts delete filter in b", client.delete, "parted", filter="id < 23", partition_name="b")
    ids("parts after delete filter in b")
    call("parts delete ids anywhere", client.delete, "parted", ids=[2, 12, 24])
    ids("parts after delete ids anywhere")
    call("parts drop loaded", client.drop_partition, "parted", "a")
    call("parts release", client.release_partitions, "parted", ["a"])
    ids("parts after release")
    ids("parts released", partition_names=["a"])
    call("parts get released", lambda: sorted(row["id"] for row in client.get("parted", ids=[1, 10, 23])))
    call("parts search released", client.search, "parted", [[10.0, 6.25, 0.25, 1.0]], limit=2, partition_names=["a"])
    call("parts delete released", client.delete, "parted", ids=[13])
    call("parts drop", client.drop_partition, "parted", "a")
    call("parts drop unknown", client.drop_partition, "parted", "nowhere")
    call("parts has", lambda: [client.has_partition("parted", "a"), client.has_partition("parted", "b")])
    ids("parts after drop")
    call("parts drop default", client.drop_partition, "parted", "_default")
    call("parts create bad name", client.create_partition, "parted", "1 bad")
    call("parts drop collection", client.drop_collection, "parted")


_PARTS = {"setup": setup, "data": data, "errors": errors, "administration": administration, "partitions": partitions}
