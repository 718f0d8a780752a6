"""More than sixty calls of the official Chroma SDK, errors included, as a list of answers.

run(host, port) returns [(name, answer)]; differences(expected, actual) compares two such lists.
The same script runs against Chroma directly, through vmproxy (S1) and after promotion with
Chroma stopped (S6). Generated ids are replaced by their order of appearance; messages are kept.
"""

import math
import re
import uuid

import httpx
import numpy

from workload import separate_client

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
KEPT_UUID = "00000000-0000-4000-8000-00000000dead"  # sent by the script itself
DIMENSION = 4


class Recorder:
    def __init__(self):
        self.answers = []
        self._names = {}

    def call(self, name: str, function, /, *arguments, **options):
        """Runs it, records what an application would see, returns the raw answer (None on an error)."""
        assert name not in (known for known, _ in self.answers), name
        try:
            answer = function(*arguments, **options)
        except Exception as error:
            shown = {"error": type(error).__name__, "message": self._plain(str(error))}
            answer = None
        else:
            shown = self._plain(answer)
        self.answers.append((name, shown))
        return answer

    def _plain(self, value):
        if isinstance(value, str):
            return _UUID.sub(lambda match: self._name_of(match.group()), value)
        if isinstance(value, uuid.UUID):
            return self._name_of(str(value))
        if isinstance(value, numpy.ndarray):
            return [self._plain(item) for item in value.tolist()]
        if isinstance(value, numpy.generic):
            return value.item()
        if isinstance(value, dict):
            return {str(key): self._plain(item) for key, item in value.items()}
        if isinstance(value, (list, tuple, set)):
            return [self._plain(item) for item in value]
        if type(value).__name__ == "Collection":
            return {"collection": value.name, "id": self._plain(str(value.id)),
                    "metadata": self._plain(value.metadata),
                    "configuration": self._plain(value.configuration_json),
                    "tenant": value.tenant, "database": value.database}
        if value is None or isinstance(value, (bool, int, float)):
            return value
        return self._plain(repr(value)) if not hasattr(value, "__dict__") else self._plain(
            {k: v for k, v in vars(value).items() if not k.startswith("_")})

    def _name_of(self, text: str) -> str:
        if text in (KEPT_UUID, "00000000-0000-0000-0000-000000000000"):
            return text
        return self._names.setdefault(text, f"<uuid {len(self._names) + 1}>")


def run(host: str, port: int, parts=("setup", "data", "errors", "collections", "tenants", "raw"),
        recorder=None) -> list:
    """All answers of the recorder: pass the same one again to go on with the later parts."""
    recorder = recorder or Recorder()
    client = separate_client(host, port)
    for part in parts:
        _PARTS[part](recorder.call, client, f"http://{host}:{port}")
    return recorder.answers


def vector(*numbers):
    return [float(n) for n in numbers]


