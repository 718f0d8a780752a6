"""S6: reads and writes served by pgvector look like Milvus' to the SDKs, with Milvus stopped.

Every call that cannot is named in docs/mapping.md, in backticks, with its code.
"""

import pytest

import documented
import milvus_script
import node_script
from servers import create
from vmproxy import milvus_to_pgvector

AFTER = ("data", "errors", "administration", "partitions")


def promote(vmproxy, milvus) -> None:
    vmproxy.command("start", timeout=300)
    vmproxy.command("cutover", "--percent", "100")
    vmproxy.command("promote")
    milvus.stop()


def check(expected, answers) -> None:
    differences = milvus_script.differences(expected, answers, exact=False)
    undocumented = {name: text for name, text in differences.items() if name not in documented.calls(documented.MILVUS)}
    report = "\n".join(f"  {name}: {text}" for name, text in undocumented.items())
    assert not undocumented, f"{len(undocumented)} of {len(expected)} calls differ:\n{report}"
    print(f"{len(expected) - len(differences)} of {len(expected)} calls alike, "
          f"{len(differences)} documented: {sorted(differences)}")


@pytest.mark.long
def test_the_script_after_promotion_with_the_source_stopped(milvus, pgvector, make_vmproxy):
    with create("milvus") as reference:
        expected = milvus_script.run("127.0.0.1", reference.port, ("setup", *AFTER))
    vmproxy = make_vmproxy(*milvus_to_pgvector(milvus, pgvector), dialect="milvus")
    recorder = milvus_script.Recorder()
    # What exists before the move ...
    milvus_script.run("127.0.0.1", vmproxy.port, ("setup",), recorder)
    promote(vmproxy, milvus)
    # ... and all that an application does after it.
    answers = milvus_script.run("127.0.0.1", vmproxy.port, AFTER, recorder)
    check(expected, answers)


def test_the_node_sdk_after_promotion_with_the_source_stopped(milvus, pgvector, make_vmproxy):
    with create("milvus") as reference:
        expected = node_script.run("127.0.0.1", reference.port)
    vmproxy = make_vmproxy(*milvus_to_pgvector(milvus, pgvector), dialect="milvus")
    # The migration moves something, and the application had been seen before.
    milvus_script.run("127.0.0.1", vmproxy.port, ("setup",))
    client = milvus.client()
    for name in ("books", "simple", "words"):
        client.drop_collection(name)
    client.close()
    promote(vmproxy, milvus)
    check(expected, node_script.run("127.0.0.1", vmproxy.port))
