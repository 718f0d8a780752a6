"""Each real database of tests/servers: a round trip with the vendor's SDK, kill -9, suspend."""

import threading

import pytest

from servers import create


def chroma_write(server):
    collection = server.client().create_collection("texts")
    collection.add(ids=["a", "b"], embeddings=[[1, 0, 0], [0, 1, 0]], documents=["one", "two"])


def chroma_read(server):
    collection = server.client().get_collection("texts")
    assert collection.count() == 2
    assert collection.query(query_embeddings=[[0, 1, 0]], n_results=1)["ids"] == [["b"]]


def pgvector_write(server):
    with server.client() as connection:
        connection.execute("create table texts (id text primary key, embedding vector(3))")
        connection.execute("insert into texts values ('a', '[1,0,0]'), ('b', '[0,1,0]')")


def pgvector_read(server):
    with server.client() as connection:
        version = connection.execute(
            "select extversion from pg_extension where extname = 'vector'").fetchone()
        assert version == ("0.8.5",)
        for setting in ("fsync", "synchronous_commit"):
            assert connection.execute(f"show {setting}").fetchone() == ("on",)
        rows = connection.execute(
            "select id from texts order by embedding <-> '[0,1,0]' limit 1").fetchall()
        assert rows == [("b",)]


def milvus_write(server):
    client = server.client()
    client.create_collection("texts", dimension=3, metric_type="L2", consistency_level="Strong")
    client.insert("texts", [{"id": 1, "vector": [1, 0, 0]}, {"id": 2, "vector": [0, 1, 0]}])
    client.close()


def milvus_read(server):
    client = server.client()
    client.load_collection("texts")  # a restarted server reloads in its own time
    found = client.search("texts", [[0.0, 1.0, 0.0]], limit=1)
    assert [hit["id"] for hit in found[0]] == [2]
    client.close()


CASES = [
    ("chroma", chroma_write, chroma_read),
    ("pgvector", pgvector_write, pgvector_read),
    ("milvus", milvus_write, milvus_read),
    ("milvus-lite", milvus_write, milvus_read),
]


@pytest.mark.parametrize("name,write,read", CASES, ids=[case[0] for case in CASES])
def test_round_trip_restart_and_suspend(name, write, read):
    server = create(name)
    try:
        server.start()
        write(server)
        read(server)
        server.stop()
        assert not server.running
        server.start()  # the same port and data
        read(server)

        server.suspend()
        done = threading.Event()

        def ask():
            read(server)
            done.set()
        reader = threading.Thread(target=ask)
        reader.start()
        assert not done.wait(1.0), "a suspended server answered"
        server.resume()
        reader.join(60)
        assert done.is_set()
    finally:
        server.discard()


@pytest.mark.parametrize("name,write,read", CASES[:2], ids=["chroma", "pgvector"])
def test_data_survive_kill9(name, write, read):
    server = create(name)
    try:
        server.start()
        write(server)
        server.kill9()
        server.start()
        read(server)
    finally:
        server.discard()
