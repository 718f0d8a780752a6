#!/usr/bin/env python3
"""Makes the first inputs of the targets whose inputs are no text: frames of HTTP/2, messages of Milvus, cells of PostgreSQL,
values of the journal and of the state. seeds.py FOLDER writes FOLDER/TARGET/NAME; always the same bytes."""

import gzip
import pathlib
import struct
import sys

TESTS = pathlib.Path(__file__).resolve().parents[1]


def varint(number):
    out = b""
    while number >= 0x80:
        out += bytes([number & 0x7F | 0x80])
        number >>= 7
    return out + bytes([number])


# --- HTTP/2: RFC 9113; header blocks of RFC 7541 as literals that are not indexed

DATA, HEADERS, PRIORITY, RST, SETTINGS, PUSH, PING, GOAWAY, WINDOW, CONTINUATION = range(10)
END_STREAM, END_HEADERS = 1, 4


def frame(kind, flags=0, stream=0, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def text(value):
    raw = value.encode("latin-1")
    return (bytes([len(raw)]) if len(raw) < 127 else b"\x7f" + varint(len(raw) - 127)) + raw


def block(*fields):
    return b"".join(b"\0" + text(name) + text(value) for name, value in fields)


def request(method="POST", path="/a", *more):
    return block((":method", method), (":scheme", "http"), (":path", path), (":authority", "h"), *more)


def headers(stream, fields, flags=END_HEADERS):
    return frame(HEADERS, flags, stream, fields)


def http2_server():
    post = headers(1, request())
    yield "get", headers(1, b"\x82\x86\x84\x41\x01h", END_HEADERS | END_STREAM)
    yield "post", post + frame(DATA, END_STREAM, 1, b"body")
    yield "trailers", post + frame(DATA, 0, 1, b"body") + headers(1, block(("x-sum", "1")), END_HEADERS | END_STREAM)
    yield "two_streams", post + headers(3, request("GET", "/b"), END_HEADERS | END_STREAM) + frame(DATA, END_STREAM, 1, b"x")
    yield "length", headers(1, request("POST", "/a", ("content-length", "4"))) + frame(DATA, END_STREAM, 1, b"body")
    yield "wrong_length", headers(1, request("POST", "/a", ("content-length", "9"))) + frame(DATA, END_STREAM, 1, b"body")
    yield "two_lengths", headers(1, request("POST", "/a", ("content-length", "4"), ("content-length", "5")))
    yield "chunked", headers(1, request("POST", "/a", ("transfer-encoding", "chunked"))) + frame(DATA, END_STREAM, 1, b"0\r\n\r\n")
    yield "hop", headers(1, request("POST", "/a", ("connection", "x")))
    yield "injected_value", headers(1, request("GET", "/a", ("x", "a\r\nhost: b")), END_HEADERS | END_STREAM)
    yield "injected_name", headers(1, request("GET", "/a", ("x: y\r\nz", "a")), END_HEADERS | END_STREAM)
    yield "injected_path", headers(1, request("GET", "/a HTTP/1.1\r\nx: y"), END_HEADERS | END_STREAM)
    yield "injected_method", headers(1, request("GET / HTTP/1.1\r\n", "/a"), END_HEADERS | END_STREAM)
    yield "capital_name", headers(1, request("GET", "/a", ("X", "a")), END_HEADERS | END_STREAM)
    yield "pseudo_last", headers(1, block((":method", "GET"), ("x", "y"), (":path", "/"), (":scheme", "http")), 5)
    yield "no_path", headers(1, block((":method", "GET"), (":scheme", "http")), 5)
    yield "continued", headers(1, request()[:9], END_STREAM) + frame(CONTINUATION, END_HEADERS, 1, request()[9:])
    yield "continuations", headers(1, b"", 0) + frame(CONTINUATION, 0, 1) * 40
    yield "reset", post + frame(RST, 0, 1, b"\0\0\0\x08") + headers(3, request())
    yield "resets", b"".join(headers(n, request()) + frame(RST, 0, n, b"\0\0\0\x08") for n in range(1, 60, 2))
    yield "we_reset", b"".join(headers(n, request()) + frame(WINDOW, 0, n, b"\0\0\0\0") for n in range(1, 60, 2))
    yield "pings", frame(PING, 0, 0, b"12345678") * 9
    yield "settings", frame(SETTINGS, 0, 0, struct.pack(">HIHI", 4, 0, 3, 1)) * 3 + frame(SETTINGS, 1)
    yield "zero_window", frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 0)) + post + frame(DATA, END_STREAM, 1, b"body")
    yield "window", post + frame(WINDOW, 0, 1, b"\x7f\xff\xff\xff") + frame(WINDOW, 0, 0, b"\x7f\xff\xff\xff")
    yield "goaway", frame(GOAWAY, 0, 0, b"\0\0\0\0\0\0\0\0why") + post
    yield "priority", frame(PRIORITY, 0, 1, b"\0\0\0\1\x10") + post
    yield "padded", frame(HEADERS, 0x2C, 1, b"\x02\0\0\0\0\x10" + request() + b"\0\0") + frame(DATA, 9, 1, b"\x01x\0")
    yield "too_long", frame(DATA, 0, 1, b"x" * 17000)
    yield "table", headers(1, b"\x3f\xe1\x1f" + request() + b"\x40\x01x\x01y", 5) + headers(3, request() + b"\xbe\xbf", 5)


