"""Both databases read directly, past vmproxy, into one shape: {id: (embedding, document, metadata)}."""

import json

import numpy

from history import close, same_metadata


def chroma_records(server, collection: str, batch: int = 2000) -> dict:
    found = server.client().get_collection(collection, embedding_function=None)
    ids = found.get(include=[])["ids"]
    records = {}
    for first in range(0, len(ids), batch):
        page = found.get(ids=ids[first:first + batch], include=["embeddings", "documents", "metadatas"])
        for key, embedding, document, metadata in zip(
                page["ids"], page["embeddings"], page["documents"], page["metadatas"]):
            records[key] = (numpy.asarray(embedding, numpy.float32), document, metadata or {})
    return records


def pgvector_records(server, table: str, schema: str = "public") -> dict:
    from psycopg import sql
    query = sql.SQL("select id, embedding::text, document, metadata from {}.{}").format(
        sql.Identifier(schema), sql.Identifier(table))
    with server.client() as connection:
        rows = connection.execute(query).fetchall()
    return {key: (numpy.array(json.loads(embedding), numpy.float32), document, metadata or {})
            for key, embedding, document, metadata in rows}


def milvus_records(server, collection: str, vector: str = "vector", key: str = "id") -> dict:
    """Declared and dynamic fields are metadata; a record outside of the default partition has its key after "NAME/"."""
    client = server.client()
    client.load_collection(collection)
    records = {}
    for partition in client.list_partitions(collection):
        rows = client.query(collection, filter="", output_fields=["*"], limit=16_000, partition_names=[partition],
                            consistency_level="Strong")
        for row in rows:
            fields = {name: value for name, value in dict(row).items() if name not in (vector, key)}
            name = row[key] if partition == "_default" else f"{partition}/{row[key]}"
            records[name] = (numpy.asarray(row[vector], numpy.float32), None, fields)
    client.close()
    return records


def pgvector_fields(server, table: str, vector: str = "vector", key: str = "id") -> dict:
    """The same of a table that vmproxy made for a collection of Milvus."""
    from psycopg import sql
    from psycopg.rows import dict_row
    with server.client() as connection:
        rows = connection.cursor(row_factory=dict_row).execute(
            sql.SQL("select * from public.{}").format(sql.Identifier(table))).fetchall()
    records = {}
    for row in rows:
        partition, number = row.pop("partition", ""), row.pop(key)
        embedding = numpy.array(json.loads(row.pop(vector)), numpy.float32)
        fields = {**(row.pop("metadata", None) or {}), **row}
        records[f"{partition}/{number}" if partition else number] = (embedding, None, fields)
    return records


def pgvector_rows(server, table: str, schema: str = "public", key: str = "id") -> dict:
    """{key: {column: plain value}}: vectors as arrays, moments in text, generated columns left out."""
    from psycopg import sql
    with server.client() as connection:
        columns = connection.execute(
            "select attname, format_type(atttypid, null) from pg_attribute where attrelid = %s::regclass"
            " and attnum > 0 and not attisdropped and attgenerated = ''", [f'"{schema}"."{table}"']).fetchall()
        as_text = {name for name, kind in columns if kind in ("vector", "halfvec", "timestamp with time zone")}
        query = sql.SQL("select {} from {}").format(
            sql.SQL(", ").join(sql.SQL("{}::text").format(sql.Identifier(name)) if name in as_text
                               else sql.Identifier(name) for name, _ in columns),
            sql.Identifier(schema, table))
        rows = [dict(zip([name for name, _ in columns], row)) for row in connection.execute(query)]
    for row in rows:
        for name, kind in columns:
            if kind in ("vector", "halfvec") and row[name] is not None:
                row[name] = numpy.array(json.loads(row[name]), numpy.float32)
    return {row[key]: {n: v for n, v in row.items() if n != key} for row in rows}