def setup(call, client, _url):
    """Collections and records; in S6 these exist before the migration begins."""
    call("heartbeat is a number", lambda: client.heartbeat() > 0)
    call("version", client.get_version)
    call("max batch size", client.get_max_batch_size)
    call("identity", client.get_user_identity)
    fruit = call("create", client.create_collection, "fruit", metadata={"kind": "food", "year": 2026},
                 embedding_function=None)
    call("create cosine", client.create_collection, "cosine", configuration={"hnsw": {"space": "cosine"}},
         embedding_function=None)
    call("create inner product", client.create_collection, "inner", configuration={"hnsw": {"space": "ip"}},
         embedding_function=None)
    call("get or create a new one", client.get_or_create_collection, "letters", embedding_function=None)
    call("add", fruit.add, ids=["apple", "banana", "cherry", "date"],
         embeddings=[vector(1, 0, 0, 0), vector(0, 1, 0, 0), vector(0, 0, 1, 0), vector(0.5, 0.5, 0.1, 0)],
         documents=["a red apple", "a yellow banana", "a red cherry", "a brown date"],
         metadatas=[{"colour": "red", "weight": 180, "price": 0.5, "fresh": True},
                    {"colour": "yellow", "weight": 120, "price": 0.25, "fresh": True},
                    {"colour": "red", "weight": 8, "price": 0.1, "fresh": False},
                    {"colour": "brown", "weight": 7, "price": 1.0}])
    call("add without documents", fruit.add, ids=["elder"], embeddings=[vector(0, 0, 0.2, 1)],
         metadatas=[{"colour": "black", "weight": 1}])
    call("add without metadata", fruit.add, ids=["fig"], embeddings=[vector(0.3, 0, 0, 0.9)], documents=["a fig"])
    call("add bare", fruit.add, ids=["grape"], embeddings=[vector(-1, 0.25, 0, 0)])
    call("add unicode", fruit.add, ids=["öl/ä b?c&d", "日本"], embeddings=[vector(0, 3, 0, 4), vector(2, 2, 2, 2)],
         documents=["Ölfrucht — \"Olive\"\n\\ 🫒", "柿"], metadatas=[{"straße": "ß", "n": -5}, {"n": 9007199254740993}])
    for name in ("cosine", "inner"):
        collection = client.get_collection(name, embedding_function=None)
        call(f"add to {name}", collection.add, ids=["x", "y", "z"],
             embeddings=[vector(1, 2, 3, 4), vector(-4, 3, 2, 1), vector(0.5, 0.25, 8, 0)],
             metadatas=[{"n": 1}, {"n": 2}, {"n": 3}])


