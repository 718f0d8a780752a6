#!/usr/bin/env python3
"""Records what a fresh real Chroma answers, for replay_test.cpp.

    python3 with_chroma.py python3 record.py data

One file per subject, one exchange per line: method, path, body (as text), status, answer (as text), allow. Run it again
when the supported version of Chroma changes, and read the difference.
"""

import http.client
import json
import os
import pathlib
import sys
import urllib.parse

BASE = "/api/v2/tenants/default_tenant/databases/default_database"
NOWHERE = "/collections/00000000-0000-0000-0000-000000000001"


class Recorder:
    def __init__(self, url, path):
        address = urllib.parse.urlparse(url)
        self.connection = http.client.HTTPConnection(address.hostname, address.port, timeout=60)
        self.path = path
        self.lines = []

    def send(self, method, path, body=None, content_type="application/json"):
        if not path.startswith("/api"):
            path = BASE + path
        text = None if body is None else body if isinstance(body, str) else json.dumps(body)
        headers = {} if text is None else {"content-type": content_type}
        self.connection.request(method, path, None if text is None else text.encode(), headers)
        answer = self.connection.getresponse()
        content = answer.read().decode()
        line = {"method": method, "path": path, "body": text, "status": answer.status, "answer": content}
        if content_type != "application/json":
            line["content_type"] = content_type
        if answer.getheader("allow"):
            line["allow"] = answer.getheader("allow")
        self.lines.append(line)
        return content

    def collection(self, name, **arguments):
        made = json.loads(self.send("POST", "/collections", {"name": name, **arguments}))
        return "/collections/" + made["id"]

    def save(self):
        self.path.write_text("".join(json.dumps(line) + "\n" for line in self.lines))


def session(r):
    for path in ["/auth/identity", "/pre-flight-checks", "/version", "/healthcheck", "/tenants/default_tenant",
                 "/tenants/none", "/tenants/default_tenant/databases", "/nosuch", "/tenants", "/version/", "//version"]:
        r.send("GET", "/api/v2" + path)
    r.send("POST", "/api/v2/reset")
    r.send("POST", "/api/v2/version")
    r.send("GET", "/api/v1/heartbeat")


def spaces(r):
    tenants = "/api/v2/tenants"
    for body in [{"name": "tenant_one"}, {"name": "tenant_one"}, {}, {"name": 5}, {"name": "a b/c"}, "[", "", "5"]:
        r.send("POST", tenants, body)
    r.send("GET", tenants + "/tenant_one")
    r.send("GET", tenants + "/a%20b%2Fc")
    for body in [{"resource_name": "res"}, {}]:
        r.send("PATCH", tenants + "/tenant_one", body)
    databases = tenants + "/tenant_one/databases"
    r.send("GET", databases)
    for name in ["d1", "db_one", "db_one", "", "a b/c d", "ab..c", "-abc-", "1.2.3.4", 5]:
        r.send("POST", databases, {"name": name})
    for query in ["", "?limit=1", "?offset=1", "?limit=0", "?limit=-1", "?limit=x", "?limit="]:
        r.send("GET", databases + query)
    for name in ["db_one", "zz", "nodb"]:
        r.send("GET", databases + "/" + name)
        r.send("GET", databases + "/" + name + "/collections")
        r.send("GET", databases + "/" + name + "/collections_count")
    r.send("POST", databases + "/db_one/collections", {"name": "inside"})
    r.send("POST", databases + "/nodb/collections", {"name": "inside"})
    r.send("POST", databases + "/zz/collections", {"name": "inside"})
    r.send("GET", databases + "/db_one/collections/inside")
    r.send("DELETE", databases + "/nodb")
    r.send("DELETE", databases + "/db_one")
    r.send("GET", databases + "/db_one/collections")
    r.send("GET", databases + "/db_one")
    r.send("PUT", databases, {})