def bomb():
    """Fields of four kilobytes each for one byte each."""
    indexed = b"\x40\x01x\x7f" + varint(3900 - 127) + b"a" * 3900
    return headers(1, b"\x88" + indexed + b"\xbe" * 12000)


def http2_client():
    settings = frame(SETTINGS) + frame(SETTINGS, 1)
    ok = settings + headers(1, b"\x88" + block(("content-type", "application/grpc")))
    yield "ok", ok + frame(DATA, 0, 1, b"\0\0\0\0\2hi") + headers(1, block(("grpc-status", "0")), 5)
    yield "both", ok + headers(3, b"\x88", 5) + frame(DATA, END_STREAM, 1, b"x")
    yield "head_only", settings + headers(1, b"\x88" + block(("grpc-status", "5"), ("grpc-message", "no%20x")), 5)
    yield "interim", settings + headers(1, block((":status", "103"), ("link", "x"))) + ok[len(settings):] + frame(DATA, 1, 1)
    yield "data_first", settings + frame(DATA, END_STREAM, 1, b"x")
    yield "reset", ok + frame(RST, 0, 1, b"\0\0\0\x07")
    yield "refused", settings + frame(RST, 0, 1, b"\0\0\0\x07")
    yield "goaway", settings + frame(GOAWAY, 0, 0, b"\0\0\0\1\0\0\0\0") + ok[len(settings):] + frame(DATA, 1, 1)
    yield "pushed", settings + frame(PUSH, 4, 1, b"\0\0\0\2" + request("GET"))
    yield "wrong_length", settings + headers(1, b"\x88" + block(("content-length", "9"))) + frame(DATA, END_STREAM, 1, b"x")
    yield "no_status", settings + headers(1, block(("x", "y")), 5)
    yield "two_heads", ok + headers(1, b"\x88", 5)
    yield "unasked", settings + headers(2, b"\x88", 5) + headers(99, b"\x88", 5)
    yield "window", frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 0)) + frame(WINDOW, 0, 1, b"\0\0\0\1") + ok[9:]
    yield "not_http2", b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"
    yield "bomb", settings + bomb()


def http2_upstream():
    settings = frame(SETTINGS) + frame(SETTINGS, 1)
    head, end = b"\x88" + block(("content-type", "application/grpc")), block(("grpc-status", "0"))
    answers_of_both = headers(3, head) + headers(1, head) + frame(DATA, 0, 3, b"\0\0\0\0\2hi") + frame(DATA, END_STREAM, 1, b"x") + headers(3, end, 5)
    said = {name: bytes_of_it.removeprefix(settings) for name, bytes_of_it in http2_client()}
    said["answers_of_both"] = answers_of_both
    said["no_bytes"] = headers(1, b"\x88" + block(("content-length", "0")), 5) + headers(3, b"\x88", 5)
    said["refused_both"] = frame(RST, 0, 1, b"\0\0\0\x07") + frame(RST, 0, 3, b"\0\0\0\x07")
    said["ends_before_the_body"] = answers_of_both + frame(RST, 0, 1, b"\0\0\0\0") + frame(RST, 0, 3, b"\0\0\0\0")
    said["nothing"] = b""
    for name, bytes_of_it in said.items():
        for way in range(4):
            yield f"{name}_{way}", bytes([way]) + bytes_of_it