def data(call, client, _url):
    """Reads, filters and writes of records."""
    fruit = call("get collection", client.get_collection, "fruit", embedding_function=None)
    everything = ["embeddings", "documents", "metadatas"]
    call("count", fruit.count)
    call("peek", fruit.peek, 2)
    call("get all", fruit.get, include=everything)
    call("get ids", fruit.get, ids=["cherry", "apple"], include=everything)
    call("get one id as a string", fruit.get, ids="banana")
    call("get unknown id", fruit.get, ids=["nobody"], include=everything)
    call("get some known", fruit.get, ids=["nobody", "fig"], include=everything)
    call("get nothing included", fruit.get, include=[])
    call("get limit", fruit.get, limit=3, include=["metadatas"])
    call("get offset", fruit.get, limit=3, offset=4, include=["documents"])
    call("get offset beyond", fruit.get, limit=3, offset=400)
    wheres = {
        "equal": {"colour": "red"},
        "$eq": {"weight": {"$eq": 120}},
        "$ne": {"colour": {"$ne": "red"}},
        "$gt": {"weight": {"$gt": 8}},
        "$gte": {"weight": {"$gte": 8}},
        "$lt float": {"price": {"$lt": 0.5}},
        "$lte float": {"price": {"$lte": 0.5}},
        "$in": {"colour": {"$in": ["red", "black"]}},
        "$nin": {"colour": {"$nin": ["red", "black"]}},
        "bool": {"fresh": True},
        "bool false": {"fresh": {"$eq": False}},
        "$in ints": {"weight": {"$in": [7, 8, 999]}},
        "$and": {"$and": [{"colour": "red"}, {"weight": {"$lt": 100}}]},
        "$or": {"$or": [{"colour": "yellow"}, {"weight": {"$lt": 8}}]},
        "nested": {"$and": [{"$or": [{"colour": "red"}, {"colour": "brown"}]}, {"price": {"$gt": 0.2}}]},
        "unicode": {"straße": "ß"},
        "negative": {"n": {"$lt": 0}},
        "no such field": {"nothing": "x"},
        "int against float": {"price": {"$eq": 1}},
        "float against int": {"weight": {"$eq": 120.0}},
        "string against int": {"weight": "120"},
    }
    for name, where in wheres.items():
        call(f"where {name}", fruit.get, where=where, include=["metadatas"])
    documents = {
        "$contains": {"$contains": "red"},
        "$contains case": {"$contains": "Red"},
        "$not_contains": {"$not_contains": "red"},
        "$regex": {"$regex": "^a (red|brown)"},
        "$not_regex": {"$not_regex": "^a (red|brown)"},
        "$and": {"$and": [{"$contains": "a"}, {"$not_contains": "yellow"}]},
        "$or": {"$or": [{"$contains": "fig"}, {"$contains": "柿"}]},
        "percent": {"$contains": "%"},
    }
    for name, where in documents.items():
        call(f"where_document {name}", fruit.get, where_document=where, include=["documents"])
    call("where and where_document", fruit.get, where={"colour": "red"}, where_document={"$contains": "cherry"})
    call("ids and where", fruit.get, ids=["apple", "banana", "grape"], where={"colour": "red"})
    call("where limit offset", fruit.get, where={"weight": {"$gt": 0}}, limit=2, offset=1, include=["metadatas"])

    call("query", fruit.query, query_embeddings=[vector(1, 0.1, 0, 0)], n_results=3)
    call("query everything", fruit.query, query_embeddings=[vector(0.9, 0.2, 0, 0.1)], n_results=100,
         include=[*everything, "distances"])
    call("query two", fruit.query, query_embeddings=[vector(1, 0.1, 0, 0), vector(0, 0.1, 1, 0.3)], n_results=2)
    call("query where", fruit.query, query_embeddings=[vector(1, 0.1, 0, 0)], n_results=5, where={"colour": "red"})
    call("query where_document", fruit.query, query_embeddings=[vector(1, 0.1, 0, 0)], n_results=5,
         where_document={"$contains": "red"})
    call("query ids", fruit.query, query_embeddings=[vector(1, 0.1, 0, 0)], n_results=5, ids=["banana", "fig"])
    call("query matches nothing", fruit.query, query_embeddings=[vector(1, 0, 0, 0)], where={"colour": "none"})
    call("query only ids", fruit.query, query_embeddings=[vector(1, 0.1, 0, 0)], n_results=2, include=[])
    for name in ("cosine", "inner"):
        call(f"query {name}", client.get_collection(name, embedding_function=None).query,
             query_embeddings=[vector(1, 1, 3, 3)], n_results=3, include=["distances", "embeddings"])

    call("add an existing id", fruit.add, ids=["apple"], embeddings=[vector(9, 9, 9, 9)], documents=["no"])
    call("after add existing", fruit.get, ids=["apple"], include=everything)
    call("upsert new", fruit.upsert, ids=["kiwi"], embeddings=[vector(1, 1, 0, 0)], documents=["a green kiwi"],
         metadatas=[{"colour": "green", "weight": 70}])
    call("upsert merges", fruit.upsert, ids=["kiwi"], embeddings=[vector(1, 1, 1, 0)], metadatas=[{"sour": True}])
    call("after upsert", fruit.get, ids=["kiwi"], include=everything)
    call("update metadata", fruit.update, ids=["banana"], metadatas=[{"price": 0.75, "ripe": "very"}])
    call("update removes a key", fruit.update, ids=["banana"], metadatas=[{"fresh": None, "ripe": None}])
    call("after update", fruit.get, ids=["banana"], include=everything)
    call("update embedding", fruit.update, ids=["cherry"], embeddings=[vector(0, 0, 5, 0)])
    call("update document", fruit.update, ids=["cherry"], embeddings=[vector(0, 0, 5, 1)], documents=["a dark cherry"])
    call("after update embedding", fruit.get, ids=["cherry"], include=everything)
    call("update an unknown id", fruit.update, ids=["nobody"], embeddings=[vector(1, 1, 1, 1)])
    call("update changes a type", fruit.update, ids=["date"], metadatas=[{"weight": "heavy"}])
    call("after a change of type", fruit.get, ids=["date"], include=everything)
    call("array metadata", fruit.upsert, ids=["lime"], embeddings=[vector(4, 4, 0, 1)],
         metadatas=[{"tags": ["sour", "green"], "sizes": [1, 2, 3]}])
    call("after array metadata", fruit.get, ids=["lime"], include=everything)
    call("where array $contains", fruit.get, where={"tags": {"$contains": "sour"}})
    call("upsert several", fruit.upsert, ids=["lime", "mango"], embeddings=[vector(4, 4, 0, 2), vector(1, 2, 0, 1)],
         documents=["lime", "mango"], metadatas=[{"tags": ["x"]}, {"colour": "orange"}])
    call("delete ids", fruit.delete, ids=["fig", "nobody"])
    call("delete where", fruit.delete, where={"colour": "black"})
    call("delete where_document", fruit.delete, where_document={"$contains": "mango"})
    call("delete ids and where", fruit.delete, ids=["kiwi", "apple"], where={"colour": "green"})
    call("delete where nothing matches", fruit.delete, where={"colour": "no such"})
    call("add again after delete", fruit.add, ids=["fig"], embeddings=[vector(0.1, 0, 0, 1)], documents=["a new fig"])
    call("count at the end", fruit.count)
    call("all at the end", fruit.get, include=everything)
    call("query at the end", fruit.query, query_embeddings=[vector(0.2, 0.1, 0.9, 0.4)], n_results=20,
         include=["distances", "documents"])


