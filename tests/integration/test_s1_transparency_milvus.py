"""S1: scripts of the official Milvus SDKs answer the same directly and through vmproxy, errors included."""

import pytest

import milvus_script
import node_script
import sides
from servers import create
from vmproxy import milvus_to_pgvector


def ask(script):
    with create("milvus") as server:
        return script.run("127.0.0.1", server.port)


@pytest.fixture
def direct_answers(once):
    return once("milvus_script", lambda: ask(milvus_script))


@pytest.fixture
def direct_answers_of_node(once):
    return once("node_script", lambda: ask(node_script))


@pytest.mark.long
def test_the_script_itself_is_repeatable(direct_answers):
    again = ask(milvus_script)
    assert len(again) >= 60
    assert milvus_script.differences(direct_answers, again) == {}


@pytest.mark.parametrize("state", ["created", "mirroring"])
def test_the_same_through_vmproxy(state, direct_answers, milvus, pgvector, make_vmproxy):
    vmproxy = make_vmproxy(*milvus_to_pgvector(milvus, pgvector), dialect="milvus")
    if state == "mirroring":
        vmproxy.command("start", "--until", "mirroring")
    answers = milvus_script.run("127.0.0.1", vmproxy.port)
    assert len(answers) >= 60
    assert milvus_script.differences(direct_answers, answers) == {}
    status = vmproxy.status()
    assert status["unknown_requests"] == 0, status
    if state == "mirroring":
        vmproxy.wait_drained()
        for name in ("books", "simple"):
            assert sides.differences(sides.milvus_records(milvus, name), sides.pgvector_fields(pgvector, name)) == []


@pytest.mark.parametrize("state", ["created", "mirroring"])
def test_the_node_sdk_gets_the_same_through_vmproxy(state, direct_answers_of_node, milvus, pgvector, make_vmproxy):
    vmproxy = make_vmproxy(*milvus_to_pgvector(milvus, pgvector), dialect="milvus")
    if state == "mirroring":
        vmproxy.command("start", "--until", "mirroring")
    answers = node_script.run("127.0.0.1", vmproxy.port)
    assert len(answers) >= 35
    assert milvus_script.differences(direct_answers_of_node, answers) == {}
    assert vmproxy.status()["unknown_requests"] == 0
