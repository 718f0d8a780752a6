"""S1: the same for a script of the official Milvus SDK."""

import logging

import pytest

import milvus_script
from servers import create


@pytest.fixture(autouse=True)
def quiet():
    """The SDK logs each of the script's deliberate errors."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.fixture(scope="module")
def direct_answers():
    with create("milvus") as server:
        return milvus_script.run("127.0.0.1", server.port)


def test_the_script_itself_is_repeatable(direct_answers):
    with create("milvus") as server:
        again = milvus_script.run("127.0.0.1", server.port)
    assert len(again) >= 60
    assert milvus_script.differences(direct_answers, again) == {}