def errors(call, client, _url):
    """What applications do wrong."""
    fruit = client.get_collection("fruit", embedding_function=None)
    call("wrong dimension in add", fruit.add, ids=["bad"], embeddings=[[1.0, 2.0]])
    call("wrong dimension in upsert", fruit.upsert, ids=["bad"], embeddings=[[1.0] * 5])
    call("wrong dimension in query", fruit.query, query_embeddings=[[1.0, 2.0]], n_results=1)
    call("nothing after the errors", fruit.get, ids=["bad"])
    call("unknown collection", client.get_collection, "does-not-exist")
    call("delete unknown collection", client.delete_collection, "does-not-exist")
    call("create existing", client.create_collection, "fruit")
    call("bad name", client.create_collection, "x")
    call("bad name characters", client.create_collection, "no spaces please")
    call("duplicate ids", fruit.add, ids=["twice", "twice"], embeddings=[vector(1, 1, 1, 1)] * 2)
    call("bad operator", fruit.get, where={"colour": {"$near": "red"}})
    call("bad $and", fruit.get, where={"$and": [{"colour": "red"}]})
    call("bad regex", fruit.get, where_document={"$regex": "("})
    call("bad n_results", fruit.query, query_embeddings=[vector(1, 0, 0, 0)], n_results=0)
    call("delete without conditions", fruit.delete)
    call("fork", fruit.fork, "fruit-copy")
    call("indexing status", fruit.get_indexing_status)


def collections(call, client, _url):
    """The life of a collection."""
    letters = call("get letters", client.get_collection, "letters", embedding_function=None)
    call("count of an empty collection", letters.count)
    call("query an empty collection", letters.query, query_embeddings=[vector(1, 0, 0, 0)], n_results=1)
    call("get or create an existing one", client.get_or_create_collection, "letters", embedding_function=None)
    # Chroma lists in the order of its random ids.
    call("list", lambda: sorted(c.name for c in client.list_collections()))
    call("list limit offset", lambda: len(client.list_collections(limit=2, offset=1)))
    call("list offset beyond", lambda: client.list_collections(limit=2, offset=10))
    call("count collections", client.count_collections)
    call("modify metadata", letters.modify, metadata={"alphabet": "latin"})
    call("modify name", letters.modify, name="characters")
    call("after modify", client.get_collection, "characters", embedding_function=None)
    call("old name after modify", client.get_collection, "letters")
    call("rename to an existing name", letters.modify, name="fruit")
    call("a write by the old handle", letters.add, ids=["a"], embeddings=[[1.0, 2.0]])
    call("get by id", lambda: client.get_collection_by_id(letters.id).name if hasattr(
        client, "get_collection_by_id") else None)
    call("delete a collection", client.delete_collection, "characters")
    call("after delete", client.get_collection, "characters")
    call("a read by a dead handle", letters.count)
    call("a write by a dead handle", letters.add, ids=["b"], embeddings=[[1.0, 2.0]])
    again = call("create again", client.create_collection, "letters", embedding_function=None)
    call("another dimension now", again.add, ids=["c"], embeddings=[[1.0, 2.0, 3.0]])
    call("count of the new one", again.count)
    call("reset is refused", client.reset)