def grpc_client():
    settings = frame(SETTINGS) + frame(SETTINGS, 1)
    end = headers(1, block(("grpc-status", "0")), 5)
    ok = settings + headers(1, b"\x88" + block(("content-type", "application/grpc")))
    packed = gzip.compress(b"z" * 30000, mtime=0)
    zipped = settings + headers(1, b"\x88" + block(("grpc-encoding", "gzip")))
    yield "ok", ok + frame(DATA, 0, 1, b"\0\0\0\0\2hi") + end
    yield "gzip", zipped + frame(DATA, 0, 1, b"\1" + struct.pack(">I", len(packed)) + packed) + end
    large = gzip.compress(b"\0" * 4_000_000, mtime=0)
    yield "gzip_bomb", zipped + frame(DATA, 0, 1, b"\1" + struct.pack(">I", len(large)) + large) + end
    yield "two_messages", ok + frame(DATA, 0, 1, b"\0\0\0\0\0" * 2) + end
    yield "cut_message", ok + frame(DATA, 0, 1, b"\0\0\0\0\x09hi") + end
    yield "no_status", ok + frame(DATA, END_STREAM, 1, b"\0\0\0\0\2hi")
    yield "failed", settings + headers(1, b"\x88" + block(("grpc-status", "14"), ("grpc-message", "%41%4")), 5)
    yield "not_found", settings + headers(1, block((":status", "404")), 5)
    yield "interim", settings + headers(1, block((":status", "103"), ("x", "y"))) * 20 + ok[len(settings):] + end
    yield "bomb", settings + bomb() + end


def grpc_frames():
    packed = gzip.compress(b"z" * 1000, mtime=0)
    large = gzip.compress(b"\0" * 1_000_000, mtime=0)
    for name, body in ("gzip", packed), ("gzip_bomb", large), ("gzip_cut", packed[:-5]), ("gzip_more", packed + b"x"):
        yield name, b"gzip\n\1" + struct.pack(">I", len(body)) + body
    yield "gunzip", b"\n" + packed


def http1_upstream():
    says = {
        "length": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        "chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nok\r\n0\r\nX-Sum: 1\r\n\r\n",
        "until_close": b"HTTP/1.1 200 OK\r\nConnection: close\r\nX-A: b\r\n\r\nok",
        "old": b"HTTP/1.0 200 OK\r\n\r\nok",
        "no_content": b"HTTP/1.1 204 No Content\r\n\r\n",
        "not_modified": b"HTTP/1.1 304 Not Modified\r\nContent-Length: 2\r\n\r\n",
        "interim": b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        "switches": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nok",
        "two": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nother",
        "more": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokay",
        "cut": b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok",
        "cut_head": b"HTTP/1.1 200 OK\r\nContent-Le",
        "cut_chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nok",
        "bad_chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok2\r\n",
        "two_framings": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "hop": b"HTTP/1.1 200 OK\r\nConnection: x, keep-alive\r\nKeep-Alive: timeout=9\r\nX: y\r\nContent-Length: 2\r\n\r\nok",
        "nothing": b"",
    }
    for name, bytes_of_it in says.items():
        for way in (0, 5, 8, 13, 2, 11) if name in ("length", "chunked", "two", "cut") else (len(bytes_of_it) % 16, 0, 1):
            yield f"{name}_{way}", bytes([way]) + bytes_of_it


# --- Milvus

def number(field, value):
    return varint(field << 3) + varint(value & (1 << 64) - 1)


def piece(field, value):
    raw = value.encode() if isinstance(value, str) else value
    return varint(field << 3 | 2) + varint(len(raw)) + raw


def column(kind, name, scalars=None, vectors=None, more=b""):
    data = piece(3, scalars) if scalars is not None else piece(4, vectors)
    return number(1, kind) + piece(2, name) + data + more


def packed(field, *values):
    return piece(field, piece(1, b"".join(varint(value & (1 << 64) - 1) for value in values)))


def listed(field, *values):
    return piece(field, b"".join(piece(1, value) for value in values))


def floats(*values):
    return struct.pack("<%df" % len(values), *values)


def books(rows=2):
    """The columns of tests/fuzz/milvus_books.h."""
    every = range(rows)
    return [
        column(5, "id", packed(3, *every)),
        column(101, "vector", vectors=number(1, 2) + piece(2, piece(1, floats(*[0.5] * 2 * rows)))),
        column(21, "title", listed(6, *["t"] * rows)),
        column(4, "year", packed(2, *[1990] * rows)),
        column(11, "price", piece(5, piece(1, struct.pack("<%dd" % rows, *[0.25] * rows)))),
        column(1, "new", packed(1, *[1] * rows)),
        column(23, "info", listed(9, *['{"n":1}'] * rows)),
        column(22, "tags", piece(8, b"".join(piece(1, listed(6, "a", "b")) for _ in every) + number(2, 21))),
        column(10, "score", piece(4, piece(1, floats(*[0.1] * rows)))),
        column(21, "note", listed(6, *["n"] * (rows - 1)), more=piece(7, bytes([1] * (rows - 1) + [0]))),
        column(23, "$meta", listed(9, *['{"extra":5}'] * rows), more=number(6, 1)),
    ]


