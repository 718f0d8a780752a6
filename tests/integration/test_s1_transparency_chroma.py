"""S1: a script of the official Chroma SDK answers the same directly and through vmproxy, errors included."""

import pytest

import chroma_script
import sides
from directly import ask
from vmproxy import databases


# By state: what the dialect does not know and may be a write, in part "raw". None of the SDK's calls.
UNKNOWN = {"created": 0, "mirroring": 1}


@pytest.fixture
def direct_answers(answered_directly):
    return answered_directly(chroma_script, "chroma")


def test_the_script_itself_is_repeatable(direct_answers):
    again = ask(chroma_script, "chroma")
    assert len(again) >= 60
    assert chroma_script.differences(direct_answers, again) == {}


@pytest.mark.parametrize("state", UNKNOWN)
def test_the_same_through_vmproxy(state, direct_answers, chroma, pgvector, make_vmproxy):
    vmproxy = make_vmproxy(*databases(chroma, pgvector))
    if state == "mirroring":
        vmproxy.command("start", "--until", "mirroring")
    answers = chroma_script.run("127.0.0.1", vmproxy.port)
    assert len(answers) >= 60
    assert chroma_script.differences(direct_answers, answers) == {}
    assert vmproxy.status()["unknown_requests"] == UNKNOWN[state]
    if state == "mirroring":
        vmproxy.wait_drained()
        for name in ("fruit", "cosine", "inner"):
            assert sides.differences(sides.chroma_records(chroma, name), sides.pgvector_records(pgvector, name)) == []
