"""What docs/mapping.md admits: the calls of a script that another database answers otherwise, each with its code."""

import pathlib
import re

MAPPING = pathlib.Path(__file__).resolve().parents[2] / "docs" / "mapping.md"
MILVUS = "### Calls of the Milvus SDK scripts that another database answers otherwise"
MILVUS_IN_CHROMA = "### Those that Chroma answers otherwise besides"
CHROMA_IN_MILVUS = "### Calls of the Chroma SDK script that Milvus answers otherwise"
NO_CODE = ("changed", "follows")  # in the place of a code: the answer is another one; it is what an earlier call led to


def calls(*headings: str) -> dict:
    """{name: its codes} of the tables under these headings: names in backticks in the first column, codes in the last."""
    text, found = MAPPING.read_text(), {}
    for heading in headings:
        assert heading in text, f"{MAPPING} has no '{heading}'"
        for line in text.partition(heading)[2].partition("\n#")[0].splitlines():
            if line.startswith("| `"):
                cells = [cell.strip() for cell in line.strip("| ").split(" | ")]
                codes = re.findall("`([^`]+)`", cells[-1]) or [cells[-1]]
                found.update({name: codes for name in re.findall("`([^`]+)`", cells[0])})
    return found


def check(expected: list, answers: list, differences: dict, *headings: str) -> None:
    """Each difference is in a table, and the answer has the code that the table promises."""
    known, got = calls(*headings), dict(answers)
    wrong = {}
    for name, text in differences.items():
        codes = known.get(name)
        if codes is None:
            wrong[name] = f"not in docs/mapping.md: {text}"
        elif codes[0] not in NO_CODE and not any(code in repr(got.get(name)) for code in codes):
            wrong[name] = f"docs/mapping.md promises {codes}: {text}"
    report = "\n".join(f"  {name}: {text}" for name, text in wrong.items())
    assert not wrong, f"{len(wrong)} of {len(expected)} calls differ:\n{report}"
    print(f"{len(expected) - len(differences)} of {len(expected)} calls alike, "
          f"{len(differences)} documented: {sorted(differences)}")


def check_none_is_stale(differences: dict, names: set, *headings: str) -> None:
    """What a table names does differ: names are those of the script."""
    alike = sorted(name for name in calls(*headings) if name in names and name not in differences)
    assert not alike, f"docs/mapping.md says that these differ, and they do not: {alike}"