def mutation(columns, rows, partition=""):
    return piece(3, "books") + (piece(4, partition) if partition else b"") + \
        b"".join(piece(5, one) for one in columns) + number(7, rows)


def recorded():
    lines = (TESTS / "protocols_milvus/data/recorded-2.3.5.txt").read_text().splitlines()
    for line in lines:
        if line and not line.startswith("#"):
            call, asked, answered = line.split()
            yield call, bytes.fromhex(asked.replace("-", "")), bytes.fromhex(answered.replace("-", ""))


def milvus_requests():
    kept = {}
    for call, asked, _ in recorded():
        if len(kept.setdefault(call, [])) < 3 and asked not in kept[call]:
            kept[call].append(asked)
            yield f"recorded_{call}_{len(kept[call])}", call.encode() + b"\n" + asked
    whole = books()[:9] + [column(21, "note", listed(6, "n", "m"))] + books()[10:]
    yield "upsert", b"Upsert\n" + mutation(books(), 2, "more")
    yield "upsert_image", b"Upsert\n" + mutation(whole, 2)
    yield "upsert_rows", b"Upsert\n" + mutation(whole, 0xFFFFFFFF)
    yield "insert", b"Insert\n" + mutation(books(), 2)
    yield "partial", b"Upsert\n" + mutation(books()[:3], 2) + number(9, 1)
    yield "sparse", b"Upsert\n" + mutation([column(104, "vector", vectors=number(1, 9) + piece(6, piece(1, b"\1\0\0\0\0\0\x80?")))], 1)
    value = piece(1, "t") + piece(2, b"")
    array = piece(1, "l") + piece(2, piece(5, packed(2, 1, 5)))
    yield "delete", b"Delete\n" + piece(3, "books") + piece(5, "id in {l}") + piece(8, array)
    yield "delete_where", b"Delete\n" + piece(3, "books") + piece(5, "year > 1990 and extra == 5")
    yield "template_of_nothing", b"Delete\n" + piece(3, "books") + piece(5, "{t} + 1 == id") + piece(8, value)
    query = piece(3, "books") + piece(4, "id < 5") + piece(5, "title") + piece(5, "$meta")
    yield "query", b"Query\n" + query + piece(9, piece(1, "limit") + piece(2, "10"))
    yield "query_window", b"Query\n" + query + piece(9, piece(1, "limit") + piece(2, "18446744073709551615")) + \
        piece(9, piece(1, "offset") + piece(2, "2"))
    yield "count", b"Query\n" + piece(3, "books") + piece(5, "count(*)")
    places = piece(1, piece(1, "$0") + number(2, 101) + piece(3, floats(1, 2)) + piece(3, floats(3, 4)))
    params = [("anns_field", "vector"), ("topk", "3"), ("metric_type", "L2"), ("params", '{"radius":9.5,"range_filter":0}')]
    asked = piece(3, "books") + piece(5, "year > 1990") + piece(6, places) + piece(8, "*") + \
        b"".join(piece(9, piece(1, name) + piece(2, value)) for name, value in params)
    yield "search", b"Search\n" + asked
    yield "search_window", b"Search\n" + asked + piece(9, piece(1, "offset") + piece(2, "18446744073709551615"))


def answers(what, *all):
    return what.encode() + b"".join(struct.pack(">H", len(one)) + one for one in all)