def collections(r):
    function = {"type": "known", "name": "default", "config": {}}
    for body in [{}, "{", "", "[]", "5", '"x"', {"name": 5}, {"name": None}, {"name": "ab"}, {"name": "a bc"}, {"name": "-abc"},
                 {"name": "a..bc"}, {"name": "192.168.1.1"}, {"name": "x" * 513}, {"name": "first", "extra": [1, {}]},
                 {"name": "first"}, {"name": "first", "get_or_create": True}, {"name": "first", "get_or_create": "yes"},
                 '{"name":"dup1","name":"dup2"}', '{"name":"abd"} x', {"name": "meta0", "metadata": {}},
                 {"name": "meta1", "metadata": {"a": 1, "b": 1.5, "c": "s", "d": True}},
                 {"name": "meta2", "metadata": {"a": None}}, {"name": "meta3", "metadata": {"a": {"b": 1}}},
                 {"name": "meta4", "metadata": {"a": [1, "x"]}}, {"name": "meta5", "metadata": {"": 1}},
                 {"name": "meta6", "metadata": {"a": 2**63, "b": -0.0, "c": 2**63 - 1}},
                 {"name": "legacy1", "metadata": {"hnsw:space": "cosine", "hnsw:M": 5}},
                 {"name": "legacy2", "metadata": {"hnsw:space": "zzz"}}, {"name": "legacy3", "metadata": {"hnsw:M": 1.5}},
                 {"name": "legacy4", "metadata": {"hnsw:space": "ip"}, "configuration": {"hnsw": {"space": "l2"}}},
                 {"name": "legacy5", "metadata": {"hnsw:space": "ip"}, "configuration": {"hnsw": {"ef_search": 5}}},
                 {"name": "sdk", "metadata": None, "configuration": {"hnsw": {"space": "l2"}, "spann": None, "embedding_function": function},
                  "schema": None, "get_or_create": False}]:
        r.send("POST", "/collections", body)
    for i, configuration in enumerate([
            {}, {"hnsw": None}, {"hnsw": {}}, {"hnsw": {"space": "cosine"}}, {"hnsw": {"space": "ip", "ef_construction": 7, "max_neighbors": 3}},
            {"spann": {"space": "cosine"}}, {"zzz": 1}, {"embedding_function": {"type": "legacy"}}, {"embedding_function": function},
            {"embedding_function": {"type": "zz"}}, {"embedding_function": {"type": "known", "name": "x"}}, {"embedding_function": {"name": "x"}},
            {"embedding_function": 5}, {"hnsw": {"space": "zzz"}}, {"hnsw": {"zz": 1}}, {"hnsw": {"ef_search": -1}}, {"hnsw": {}, "spann": {}},
            {"hnsw": {"batch_size": 5, "sync_threshold": 20, "num_threads": 1, "resize_factor": 2.0}}, {"hnsw": {"resize_factor": "a"}}, 5]):
        r.send("POST", "/collections", {"name": f"configured{i}", "configuration": configuration})
    vector = {"float_list": {"vector_index": {"enabled": True, "config": {"space": "cosine"}}}}
    for i, body in enumerate([
            {"schema": {"defaults": {}, "keys": {"#embedding": vector}}}, {"schema": {}}, {"schema": 5},
            {"schema": {"defaults": {}, "keys": {"s": {"sparse_vector": {"sparse_vector_index": {"enabled": True, "config": {}}}}}}},
            {"schema": {"defaults": {}, "keys": {"#embedding": vector}}, "configuration": {"hnsw": {"space": "ip"}}},
            {"schema": {"defaults": {}, "keys": {"#document": {"string": {"fts_index": {"enabled": False, "config": {}}}}}}}]):
        r.send("POST", "/collections", {"name": f"schema{i}", **body})
    for query in ["?limit=2&offset=1", "?limit=0", "?limit=x", "?offset=3", ""]:
        r.send("GET", "/collections" + query)
    r.send("GET", "/collections_count")
    for name in ["first", "none", "ab", "by-id/zz", "by-id/00000000-0000-0000-0000-000000000001"]:
        r.send("GET", "/collections/" + name)
    c = r.collection("modified", metadata={"a": 1}, configuration={"hnsw": {"space": "cosine"}})
    r.send("GET", "/collections/by-id/" + c.split("/")[-1])
    r.send("GET", c)
    for body in [{}, {"new_name": "modified2"}, {"new_name": "modified"}, {"new_metadata": {"b": 2}}, {"new_metadata": {}},
                 {"new_metadata": {"b": None}}, {"new_metadata": {"b": None, "c": 1}}, {"new_name": "ab"}, {"new_name": "first"},
                 {"new_name": 5}, {"new_metadata": {"": 1}}, {"new_metadata": {"x": {}}}, {"new_configuration": {"hnsw": {"ef_search": 50}}},
                 {"new_configuration": {"hnsw": {"space": "ip"}}}, {"new_configuration": {"embedding_function": function}},
                 {"new_configuration": {"hnsw": {"num_threads": 3, "resize_factor": 1.5, "sync_threshold": 10, "batch_size": 7, "max_neighbors": 3}}},
                 {"new_configuration": {"spann": {"ef_search": 5}}}, {"new_metadata": {"hnsw:space": "ip"}}, ""]:
        r.send("PUT", c, body)
        r.send("GET", "/collections/modified")
    r.send("PUT", NOWHERE, {})
    r.send("PUT", "/collections/modified", {})
    r.send("POST", "/collections", {"name": "text"}, "text/plain")
    r.send("DELETE", c)
    for name in ["modified", "modified", "ab"]:
        r.send("DELETE", "/collections/" + name)
    c = r.collection("refusing")
    for path, body in [("/fork", {"new_name": "forked"}), ("/fork", {}), ("/search", {"searches": []}), ("/search", {}),
                       ("/functions/attach", {}), ("/attached_functions/f/detach", {}),
                       ("/functions/attach", {"name": "a", "function_id": "b", "output_collection": "out", "params": {}})]:
        for collection in [c, NOWHERE, "/collections/refusing"]:
            if "function" not in path or collection == c:
                r.send("POST", collection + path, body)
    for path in ["/fork_count", "/indexing_status", "/functions/f", "/zzz", "/add"]:
        r.send("GET", c + path)
    r.send("GET", NOWHERE + "/fork_count")


