"""Collections that have no record yet: before the move, made while it goes on, made after promotion. Chroma says no dimension
of them, and they are moved like the others."""

import pytest

from servers import create
from servers.base import wait_until
from vmproxy import CommandError
from workload import separate_client


@pytest.fixture(params=["pgvector", "milvus"])
def target(request):
    with create(request.param) as server:
        yield server


def database(server):
    return {"system": server.name, "url": server.url}


def fill(collection, corpus, first):
    rows = slice(first, first + 20)
    collection.add(ids=corpus.ids[rows], embeddings=list(corpus.embeddings[rows]), documents=corpus.texts[rows])


def answers(collection, corpus):
    found = collection.query(query_embeddings=[corpus.embeddings[3]], n_results=5, include=["documents"])
    return collection.count(), found["ids"], found["documents"]


def test_collections_without_a_record(chroma, target, make_vmproxy, corpus):
    beside = chroma.client()
    fill(beside.create_collection("full", embedding_function=None), corpus, 0)
    beside.create_collection("empty_before", embedding_function=None, metadata={"hnsw:space": "cosine"})
    beside.create_collection("empty_always", embedding_function=None)
    vmproxy = make_vmproxy(database(chroma), database(target))
    application = separate_client("127.0.0.1", vmproxy.port)
    vmproxy.command("start", timeout=600)

    # Made and filled while the move goes on; and one that was there without a record is filled.
    fill(application.create_collection("made_meanwhile", embedding_function=None), corpus, 0)
    fill(application.get_collection("empty_before", embedding_function=None), corpus, 10)
    application.create_collection("empty_meanwhile", embedding_function=None)
    vmproxy.wait_drained()
    vmproxy.command("validate", "--full", timeout=300)
    names = ["full", "empty_before", "empty_always", "made_meanwhile", "empty_meanwhile"]
    before = {name: answers(application.get_collection(name, embedding_function=None), corpus) for name in names}
    with pytest.raises(CommandError, match="0 tried on the target"):
        vmproxy.command("promote")
    vmproxy.command("cutover", "--percent", "100")
    assert {name: answers(application.get_collection(name, embedding_function=None), corpus) for name in names} == before
    vmproxy.command("promote", timeout=300)

    # All of them from the target, the empty ones as well.
    chroma.stop()
    after = {name: answers(application.get_collection(name, embedding_function=None), corpus) for name in names}
    assert after == before
    for name in ("empty_always", "empty_meanwhile"):
        fill(application.get_collection(name, embedding_function=None), corpus, 30)
    fill(application.create_collection("made_after", embedding_function=None), corpus, 40)
    for name in ("empty_always", "empty_meanwhile", "made_after"):
        count, (ids,), (documents,) = answers(application.get_collection(name, embedding_function=None), corpus)
        assert count == 20 and len(ids) == 5
        assert documents == [corpus.texts[corpus.ids.index(id)] for id in ids]


def test_what_is_made_while_reads_come_from_the_target_is_found_there(chroma, target, make_vmproxy, corpus):
    """Nobody has asked the source since, so the catalog does not know its dimension."""
    fill(chroma.client().create_collection("full", embedding_function=None), corpus, 0)
    vmproxy = make_vmproxy(database(chroma), database(target))
    application = separate_client("127.0.0.1", vmproxy.port)
    vmproxy.command("start", timeout=600)
    vmproxy.command("cutover", "--percent", "100")
    made = application.create_collection("made_meanwhile", embedding_function=None)
    fill(made, corpus, 0)
    vmproxy.wait_drained()
    expected = answers(chroma.client().get_collection("made_meanwhile", embedding_function=None), corpus)
    assert expected[0] == 20

    def come_from_the_target():
        before = vmproxy.metric("requests_total", side="target")
        assert answers(made, corpus) == expected
        return vmproxy.metric("requests_total", side="target") == before + 2
    wait_until(come_from_the_target, 60, "both reads to be answered by the target")


def test_what_is_made_after_the_promotion_goes_back_too(chroma, pgvector, make_vmproxy, corpus):
    fill(chroma.client().create_collection("full", embedding_function=None), corpus, 0)
    vmproxy = make_vmproxy(database(chroma), database(pgvector))
    application = separate_client("127.0.0.1", vmproxy.port)
    vmproxy.command("start", timeout=600)
    vmproxy.command("promote", timeout=300)
    fill(application.create_collection("made_after", embedding_function=None, metadata={"for": "later"}), corpus, 40)
    fill(application.get_collection("full", embedding_function=None), corpus, 60)
    expected = answers(application.get_collection("made_after", embedding_function=None), corpus)
    vmproxy.wait_drained()
    with pytest.raises(CommandError, match="made_after"):  # its id is another one there: the operator is told
        vmproxy.command("rollback")
    vmproxy.command("rollback", "--force", "ddl")
    there = chroma.client().get_collection("made_after", embedding_function=None)
    assert there.metadata["for"] == "later"
    assert answers(there, corpus) == expected
    assert chroma.client().get_collection("full", embedding_function=None).count() == 40
    assert answers(application.get_collection("made_after", embedding_function=None), corpus) == expected


def test_a_collection_dropped_and_made_again_is_named_until_it_is_validated(chroma, pgvector, make_vmproxy, corpus):
    fill(chroma.client().create_collection("again", embedding_function=None), corpus, 0)
    vmproxy = make_vmproxy(database(chroma), database(pgvector))
    application = separate_client("127.0.0.1", vmproxy.port)
    vmproxy.command("start", timeout=600)
    application.delete_collection("again")
    assert vmproxy.status()["gaps"] == 0
    fill(application.create_collection("again", embedding_function=None), corpus, 50)
    assert vmproxy.status()["gaps"] == 1
    with pytest.raises(CommandError, match="former life"):
        vmproxy.command("promote")
    vmproxy.wait_drained()
    for _ in range(2):  # the first pass repairs
        vmproxy.run("validate", "--full", "--repair", timeout=300)
        vmproxy.wait_drained()
    vmproxy.command("promote", timeout=300)
    chroma.stop()
    assert sorted(application.get_collection("again", embedding_function=None).get()["ids"]) == sorted(corpus.ids[50:70])