def milvus_answers():
    by_call = {}
    for call, _, answered in recorded():
        by_call.setdefault(call, answered)
    found = piece(1, b"") + b"".join(piece(2, one) for one in books())
    keys = piece(1, b"") + piece(2, books()[0])
    count = piece(1, b"") + piece(2, column(5, "count(*)", packed(3, 2)))
    nothing = piece(1, b"")
    stamp = nothing + number(2, 0x123456789)
    failed = piece(1, number(1, 1) + piece(2, "no") + number(3, 101))
    states = nothing + number(2, 3)
    yield "get", answers("g", stamp, found, found, nothing)
    yield "get_partitions", answers("g", nothing + piece(2, "_default") + piece(2, "more"), stamp, found, nothing, found, nothing)
    yield "count", answers("c", count)
    yield "read", answers("r", found, keys)
    yield "not_loaded", answers("r", failed, nothing, states, found, found)
    yield "plan", answers("p", count, stamp, keys, keys, nothing, keys, nothing, stamp, keys, nothing)
    yield "scan", answers("n", count, stamp, keys, stamp, found, found)
    yield "describe", answers("d", by_call["DescribeCollection"], by_call["DescribeIndex"], nothing + piece(2, "_default"), states)
    yield "list", answers("l", nothing + piece(2, "default"), nothing + piece(2, "books"), by_call["DescribeCollection"])
    yield "version", answers("v", by_call["Connect"], by_call["GetVersion"])
    yield "erase", answers("e", nothing + piece(2, "_default"), nothing, nothing)
    yield "upsert", answers("u", nothing + piece(2, "_default"), nothing)
    yield "refused", answers("u", piece(1, number(3, 1100) + piece(2, "not this one")))
    data = piece(4, floats(0.25, 0.5)) + piece(5, piece(1, piece(1, b"\1\2"))) + piece(6, b"\1\1")
    columns = b"".join(piece(3, one) for one in books())
    yield "search", answers("s", nothing + piece(2, number(1, 2) + number(2, 1) + columns + data))
    long_lists = piece(6, varint((1 << 63) - 1) * 2 + varint(2))
    yield "search_lists_that_wrap", answers("s", nothing + piece(2, long_lists))
    both = piece(4, floats(1, 2)) + piece(5, piece(1, piece(1, b"\1")) + piece(2, piece(1, "a") + piece(1, "b"))) + piece(6, b"\2")
    yield "search_ids_of_both_kinds", answers("s", nothing + piece(2, both))
    nulls = column(5, "id", packed(3, 1), more=piece(7, b"\1\0\0\0"))
    yield "null_keys", answers("r", nothing + piece(2, nulls))
    deep = listed(6, "a")
    for _ in range(40):
        deep = piece(8, piece(1, deep))
    yield "deep_arrays", answers("r", nothing + piece(2, column(22, "tags", deep)))


# --- Chroma

def chroma_driver():
    def said(what, *all):
        return answers(what, *(one if isinstance(one, bytes) else b"\0" + one.encode() for one in all))
    refused, absent, broken = b"\2no", b"\4no", b"\x08broken"
    thing = '{"id":"7","name":"things","tenant":"default_tenant","database":"default_database","metadata":null,"dimension":2,' \
        '"configuration_json":{"hnsw":{"space":"l2"}},"version":0,"log_position":0}'
    limits = '{"max_batch_size":5461,"supports_base64_encoding":true}'
    records = '{"ids":["one","two"],"embeddings":[[1,2],[3,4]],"documents":["d",null],"metadatas":[{"n":1,"m":2},null],"uris":null}'
    bare = records.replace("[[1,2],[3,4]]", "null")
    hits = '{"ids":[["one"],["two"]],"distances":[[0.5],[0.25]],"embeddings":[[[1,2]],[[3,4]]],"documents":[["d"],["e"]],' \
        '"metadatas":[[{"n":1}],[null]]}'
    yield "version", said("v", '"1.5.9"', limits, '{"user_id":"","tenant":"default_tenant","databases":["default_database"]}')
    yield "list", said("l", '{"tenant":"t"}', '{"name":"t"}', '[{"id":"1","name":"d"}]', '{"name":"default_tenant"}', "[]", "[" + thing + "]")
    yield "list_of_no_list", said("l", "{}", "{}", "{}")
    yield "describe", said("d", thing)
    yield "described_id", said("r", thing.replace('"7"', '"7 HTTP/1.1\\r\\nhost: x"'), records)
    yield "gone", said("d", absent)
    yield "read", said("r", thing, records)
    yield "read_again", said("r", thing, absent, thing, records)
    yield "count", said("c", thing, "3")
    yield "count_of_no_number", said("c", thing, "many")
    yield "get", said("g", thing, "2", records, records)
    yield "plan", said("p", thing, "2", bare)
    yield "plan_of_more", said("p", thing, "1", bare)
    yield "plan_of_all_numbers", said("p", thing, "18446744073709551615", bare)
    yield "scan", said("n", thing, "2", bare, records, records)
    yield "search", said("s", thing, hits)
    yield "search_torn", said("s", thing, hits.replace('["d"]', "[null]").replace('{"n":1}', "null"), records, hits)
    yield "erase", said("e", limits, thing, "{}")
    yield "upsert", said("u", limits, thing, bare, "{}")
    yield "upsert_undocumented", said("u", limits, thing, bare, "{}", "{}")
    yield "upsert_halved", said("u", limits, thing, '{"ids":[]}', refused, '{"ids":[]}', refused, '{"ids":[]}', "{}")
    yield "upsert_broken", said("u", limits, thing, '{"ids":[]}', broken)
    yield "add", said("o", limits, thing, "{}")
    yield "create", said("m", "{}", thing)
    yield "create_all", said("m", absent, "{}", "{}", thing)


