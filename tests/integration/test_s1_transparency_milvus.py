"""S1: scripts of the official Milvus SDKs answer the same directly and through vmproxy, errors included."""

import pytest

import milvus_script
import node_script
import sides
from directly import ask
from vmproxy import milvus_to_pgvector


@pytest.fixture
def direct_answers(answered_directly):
    return answered_directly(milvus_script, "milvus")


@pytest.fixture
def direct_answers_of_node(answered_directly):
    return answered_directly(node_script, "milvus")


@pytest.mark.long
def test_the_script_itself_is_repeatable(direct_answers):
    again = ask(milvus_script, "milvus")
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