def tenants(call, client, url):
    """Tenants and databases: the same names live side by side."""
    import chromadb
    from chromadb.config import Settings
    host, port = re.match(r"http://([^:]+):(\d+)", url).groups()
    admin = chromadb.AdminClient(Settings(
        chroma_api_impl="chromadb.api.fastapi.FastAPI", chroma_server_host=host,
        chroma_server_http_port=int(port), anonymized_telemetry=False))
    call("create tenant", admin.create_tenant, "acme")
    call("create tenant twice", admin.create_tenant, "acme")
    call("get tenant", admin.get_tenant, "acme")
    call("get unknown tenant", admin.get_tenant, "nobody")
    call("create database", admin.create_database, "shop", tenant="acme")
    call("create database twice", admin.create_database, "shop", tenant="acme")
    call("get database", admin.get_database, "shop", tenant="acme")
    call("list databases", lambda: sorted(d["name"] if isinstance(d, dict) else d.name
                                          for d in admin.list_databases(tenant="acme")))
    other = call("client of the tenant", lambda: separate_client(host, int(port), tenant="acme", database="shop") and True)
    if other:
        shop = separate_client(host, int(port), tenant="acme", database="shop")
        fruit = call("the same name elsewhere", shop.create_collection, "fruit", embedding_function=None)
        call("add elsewhere", fruit.add, ids=["apple"], embeddings=[[7.0, 7.0]], documents=["another apple"])
        call("get elsewhere", fruit.get, include=["embeddings", "documents", "metadatas"])
        call("delete elsewhere", shop.delete_collection, "fruit")
    call("client of an unknown database", lambda: separate_client(host, int(port), tenant="acme", database="none"))
    call("delete database", admin.delete_database, "shop", tenant="acme")
    call("get deleted database", admin.get_database, "shop", tenant="acme")
    call("the default is untouched", client.get_collection("fruit", embedding_function=None).count)


def raw(call, client, url):
    """What no SDK sends: status, content type and body, as they are."""
    base = f"{url}/api/v2/tenants/default_tenant/databases/default_database"
    fruit = client.get_collection("fruit", embedding_function=None).id

    def send(method, path, **options):
        answer = httpx.request(method, path, timeout=30, **options)
        body = answer.text
        if answer.headers.get("content-type") == "application/json":
            body = answer.json()  # Chroma's own order of metadata keys is random
        return {"status": answer.status_code, "type": answer.headers.get("content-type"), "body": body}

    call("raw unknown path", send, "GET", f"{url}/api/v2/nothing/here")
    call("raw v1", send, "GET", f"{url}/api/v1/heartbeat")
    call("raw wrong method", send, "PATCH", f"{base}/collections")
    call("raw bad json", send, "POST", f"{base}/collections/{fruit}/get", content=b"{",
         headers={"content-type": "application/json"})
    call("raw no content type", send, "POST", f"{base}/collections/{fruit}/get", content=b"{}")
    call("raw wrong type", send, "POST", f"{base}/collections/{fruit}/get", json={"ids": 5})
    call("raw unknown uuid", send, "POST", f"{base}/collections/{KEPT_UUID}/get", json={})
    call("raw no uuid", send, "POST", f"{base}/collections/not-a-uuid/get", json={})
    call("raw add without embeddings", send, "POST", f"{base}/collections/{fruit}/add", json={"ids": ["q"]})
    call("raw json embeddings", send, "POST", f"{base}/collections/{fruit}/upsert",
         json={"ids": ["raw"], "embeddings": [[1, 2, 3, 4]], "metadatas": [{"by": "hand"}]})
    call("raw document alone", send, "POST", f"{base}/collections/{fruit}/update",
         json={"ids": ["raw"], "documents": ["only the document"]})
    call("raw chunked", send, "POST", f"{base}/collections/{fruit}/get",
         content=iter([b'{"ids":["raw"],', b'"include":["documents","metadatas","embeddings"]}']),
         headers={"content-type": "application/json"})
    call("raw bad base64", send, "POST", f"{base}/collections/{fruit}/upsert",
         json={"ids": ["raw"], "embeddings": ["%%%"]})
    call("raw lengths differ", send, "POST", f"{base}/collections/{fruit}/upsert",
         json={"ids": ["raw", "two"], "embeddings": [[1, 2, 3, 4]]})
    call("raw object in metadata", send, "POST", f"{base}/collections/{fruit}/upsert",
         json={"ids": ["raw"], "embeddings": [[1, 2, 3, 4]], "metadatas": [{"a": {"b": 1}}]})
    call("raw delete", send, "POST", f"{base}/collections/{fruit}/delete", json={"ids": ["raw"]})