def milvus_rows(client, collection: str, batch: int = 1000) -> dict:
    """{key: {field: plain value}}, dynamic fields among them. The collection has no partition but the default."""
    described = client.describe_collection(collection)
    key = next(field["name"] for field in described["fields"] if field.get("is_primary"))
    vectors = [field["name"] for field in described["fields"] if field["type"].name.endswith("VECTOR")]
    text = next(field for field in described["fields"] if field["name"] == key)["type"].name == "VARCHAR"
    rows, last = {}, None
    while True:
        if last is None:
            where = f'{key} >= ""' if text else f"{key} >= 0 or {key} < 0"
        elif last == -2**63:  # no number to Milvus' parser
            where = f"{key} >= {last + 1}"
        else:
            where = f"{key} > {json.dumps(last, ensure_ascii=False) if text else last}"
        page = client.query_iterator(collection, batch_size=batch, filter=where, output_fields=["*"],
                                     consistency_level="Strong")
        found = page.next()
        page.close()
        if not found:
            return rows
        for row in found:
            last = row.pop(key)
            row.pop("$meta", None)
            for name in vectors:
                row[name] = numpy.asarray(row[name], numpy.float32)
            assert last not in rows, f"{last} twice"
            rows[last] = dict(row)


def assert_same_rows(wanted: dict, found: dict, limit: int = 10) -> None:
    """Records as {key: {name: value}}: equal by design.md's Equality, or what differs is said."""
    unequal = [f"{key!r}: missing" for key in wanted.keys() - found.keys()]
    unequal += [f"{key!r}: nobody wrote it" for key in found.keys() - wanted.keys()]
    for key in wanted.keys() & found.keys():
        left, right = wanted[key], found[key]
        for name in sorted(left.keys() | right.keys()):
            one, other = left.get(name, Ellipsis), right.get(name, Ellipsis)
            if isinstance(one, numpy.ndarray) and isinstance(other, numpy.ndarray):
                same = close(one, other)
            else:
                same = same_value(one, other)
            if not same:
                unequal.append(f"{key!r} {name}: {_shown(one)}, found {_shown(other)}")
    assert not unequal, "\n".join([*sorted(unequal)[:limit], f"{len(unequal)} in all, of {len(wanted)} records"])


def same_value(one, other) -> bool:
    """Equal with types, at any depth."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same_value(v, other[n]) for n, v in one.items())
    if isinstance(one, list):
        return len(one) == len(other) and all(same_value(a, b) for a, b in zip(one, other))
    return one == other


def _shown(value) -> str:
    return "absent" if value is Ellipsis else f"{value!r:.200}"


def differences(left: dict, right: dict, limit: int = 10) -> list:
    """What is not equal by design.md's Equality, in words; empty if all is."""
    found = [f"{key}: only on the left" for key in left.keys() - right.keys()]
    found += [f"{key}: only on the right" for key in right.keys() - left.keys()]
    for key in left.keys() & right.keys():
        (e1, d1, m1), (e2, d2, m2) = left[key], right[key]
        if not close(e1, e2):
            found.append(f"{key}: embeddings differ")
        elif d1 != d2:
            found.append(f"{key}: documents {d1!r:.60} and {d2!r:.60}")
        elif not same_metadata(m1, m2):
            found.append(f"{key}: metadata {m1} and {m2}")
    return sorted(found)[:limit] + ([f"... {len(found)} in all"] if len(found) > limit else [])


def illegal_final(history, records: dict, limit: int = 10) -> list:
    """Records that are no legal end of the history: lost, resurrected or foreign."""
    found, final = [], history.final()
    for key, possible in final.items():
        if not any(history.matches(state, records.get(key)) for state in possible):
            wanted = " or ".join("absent" if s is None else f"v{s.metadata['v']}" for s in possible)
            record = records.get(key)
            found.append(f"{key}: {'absent' if record is None else record[1:]}, must be {wanted}")
    found += [f"{key}: nobody wrote it" for key in records.keys() - final.keys()]
    return found[:limit] + ([f"... {len(found)} in all"] if len(found) > limit else [])
