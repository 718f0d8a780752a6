"""S6: reads and writes served by pgvector or Chroma look like Milvus' to the SDKs, with Milvus stopped.

Every call that cannot is named in docs/mapping.md, in backticks, with its code.
"""

import pytest

import documented
import milvus_script
import node_script

AFTER = ("data", "errors", "administration", "partitions")
AGAIN = ("setup", "data", "errors")  # what may be done twice: the first parts of the script


@pytest.fixture
def expected(answered_directly):
    return answered_directly(milvus_script, "milvus")


@pytest.fixture
def expected_of_node(answered_directly):
    return answered_directly(node_script, "milvus")


def move_to(target, milvus, make_vmproxy):
    return make_vmproxy({"system": "milvus", "url": milvus.url}, {"system": target.name, "url": target.url}, dialect="milvus")


def promote(vmproxy, milvus) -> None:
    vmproxy.command("start", timeout=300)
    vmproxy.command("cutover", "--percent", "100")
    vmproxy.command("promote")
    milvus.stop()


def drop_all(port: int) -> None:
    from pymilvus import MilvusClient
    client = MilvusClient(f"http://127.0.0.1:{port}")
    for name in client.list_collections():
        client.drop_collection(name)
    client.close()


def the_script(vmproxy, milvus, expected, *headings) -> dict:
    """Returns what differed."""
    recorder = milvus_script.Recorder()
    # What exists before the move ...
    milvus_script.run("127.0.0.1", vmproxy.port, ("setup",), recorder)
    promote(vmproxy, milvus)
    # ... and all that an application does after it,
    answers = milvus_script.run("127.0.0.1", vmproxy.port, AFTER, recorder)
    differences = milvus_script.differences(expected, answers, exact=False)
    documented.check(expected, answers, differences, *headings)
    # ... collections of its own included.
    drop_all(vmproxy.port)
    again = milvus_script.run("127.0.0.1", vmproxy.port, AGAIN)
    first = expected[:len(again)]
    assert [name for name, _ in first] == [name for name, _ in again]
    later = milvus_script.differences(first, again, exact=False)
    documented.check(first, again, later, *headings)
    return {**differences, **later}


def the_node_sdk(vmproxy, milvus, expected, *headings) -> None:
    # The migration moves something, and the application had been seen before.
    milvus_script.run("127.0.0.1", vmproxy.port, ("setup",))
    drop_all(milvus.port)
    promote(vmproxy, milvus)
    answers = node_script.run("127.0.0.1", vmproxy.port)
    documented.check(expected, answers, milvus_script.differences(expected, answers, exact=False), *headings)


@pytest.mark.long
def test_the_script_after_promotion_with_the_source_stopped(expected, milvus, pgvector, make_vmproxy):
    the_script(move_to(pgvector, milvus, make_vmproxy), milvus, expected, documented.MILVUS)


def test_the_node_sdk_after_promotion_with_the_source_stopped(expected_of_node, milvus, pgvector, make_vmproxy):
    the_node_sdk(move_to(pgvector, milvus, make_vmproxy), milvus, expected_of_node, documented.MILVUS)


@pytest.mark.long
def test_the_script_after_promotion_to_chroma(expected, milvus, chroma, make_vmproxy):
    headings = (documented.MILVUS, documented.MILVUS_IN_CHROMA)
    differences = the_script(move_to(chroma, milvus, make_vmproxy), milvus, expected, *headings)
    documented.check_none_is_stale(differences, {name for name, _ in expected}, documented.MILVUS_IN_CHROMA)


def test_the_node_sdk_after_promotion_to_chroma(expected_of_node, milvus, chroma, make_vmproxy):
    the_node_sdk(move_to(chroma, milvus, make_vmproxy), milvus, expected_of_node, documented.MILVUS, documented.MILVUS_IN_CHROMA)