# --- PostgreSQL

def pgvector_rows():
    def cells(*all):
        return b"".join(struct.pack(">H", len(one)) + one for one in all)
    vector = struct.pack(">HHff", 2, 0, 1, 0.5)
    half = struct.pack(">HHHH", 2, 0, 0x3C00, 0x3800)
    sparse = struct.pack(">iiiiiff", 9, 2, 0, 0, 4, 1, 0.5)
    after = [b"part", vector, half, sparse, b"document", b'\x01{"a":[1,2.5],"b":null}', b"\1", struct.pack(">h", -1),
             struct.pack(">i", 2), struct.pack(">q", 3), struct.pack(">f", 0.5), struct.pack(">d", 0.25), b"word", b"\x01[1,2.5]"]
    ids = [b"one", struct.pack(">q", 7), struct.pack(">i", 7), struct.pack(">h", 7), bytes(range(16)),
           struct.pack(">hhhhhh", 2, 1, 0, 0, 1, 2345)]
    for kind, one in enumerate(ids):
        yield f"id_{kind}", bytes([kind]) + cells(one, *after)
    yield "short_cells", b"\1" + cells(b"\1", b"", b"\0", b"\0\2", b"\0\0\0\1\xff\xff\xff\xff\0\0\0\0", b"", b"\2{}", b"", b"\1")
    yield "nulls", b"\0" + cells(b"one")
    yield "twice", b"\0" + cells(b"one", b"", b"", b"", b"", b"", b'\x01{"word":1}', b"\1", b"", b"", b"", b"", b"", b"word")
    yield "deep", b"\0" + cells(b"one", b"", b"", b"", b"", b"", b"\x01" + b"[" * 1500)


def pgvector_answers():
    def pieces(*all):
        return b"".join(struct.pack(">H", len(one)) + one for one in all)
    def said(what, *all, orderly=0):
        return what.encode() + bytes([orderly]) + pieces(*all)
    def rows(columns, *cells):
        return bytes([columns]) + b"".join(b"\xff\xff" if one is None else pieces(one.encode() if isinstance(one, str) else one)
                                          for one in cells)
    def column(name, kind, shown, modifier, element=""):
        return name, shown, kind, element, modifier, "t", "f", "distance: l2", "12", kind
    done, copy, vector = b"d", b"c", struct.pack(">HHff", 2, 0, 1, 0.5)
    title, tags = column("title", "varchar", "varchar(9)", "13"), column("tags", "", "text[]", "-1", "text")
    identity, embedding = column("id", "int8", "bigint", "-1"), column("embedding", "vector", "vector(2)", "2")
    table = rows(10, *identity, *embedding, *title, *tags, *column("metadata", "jsonb", "jsonb", "-1"))
    key = rows(6, "pk", "id", "btree", "int8_ops", "t", "t", "by", "embedding", "hnsw", "vector_cosine_ops", "t", "f")
    books = rows(4, "one", vector, None, b'\x01{"a":1}')
    clock, types = rows(1, "1700000000.25"), rows(5, "0.8.0", "public", "vector", "16385", "16390")
    def failed(state):
        return b"e" + state.encode() + b"why"
    yield "describe", said("d", table, key)
    yield "partitioned", said("d", rows(10, *identity, *embedding, *column("partition", "text", "text", "-1")),
                              rows(6, "pk", "partition", "btree", "o", "t", "t", "pk", "id", "btree", "o", "t", "t"))
    yield "key_of_no_column", said("d", table, rows(6, "pk", "other", "btree", "o", "t", "t"))
    yield "no_key", said("d", table, rows(6))
    yield "no_table", said("d", rows(10), rows(1, "a view"))
    yield "numbers_that_are_none", said("d", rows(10, "id", "text", "text", "", "many", "t", "f", "", "few", "text"))
    yield "few_columns", said("d", rows(1, "id"), rows(1, "pk"))
    yield "list", said("l", rows(2, "books", "r", "far", "f", "view", "m"), table, key)
    yield "version", said("v", rows(4, "db", "false", "off", "1"))
    yield "session", said("v", clock, types, done, done, rows(4, "db", "false", "off", "1"), orderly=1)
    yield "clock_of_no_number", said("v", rows(1, "noon"), orderly=1)
    yield "types_of_no_number", said("v", clock, rows(5, "0.8.0", "public", "vector", "-", ""), orderly=1)
    yield "read", said("r", books)
    yield "get", said("g", books)
    yield "count", said("c", rows(1, struct.pack(">q", 3)))
    yield "search", said("s", rows(5, struct.pack(">d", 0.5), "one", vector, None, b'\x01{"a":1}'))
    yield "plan", said("p", rows(1, "one", "two"))
    yield "scan", said("n", books, rows(4))
    yield "erase", said("e", done)
    yield "erase_halved", said("e", failed("23503"), done, failed("23503"))
    yield "upsert", said("u", done)
    yield "upsert_halved", said("u", failed("22003"), failed("22003"), done)
    yield "upsert_late", said("u", failed("22012"))
    yield "upsert_deadlocks", said("u", failed("40P01"), failed("40P01"), failed("40P01"))
    yield "copy", said("o", copy, done)
    yield "copy_of_known", said("o", copy, failed("23505"), done)
    yield "copy_cut", said("o", copy)
    yield "create", said("m", done)
    yield "index", said("i", done, rows(0), done, done, done)
    yield "index_named", said("i", done, rows(1, "f"), rows(1, "t"), done, done, done, done)
    yield "fatal", said("u", b"xE" + pieces(b"SFATAL\0VFATAL\0C57P01\0Mbye\0\0"))
    yield "notices", said("c", b"xN" + pieces(b"SNOTICE\0Mx\0\0") + b"A" + pieces(b"\0\0\0\1a\0b\0"))
    yield "torn_row", said("g", b"xT" + pieces(b"\0\1c\0" + bytes(18)) + b"D" + pieces(b"\0\1\0\0\0\x09x"))
    yield "told_twice", said("g", b"x" + (b"t" + pieces(b"\0\0")) * 2)
    yield "row_then_copy", said("c", b"xT" + pieces(b"\0\1c\0" + bytes(18)) + b"G" + pieces(b"\1\0\0"))
    yield "copies_out", said("g", b"xH" + pieces(b"\0\0\0") + b"d" + pieces(b"x"))


