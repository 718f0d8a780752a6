"""S6: reads and writes served by the target look like Chroma's to the SDK, with Chroma stopped.

In pgvector no call is exempt. What Milvus answers otherwise is named in docs/mapping.md, in backticks, with its code.
"""

import pytest

import chroma_script
import documented

AFTER = ("data", "errors", "collections", "tenants", "raw")
AGAIN = ("setup", "data", "errors")  # what may be done twice: the first parts of the script


@pytest.fixture
def expected(answered_directly):
    return answered_directly(chroma_script, "chroma")


def answers_after_promotion(vmproxy, source):
    recorder = chroma_script.Recorder()
    # What exists before the move ...
    chroma_script.run("127.0.0.1", vmproxy.port, ("setup",), recorder)
    vmproxy.command("start", timeout=300)
    vmproxy.command("cutover", "--percent", "100")
    vmproxy.command("promote")
    source.stop()
    # ... and all that an application does after it,
    return chroma_script.run("127.0.0.1", vmproxy.port, AFTER, recorder)


def answers_from_the_beginning(vmproxy):
    """... collections of its own included."""
    client = chroma_script.separate_client("127.0.0.1", vmproxy.port)
    for collection in client.list_collections():
        client.delete_collection(collection.name)
    return chroma_script.run("127.0.0.1", vmproxy.port, AGAIN)


def first(expected, answers):
    assert [name for name, _ in expected][:len(answers)] == [name for name, _ in answers]
    return expected[:len(answers)]


def test_the_script_after_promotion_with_the_source_stopped(expected, chroma, pgvector, vmproxy):
    answers = answers_after_promotion(vmproxy, chroma)
    assert chroma_script.differences(expected, answers, exact=False) == {}
    again = answers_from_the_beginning(vmproxy)
    assert chroma_script.differences(first(expected, again), again, exact=False) == {}
    print(f"{len(answers)} calls alike, and {len(again)} once more")


def test_the_script_after_promotion_to_milvus(expected, chroma, milvus, make_vmproxy):
    vmproxy = make_vmproxy({"system": "chroma", "url": chroma.url}, {"system": "milvus", "url": milvus.url})
    answers = answers_after_promotion(vmproxy, chroma)
    differences = chroma_script.differences(expected, answers, exact=False)
    documented.check(expected, answers, differences, documented.CHROMA_IN_MILVUS)
    again = answers_from_the_beginning(vmproxy)
    later = chroma_script.differences(first(expected, again), again, exact=False)
    documented.check(first(expected, again), again, later, documented.CHROMA_IN_MILVUS)
    documented.check_none_is_stale({**differences, **later}, {name for name, _ in expected}, documented.CHROMA_IN_MILVUS)