_PARTS = {"setup": setup, "data": data, "errors": errors, "collections": collections, "tenants": tenants, "raw": raw}


def differences(expected: list, actual: list, exact: bool = True) -> dict:
    """{name of the call: what differs}. Not exact: by design.md's Equality of search answers."""
    found = {}
    wanted, got = dict(expected), dict(actual)
    for name in wanted.keys() | got.keys():
        left, right = wanted.get(name, "not called"), got.get(name, "not called")
        if (left != right or not _same_types(left, right)) and (exact or not _alike(left, right)):
            found[name] = f"expected {_short(left)}, got {_short(right)}"
    return dict(sorted(found.items()))


def _short(value) -> str:
    text = repr(value)
    return text if len(text) <= 1500 else text[:1500] + "..."


def _same_types(left, right) -> bool:
    """To Python 1, 1.0 and True are equal; to an application they are not the same."""
    if isinstance(left, dict) and isinstance(right, dict):
        return all(_same_types(left[key], right[key]) for key in left.keys() & right.keys())
    if isinstance(left, list) and isinstance(right, list):
        return all(map(_same_types, left, right))
    return type(left) is type(right)


def _alike(left, right) -> bool:
    if isinstance(left, dict) and isinstance(right, dict):
        if "distances" in left and "ids" in left and left.get("distances") and right.get("distances"):
            return _same_search(left, right)
        if isinstance(left.get("ids"), list) and isinstance(right.get("ids"), list) and left["ids"] != right["ids"]:
            left, right = _by_id(left), _by_id(right)
        return left.keys() == right.keys() and all(_alike(left[k], right[k]) for k in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(_alike, left, right))
    if isinstance(left, float) and isinstance(right, float):
        return math.isclose(left, right, rel_tol=1e-6, abs_tol=1e-7)
    return type(left) is type(right) and left == right


def _by_id(answer: dict) -> dict:
    """Records without an asked order come in the serving side's own: the one documented difference."""
    order = sorted(range(len(answer["ids"])), key=lambda i: str(answer["ids"][i]))
    return {name: [value[i] for i in order] if name in ("ids", "embeddings", "documents", "metadatas")
            and isinstance(value, list) and len(value) == len(order) else value for name, value in answer.items()}


def _same_search(left: dict, right: dict) -> bool:
    """The same ids with scores within 1e-4; order is free among ties."""
    if len(left["ids"]) != len(right["ids"]) or left.keys() != right.keys():
        return False
    for query in range(len(left["ids"])):
        rows = []
        for side in (left, right):
            fields = [name for name in ("distances", "documents", "metadatas", "embeddings") if side.get(name)]
            rows.append({key: {f: side[f][query][i] for f in fields} for i, key in enumerate(side["ids"][query])})
        if rows[0].keys() != rows[1].keys():
            return False
        for key in rows[0]:
            a, b = dict(rows[0][key]), dict(rows[1][key])
            if a.keys() != b.keys() or abs(a.pop("distances") - b.pop("distances")) > 1e-4 or not _alike(a, b):
                return False
        scores = right["distances"][query]
        if any(later < earlier - 1e-4 for earlier, later in zip(scores, scores[1:])):
            return False
    return True