# --- the store: model/codec.h

def kept(value):
    raw = value.encode() if isinstance(value, str) else value
    return varint(len(raw)) + raw


def key(name="one", partition=""):
    return partition.encode() + b"\0\1\3" + name.encode()


def a_value():
    return b"\7\3" + kept("a") + b"\2" + struct.pack("<q", 1) + kept("b") + b"\6\2\5" + kept("x") + b"\4" + struct.pack("<d", 0.5) + \
        kept("c") + b"\0"


def record(name="one"):
    dense = kept("") + b"\0" + kept(floats(1, 0.5))
    sparse = kept("s") + b"\1\1" + struct.pack("<If", 3, 0.5)
    return kept(key(name, "p")) + b"\2" + dense + sparse + b"\3" + kept("document") + a_value()


def schema():
    head = kept("space") + kept("name") + kept("id") + struct.pack("<Q", 3) + kept("id") + b"\3" + struct.pack("<I", 9) + b"\7"
    vectors = b"\1" + kept("v") + b"\0" + struct.pack("<I", 2) + b"\1" + a_value()
    fields = b"\1" + kept("f") + b"\7\1" + struct.pack("<I", 9) + b"\1"
    return head + vectors + fields + b"\1" + kept("part") + b"\0" + a_value()


def stored_values():
    yield "record", b"r\1" + record()
    yield "schema", b"s\1" + schema()
    yield "catalog", b"c\1\1" + kept("space") + a_value() + b"\1" + schema() + a_value()
    yield "images", b"i\1\2" + kept(key()) + b"\1" + record() + kept(key("two")) + b"\0"
    yield "key", b"k" + key("\0\1", "p")
    yield "key_of_number", b"k\0\1\1" + struct.pack(">Q", 1 << 63 | 7)
    yield "uuid", b"k{AB1F8088-8942-4be7-be3f-d259863899d6}"
    yield "deep", b"r\1" + kept(key()) + b"\0\2" + b"\7\1\1a" + b"\6\1" * 600 + b"\0"
    yield "long", b"r\1" + kept(key()) + b"\xff" * 9 + b"\1"


def stored_state():
    begin = struct.pack("<BBQQQdBQBBQBBB", 4, 0, 2, 3, 4, 12.5, 1, 5, 1, 0, 6, 0, 1, 1) + kept("2026-01-01T00:00:00Z") + kept("why")
    later = struct.pack("<BQQ", 1, 7, 8)
    last = b"\1" + kept("ready") + b"\1" + kept("lag") + b"\1\1" + struct.pack("<dQ", 100, 9)
    yield "format_1", b"\1" + begin
    yield "format_2", b"\2" + begin + later
    yield "format_3", b"\3" + begin + later + last
    yield "wrong_side", b"\1" + begin[:1] + b"\7" + begin[2:]