EVERYTHING = ["metadatas", "documents", "embeddings", "uris"]


def writes(r):
    c = r.collection("written")

    def look(**arguments):
        r.send("POST", c + "/get", {"include": EVERYTHING, **arguments})

    two = [[1, 2]]
    for body in [{}, {"ids": []}, {"ids": ["a"], "embeddings": []}, {"ids": ["a"], "embeddings": None}, {"ids": ["a"]},
                 {"ids": ["a"], "embeddings": [None]}, {"ids": ["a"], "embeddings": [[]]}, {"ids": [], "embeddings": []},
                 {"ids": ["a"], "embeddings": ["AACAPwAAAEA="]}, {"ids": ["b"], "embeddings": ["AACAPwAAAEA"]},
                 {"ids": ["b"], "embeddings": ["AACAPwAA"]}, {"ids": ["b"], "embeddings": ["!!"]},
                 {"ids": ["b", "c"], "embeddings": ["AACAPwAAAEA=", [1, 2]]}, {"ids": ["b", "c"], "embeddings": [[1, 2], [3]]},
                 {"ids": ["b", "c"], "embeddings": [[1, 2], None]}, {"ids": ["b"], "embeddings": [[1, 2, 3]]},
                 {"ids": ["b"], "embeddings": [[1e39, 2]]}, {"ids": ["b"], "embeddings": [["a", 2]]}, {"ids": ["b"], "embeddings": 5},
                 {"ids": ["b", 5], "embeddings": [[1, 2], [1, 2]]}, {"ids": "b", "embeddings": two}, {"ids": None, "embeddings": two},
                 {"ids": {}, "embeddings": []}, {"ids": ["dup", "dup"], "embeddings": [[1, 2], [3, 4]]}, {"ids": [""], "embeddings": two},
                 {"ids": ["m1"], "embeddings": two, "metadatas": [{}]}, {"ids": ["m2"], "embeddings": two, "metadatas": [None]},
                 {"ids": ["m3"], "embeddings": two, "metadatas": [{"a": None}]},
                 {"ids": ["m4"], "embeddings": two, "metadatas": [{"a": 1, "b": 2.0, "c": True, "d": "x", "e": [1, 2], "f": [1.5, 2], "g": ["a"], "h": [True]}]},
                 {"ids": ["m5"], "embeddings": two, "metadatas": [{"a": []}]}, {"ids": ["m6"], "embeddings": two, "metadatas": [{"a": [1, "x"]}]},
                 {"ids": ["m7"], "embeddings": two, "metadatas": [{"a": {"b": 1}, "c": 1}]},
                 {"ids": ["m9"], "embeddings": two, "metadatas": [{"a": 2**63, "b": 2**64, "c": -2**63, "d": -2**63 - 1, "e": 1e300}]},
                 {"ids": ["m10"], "embeddings": two, "metadatas": [{"chroma:document": "x"}]},
                 {"ids": ["m11"], "embeddings": two, "metadatas": [{"chroma:uri": "x"}]},
                 {"ids": ["m12"], "embeddings": two, "metadatas": [{"chroma:zz": "x"}]},
                 {"ids": ["m13"], "embeddings": two, "metadatas": [{"": "x"}]}, {"ids": ["m14"], "embeddings": two, "metadatas": [{"#a": "x"}]},
                 {"ids": ["m15"], "embeddings": two, "metadatas": [{"a": 1}, {"b": 1}]}, {"ids": ["m16"], "embeddings": two, "documents": []},
                 {"ids": ["m17"], "embeddings": two, "documents": [5]}, {"ids": ["m17"], "embeddings": two, "documents": "x"},
                 {"ids": ["m18"], "embeddings": two, "metadatas": [5]}, {"ids": ["m18"], "embeddings": two, "metadatas": {"a": 1}},
                 {"ids": ["m19"], "embeddings": two, "uris": ["u1"], "documents": [""]},
                 {"ids": ["m21"], "embeddings": two, "metadatas": [{"s": {"indices": [1, 5], "values": [0.5, 1]}}]},
                 {"ids": ["m22", "b"], "embeddings": two}, '{"ids":["o"],"embeddings":[[1,1]],"ids":["p"]}',
                 '{"ids":["o"],"embeddings":[[1,tru]]}', "5", '{"ids":["a"', {"ids": ["a", "new"], "embeddings": [[9, 9], [1, 2]]}]:
        r.send("POST", c + "/add", body)
    look()
    for call in ["add", "upsert", "update", "delete", "get", "query"]:
        body = {"ids": ["a"], "embeddings": two, "query_embeddings": two}
        r.send("POST", NOWHERE + "/" + call, body)
        r.send("POST", "/collections/written/" + call, body)
        r.send("POST", "/collections/written/" + call, "{")
        r.send("POST", "/api/v2/tenants/zz/databases/zz" + c + "/" + call, body)
        r.send("POST", c + "/" + call, body, "text/plain")
    r.send("POST", c + "/upsert", {"ids": ["b", "c"], "embeddings": [[3, 4], [5, 6]], "metadatas": [{"x": 1, "y": "q"}, {"z": [1, 2]}],
                                   "documents": ["db", None], "uris": ["ub", None]})
    look(ids=["b", "c"])
    for call, body in [
            ("upsert", {"ids": ["b"], "embeddings": [[9, 9]]}), ("upsert", {"ids": ["b"], "embeddings": two, "metadatas": [{"x": None, "w": 2}]}),
            ("upsert", {"ids": ["b"], "embeddings": two, "metadatas": [{"chroma:uri": None}]}),
            ("upsert", {"ids": ["b"], "embeddings": two, "documents": [None]}), ("upsert", {"ids": ["b"], "embeddings": two, "metadatas": [{"w": None, "y": None}]}),
            ("upsert", {"ids": ["c"], "embeddings": two, "metadatas": [{"z": []}]}), ("upsert", {"ids": ["c"], "embeddings": two, "metadatas": [{"z": [5]}]}),
            ("upsert", {"ids": ["c"], "embeddings": two, "metadatas": [{"z": "s"}]}), ("upsert", {"ids": ["c"], "embeddings": two, "metadatas": [{"z": [7.5, 1]}]}),
            ("upsert", {"ids": ["c"], "embeddings": two, "metadatas": [{"z": 1, "chroma:document": "via", "chroma:other": 5}]}),
            ("upsert", {"ids": ["c"], "embeddings": two, "metadatas": [{"chroma:document": "xx"}], "documents": ["both"]}),
            ("upsert", {"ids": ["d", "d"], "embeddings": [[1, 1], [2, 2]], "metadatas": [{"a": 1}, {"b": 2}], "documents": ["1", None]}),
            ("upsert", {"ids": ["e"], "embeddings": two, "metadatas": [{"a": None}]}), ("upsert", {"ids": ["f"], "embeddings": two, "metadatas": [{"a": None, "b": 1}]}),
            ("update", {"ids": ["b"]}), ("update", {"ids": ["b"], "metadatas": [{"x": 1, "y": 2}]}), ("update", {"ids": ["b"], "metadatas": [{"x": None}]}),
            ("update", {"ids": ["b"], "metadatas": [{"y": None}]}), ("update", {"ids": ["b"], "documents": ["new"], "embeddings": [None]}),
            ("update", {"ids": ["b"], "documents": ["new2"], "embeddings": [[7, 7]]}), ("update", {"ids": ["b"], "embeddings": ["AACAPwAAAEA="]}),
            ("update", {"ids": ["b", "e"], "embeddings": ["AACAPwAAAEA=", None]}), ("update", {"ids": ["b"], "uris": ["uu"]}),
            ("update", {"ids": ["none"], "embeddings": two}), ("update", {"ids": []}), ("update", {}), ("update", {"ids": ["b"], "embeddings": None}),
            ("update", {"ids": ["b"], "embeddings": [[1, 2, 3]]}), ("update", {"ids": ["b"], "embeddings": [[]]}), ("update", {"ids": ["b"], "embeddings": [""]}),
            ("update", {"ids": ["b"], "metadatas": [{"a": {}}]}), ("update", {"ids": ["b"], "metadatas": [{"$x": 1}]}),
            ("update", {"ids": ["b"], "metadatas": [{"a": {"indices": [1], "values": [1]}}]}), ("upsert", {"ids": ["b"], "metadatas": [{"x": 1}]}),
            ("delete", {"ids": ["zzz"]}), ("delete", {"ids": ["m1", "m1"]}), ("delete", {"ids": []}), ("delete", {}), ("delete", {"ids": None}),
            ("delete", {"where": {}}), ("delete", {"where": None}), ("delete", {"where_document": {}}), ("delete", {"where": {"x": 12345}}),
            ("delete", {"ids": ["m4", "c"], "where": {"a": 1}}), ("delete", {"ids": [], "where": {"z": 1}}), ("delete", {"where": {"b": 1}, "limit": 0}),
            ("delete", {"where": {"b": {"$gte": 1}}, "limit": 1}), ("delete", {"ids": ["e"], "limit": 1}), ("delete", {"limit": 1}), ("delete", {"limit": -1}),
            ("delete", {"ids": ["e"], "where": {"$x": 1}}), ("delete", {"where_document": {"$contains": "both"}})]:
        r.send("POST", c + "/" + call, body)
        look()
    r.send("POST", c + "/upsert", {"ids": ["n\0l", "q\"\\\n"], "embeddings": [[5, 5], [6, 6]], "metadatas": [{"k": "v\0w"}, {"uni é": "😀"}],
                                   "documents": ["a\0b", "é"]})
    look(ids=["n\0l", "q\"\\\n"])
    r.send("GET", "/collections/written")


