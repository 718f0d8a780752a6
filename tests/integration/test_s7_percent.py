"""S7: percent of reads by query fingerprint: near the number, monotone, sticky while paging."""

import random

import pytest

from workload import separate_client


@pytest.fixture
def ready(chroma, pgvector, vmproxy, corpus, scale):
    """Everything copied, nobody writing: each read that may go to the target can."""
    collection = chroma.client().create_collection("packages", embedding_function=None)
    count = scale(2000, 400)
    for first in range(0, count, 1000):
        rows = slice(first, min(first + 1000, count))
        collection.add(ids=corpus.ids[rows], embeddings=list(corpus.embeddings[rows]),
                       documents=corpus.texts[rows], metadatas=corpus.metadatas[rows])
    vmproxy.command("start", timeout=600)
    return vmproxy, separate_client("127.0.0.1", vmproxy.port).get_collection("packages", embedding_function=None)


def mixed_reads(collection, corpus, count, chance):
    """One closure for each read, all different in their fingerprint."""
    sections = sorted({metadata["section"] for metadata in corpus.metadatas})
    reads = []
    for number in range(count):
        kind = chance.choices(("query", "get", "where"), (60, 30, 10))[0]
        if kind == "query":
            row = chance.randrange(len(corpus))
            embedding = corpus.embeddings[row] + 1e-6 * number
            reads.append(lambda e=embedding: collection.query(query_embeddings=[e], n_results=3, include=["distances"]))
        elif kind == "get":
            ids = sorted(chance.sample(corpus.ids, 3))
            reads.append(lambda i=ids: collection.get(ids=i, include=["metadatas"]))
        else:
            where = {"$and": [{"section": chance.choice(sections)}, {"size": {"$gt": number}}]}
            reads.append(lambda w=where: collection.get(where=w, include=[], limit=10))
    return reads


def routed(vmproxy):
    """Reads routed to the target, and those of them that were sent back."""
    metrics = vmproxy.metrics()
    served = sum(value for labels, value in metrics.get("requests_total", {}).items()
                 if ("side", "target") in labels)
    returned = sum(metrics.get("reads_returned_total", {}).values())
    return served, returned


def test_ten_percent_of_ten_thousand_reads(ready, corpus, scale, seed):
    vmproxy, collection = ready
    vmproxy.command("cutover", "--percent", "10")
    count = scale(10_000, 1000)
    before = routed(vmproxy)
    for read in mixed_reads(collection, corpus, count, random.Random(seed)):
        read()
    after = routed(vmproxy)
    served, returned = after[0] - before[0], after[1] - before[1]
    print(f"{served:.0f} of {count} reads served by the target, {returned:.0f} sent back: "
          f"{vmproxy.metrics().get('reads_returned_total', {})}")
    # Three standard deviations of a binomial around 8 to 12 % when the sample is a small one.
    slack = 0 if count >= 10_000 else 3 * (0.1 * 0.9 / count) ** 0.5
    assert 0.08 - slack <= (served + returned) / count <= 0.12 + slack


def test_reads_that_are_sent_back_are_counted_by_reason(ready, corpus, pgvector):
    """And the application sees none of it."""
    vmproxy, collection = ready
    vmproxy.command("cutover", "--percent", "100")
    ids = corpus.ids[:50]

    def returned(reason, reads):
        """How many more were sent back for this reason, and for others."""
        def counts():
            by = vmproxy.metrics().get("reads_returned_total", {})
            mine = sum(value for labels, value in by.items() if ("reason", reason) in labels)
            return mine, sum(by.values()) - mine
        before = counts()
        reads()
        return tuple(later - earlier for later, earlier in zip(counts(), before))

    def read_all():
        for key in ids:
            assert collection.get(ids=[key])["ids"] == [key]

    assert returned("stale", read_all) == (0, 0)
    # The target does not have what was written last.
    pgvector.suspend()
    collection.update(ids=ids[:5], metadatas=[{"fresh": True}] * 5)

    def read_written():
        for key in ids[:5]:
            assert collection.get(ids=[key], include=["metadatas"])["metadatas"][0]["fresh"] is True

    assert returned("stale", read_written) == (5, 0)
    pgvector.resume()
    vmproxy.wait_drained()
    # The target cannot answer: of this sort no promotion may lose any, so its gate closes.
    cannot = {"$and": [{"section": "x"}, {"size": {"$gt": 1}}]}
    matching = {"$regex": r"\w+"}
    assert returned("filter.matches", lambda: collection.get(where=cannot, where_document=matching)) == (1, 0)
    assert vmproxy.run("promote", "--yes").returncode == 3
    # The target answers errors.
    with pgvector.client() as connection:
        connection.execute("alter table packages rename to elsewhere")
    errors = returned("none", read_all)[1]
    with pgvector.client() as connection:
        connection.execute("alter table elsewhere rename to packages")
    assert errors == len(ids)


def test_twenty_percent_keeps_the_first_ten(ready, corpus, scale, seed):
    vmproxy, collection = ready
    reads = mixed_reads(collection, corpus, scale(600, 150), random.Random(seed))

    def sides():
        chosen = []
        for read in reads:
            before = sum(routed(vmproxy))
            read()
            chosen.append(sum(routed(vmproxy)) > before)
        return chosen

    vmproxy.command("cutover", "--percent", "10")
    ten = sides()
    assert sides() == ten, "the same queries, the same sides"
    vmproxy.command("cutover", "--percent", "20")
    twenty = sides()
    assert any(ten) and sum(twenty) > sum(ten)
    assert all(later for first, later in zip(ten, twenty) if first), "10 % is not a part of 20 %"


def test_a_paged_scan_across_changes_of_percent(ready, corpus, chroma):
    vmproxy, collection = ready
    total = collection.count()
    page = 25
    for start_percent, changes in ((0, (100, 10, 50)), (100, (0, 100, 10)), (10, (20, 100, 0))):
        vmproxy.command("cutover", "--percent", str(start_percent))
        seen = []
        pages = range(0, total, page)
        for number, offset in enumerate(pages):
            seen += collection.get(limit=page, offset=offset, include=["metadatas"])["ids"]
            if number % (len(pages) // 3 + 1) == len(pages) // 6:
                vmproxy.command("cutover", "--percent", str(changes[number * 3 // len(pages) % 3]))
        assert len(seen) == len(set(seen)) == total, f"{len(seen)} read, {len(set(seen))} distinct, {total} exist"