def stored_rows():
    yield "plan", b"p\1" + struct.pack("<QQQI", 1, 2, 3, 4)
    yield "progress", b"r\1" + kept("cursor") + b"\1" + bytes([1, 2, 3, 4])
    yield "comparison", b"c\1" + kept("cursor") + b"\0" + bytes([1, 2, 3, 4, 5, 6, 7])
    yield "finding", b"f\1" + kept("things") + kept("one") + kept("missing") + kept("why")
    yield "debt", b"d\1\3" + struct.pack("<Q", 5000)
    yield "debt_of_no_reason", b"d\1\7" + struct.pack("<Q", 5000)
    yield "debt_without_end", b"d\1\0" + b"\xff" * 8
    change = kept("things") + kept(key()) + kept("why") + struct.pack("<Q", 1)
    yield "refused", b"q\3" + change + b"\1" + record() + b"\1"
    yield "refused_delete", b"q\2" + change + b"\0\0"
    yield "refused_format_1", b"q\1" + change + b"\1" + record()
    yield "unread", b"q\3" + change + b"\2\0"
    yield "refused_at_no_time", b"q\3" + change[:-8] + struct.pack("<q", (1 << 63) - 1) + b"\0\0"
    yield "of_no_change", b"q\3" + change + b"\3\0"
    yield "of_no_side", b"q\3" + change + b"\0\2"
    yield "validation", b"v\1" + struct.pack("<QBBdB", 7, 1, 0, 12.5, 1)
    yield "validation_of_nothing", b"v\1" + struct.pack("<QBBdB", 7, 1, 0, 0, 1)
    yield "audit", b"a\1" + a_value()


def scan_ranges():
    ids = b"\1" + kept("one") + kept("two") + kept("three")
    number = b"\0\1\1" + struct.pack(">Q", 1 << 63 | 7)
    yield "chroma", answers("c", ids)
    yield "chroma_goes_on", answers("c", ids, b"5")
    yield "chroma_behind", answers("c", ids, b"99")
    yield "chroma_damaged", answers("c", ids[:-1])
    yield "chroma_empty_id", answers("c", b"\1\0")
    yield "milvus", answers("m", b"\1" + kept("more") + b"\1" + struct.pack("<q", 1) + b"\0" + bytes(8))
    yield "milvus_goes_on", answers("m", b"\1" + kept("") + bytes(18), b"\1" + struct.pack("<Q", 7) + kept(number))
    yield "milvus_damaged", answers("m", b"\2")
    yield "pgvector", answers("p", b"\1\0\0")
    yield "pgvector_ends", answers("p", b"\1\1" + kept(key("a")) + b"\1" + kept(key("b")), key("aa"))
    yield "pgvector_other_ids", answers("p", b"\1\1" + kept(number) + b"\0")
    yield "pgvector_damaged", answers("p", b"\1\2")


def stored_collections():
    left_out = b"\1\1" + kept("") + kept("view") + kept("table.view: no key") + kept("give it one")
    yield "catalog", b"c\1\1" + kept("space") + a_value() + b"\1" + schema() + a_value()
    yield "left_out", b"l" + left_out
    yield "refused", b"r" + left_out
    yield "carried", b"b\1\1" + kept("things") + kept("things") + struct.pack("<Q", 7)
    yield "carried_without_end", b"b\1" + b"\xff" * 9 + b"\1"
    yield "doubt", b"d5000"
    yield "doubt_without_end", b"d9223372036854775807"
    yield "doubt_of_no_number", b"dlong"
    yield "making", b"mgiven up"
    yield "claim", b"othings"


def journal_values():
    for line in (TESTS / "journal/data/format_1.txt").read_text().splitlines():
        where, value = (bytes.fromhex(one) for one in line.split())
        yield f"format_1_{where.hex()[:40]}", where[:1] + value[1:-4]
        if where[:1] == b"i":
            yield f"whole_{where.hex()}", where[:1] + value
    yield "hole", b"i\1\x0a"
    yield "image", b"o\0\2\0\1\1" + kept(key()) + b"\1" + kept(b"\1" + record())


def main():
    into = pathlib.Path(sys.argv[1])
    for make in (http1_upstream, http2_server, http2_client, http2_upstream, grpc_client, grpc_frames, milvus_requests, milvus_answers,
                 chroma_driver, pgvector_rows, pgvector_answers, stored_values, stored_state, stored_rows, scan_ranges, stored_collections, journal_values):
        folder = into / make.__name__
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in make():
            (folder / name).write_bytes(content)


if __name__ == "__main__":
    main()