def reads(r):
    c = r.collection("read")
    r.send("POST", c + "/query", {"query_embeddings": [[1, 2]]})
    r.send("POST", c + "/get", {})
    r.send("GET", c + "/count")
    r.send("POST", c + "/add", {
        "ids": ["a", "b", "c", "d", "e"], "embeddings": [[1, 0], [0, 1.25], [1, 1], [2, 3], [-1, -1]],
        "metadatas": [{"n": 1, "s": "x", "f": 1.5, "t": True, "l": [1, 2]}, {"n": 2, "s": "y", "f": 2.5, "t": False, "l": [2, 3], "r": [1.5, 2]},
                      {"n": 3.0, "s": "z", "ls": ["p", "q"], "b": [True]}, {"n": "1", "m": 1}, None],
        "documents": ["alpha one", "beta two", "", "Alpha FIVE", None], "uris": ["u", None, None, None, None]})
    for query in ["", "?read_level=index_and_wal", "?read_level=zzz"]:
        r.send("GET", c + "/count" + query)
    for where in [
            {"n": 1}, {"n": 1.0}, {"n": 3}, {"n": {"$eq": 3}}, {"n": {"$ne": 1}}, {"n": {"$gt": 1}}, {"n": {"$gte": 1.5}}, {"n": {"$lt": 3}},
            {"n": {"$lte": 2}}, {"n": {"$in": [1, 3]}}, {"n": {"$in": [1.0, 3]}}, {"n": {"$in": [5, 5.5]}}, {"n": {"$nin": [1, 2]}}, {"n": {"$nin": ["1"]}},
            {"s": {"$in": ["x", "z"]}}, {"s": {"$gt": "x"}}, {"t": True}, {"t": {"$ne": True}}, {"t": 1}, {"l": {"$contains": 2}},
            {"l": {"$not_contains": 2}}, {"l": {"$contains": 2.0}}, {"r": {"$contains": 2}}, {"r": {"$contains": 2.0}}, {"b": {"$contains": True}},
            {"ls": {"$contains": "p"}}, {"s": {"$contains": "x"}}, {"l": 1}, {"l": [1, 2]}, {"n": {"$in": []}}, {"n": {"$in": ["x", 1]}}, {"n": {}},
            {"n": None}, {"n": {"$zz": 1}}, {"n": 1, "s": "x"}, {"n": {"$gt": 1, "$lt": 3}}, {"$and": [{"n": 1}, {"s": "x"}]}, {"$and": [{"n": 1}]},
            {"$and": []}, {"$or": []}, {"$or": [{"n": 1}, {"n": 2}]}, {"$and": {"n": 1}}, {"$not": {"n": 1}}, {"$zz": 1}, {"": 1}, [], 5, "x", {},
            {"#document": "x"}, {"#document": {"$contains": "alpha"}}, {"#document": {"$not_contains": "alpha"}}, {"#document": {"$regex": "a.*o"}},
            {"#document": {"$contains": 5}}, {"#document": {"$gt": 5}}, {"#document": {"$in": ["x"]}}, {"#id": "a"}, {"n": {"$eq": None}}, {"n": {"$gt": "x"}},
            {"chroma:document": "alpha one"}, {"chroma:document": {"$ne": "alpha one"}}, {"chroma:document": {"$nin": ["alpha one", ""]}}, {"n": {"$regex": "x"}},
            {"$and": [{"n": 1}, {}]}, {"n": 2**63}, {"s": {"$in": "x"}}, {"zz": {"$ne": 1}}, {"zz": {"$nin": [1]}}, {"zz": {"$not_contains": 1}},
            {"$or": [{"n": 2}, {"$and": [{"n": 1}, {"$or": [{"s": "x"}]}]}]}]:
        r.send("POST", c + "/get", {"where": where, "include": []})
    for where in [
            {"$contains": "alpha"}, {"$contains": "Alpha"}, {"$contains": ""}, {"$contains": "a"}, {"$not_contains": "alpha"}, {"$not_contains": ""},
            {"$regex": "^a"}, {"$regex": ""}, {"$not_regex": "^a"}, {"$regex": "one$"}, {"$regex": "a|b"}, {"$and": [{"$contains": "a"}, {"$contains": "one"}]},
            {"$or": [{"$contains": "one"}, {"$contains": "two"}]}, {"$and": []}, {"$contains": 5}, {"$contains": ["a"]}, {}, {"x": "y"}, {"$zz": "a"},
            {"$contains": "a", "$not_contains": "b"}, [], {"$contains": "%"}]:
        r.send("POST", c + "/get", {"where_document": where, "include": []})
    for body in [
            {}, {"ids": ["c", "a"]}, {"ids": []}, {"ids": None}, {"ids": ["a", "a"]}, {"ids": ["nope"]}, {"ids": [""]}, {"ids": [5]}, {"ids": "a"},
            {"limit": 2}, {"limit": 2, "offset": 1}, {"offset": 3}, {"limit": 0}, {"limit": -1}, {"limit": None}, {"limit": "x"}, {"limit": 1.5}, {"limit": True},
            {"limit": 2**40}, {"offset": -1}, {"ids": ["a", "b", "c"], "limit": 1, "offset": 1}, {"include": ["zz"]}, {"include": ["distances"]}, {"include": None},
            {"include": ["documents", "documents"], "limit": 1}, {"include": "documents"}, {"include": EVERYTHING}, {"extra": 1, "limit": 1},
            {"where": {"n": 1}, "where_document": {"$contains": "alpha"}, "ids": ["a", "b"]}, '{"include":[],"limit":1,"limit":2}', '{"x":tru}', "[]", '"s"',
            '{"where":{"a":1,"a":2}}']:
        r.send("POST", c + "/get", body)
    near = [[1, 0.25]]
    for body in [
            {"query_embeddings": near}, {"query_embeddings": near, "n_results": 2},
            {"query_embeddings": [[1, 0], [0, 1]], "n_results": 1, "include": ["distances", *EVERYTHING]}, {}, {"query_embeddings": []},
            {"query_embeddings": None}, {"query_embeddings": [[]]}, {"query_embeddings": [[1, 2, 3]]}, {"query_embeddings": ["AACAPwAAAEA="]},
            {"query_embeddings": [["a"]]}, {"query_embeddings": [1, 2]}, {"query_embeddings": [[1, None]]}, {"query_embeddings": near, "n_results": 0},
            {"query_embeddings": near, "n_results": -1}, {"query_embeddings": near, "n_results": 1000, "include": ["distances"]},
            {"query_embeddings": near, "n_results": None, "include": []}, {"query_embeddings": near, "include": ["zz"]},
            {"query_embeddings": near, "ids": ["b", "c"]}, {"query_embeddings": near, "ids": []}, {"query_embeddings": near, "ids": ["nope", "a"]},
            {"query_embeddings": near, "ids": ["nope", "a"], "where": {"$and": []}}, {"query_embeddings": near, "where": {"n": {"$gt": 1}}},
            {"query_embeddings": near, "where_document": {"$contains": "two"}}, {"query_embeddings": near, "where": {}}, {"query_embeddings": near, "where": {"n": 99}},
            {"query_embeddings": [[1, 0], [1, 0, 0]]}, {"query_embeddings": [[1, 0, 0]], "where": {"$x": 1}}]:
        r.send("POST", c + "/query", body)
    for space in ["cosine", "ip"]:
        c = r.collection("space-" + space, configuration={"hnsw": {"space": space}})
        r.send("POST", c + "/add", {"ids": ["a", "b", "c"], "embeddings": [[1, 0], [0.3, 0.7], [1, 1]]})
        r.send("POST", c + "/query", {"query_embeddings": [[1, 0.5]], "include": ["distances"]})
    c = r.collection("numbers")
    floats = [0.1, 1e12, 1e13, 123456789.0, 1e-4, 1e-5, 1e-6, 1.5e-7, 1e-45, 3.4e38, 16777216.0, 0.333333343, -0.0]
    doubles = [0.1, 1e15, 1e16, 123456789012345678.0, 1e21, 1e-4, 1e-5, 1e-6, 1.5e-7, 5e-324, 1.7976931348623157e308, 100.0, -0.0]
    r.send("POST", c + "/add", {"ids": ["a"], "embeddings": [floats], "metadatas": [{f"v{i}": x for i, x in enumerate(doubles)}]})
    r.send("POST", c + "/get", {"include": EVERYTHING})


for subject in [session, spaces, collections, writes, reads]:
    recorder = Recorder(os.environ["VMPROXY_TEST_CHROMA"], pathlib.Path(sys.argv[1]) / f"{subject.__name__}.jsonl")
    subject(recorder)
    recorder.save()
    print(subject.__name__, len(recorder.lines))
