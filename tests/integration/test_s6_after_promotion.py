"""S6: reads and writes served by pgvector look like Chroma's to the SDK, with Chroma stopped.

Every call that cannot has a row in the table `documented.CHROMA` of docs/mapping.md, with its code.
"""

import chroma_script
import documented
from servers import create

AFTER = ("data", "errors", "collections", "tenants", "raw")


def test_the_script_after_promotion_with_the_source_stopped(chroma, pgvector, vmproxy):
    with create("chroma") as reference:
        expected = chroma_script.run("127.0.0.1", reference.port, ("setup", *AFTER))
    recorder = chroma_script.Recorder()
    # What exists before the move ...
    chroma_script.run("127.0.0.1", vmproxy.port, ("setup",), recorder)
    vmproxy.command("start", timeout=300)
    vmproxy.command("cutover", "--percent", "100")
    vmproxy.command("promote")
    chroma.stop()
    # ... and all that an application does after it.
    answers = chroma_script.run("127.0.0.1", vmproxy.port, AFTER, recorder)
    differences = chroma_script.differences(expected, answers, exact=False)
    undocumented = {name: text for name, text in differences.items() if name not in documented.calls(documented.CHROMA)}
    report = "\n".join(f"  {name}: {text}" for name, text in undocumented.items())
    assert not undocumented, f"{len(undocumented)} of {len(expected)} calls differ:\n{report}"
    print(f"{len(expected) - len(differences)} of {len(expected)} calls alike, "
          f"{len(differences)} documented: {sorted(differences)}")

