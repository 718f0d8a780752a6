"""What docs/mapping.md admits: the calls of a script that another database answers otherwise."""

import pathlib

MAPPING = pathlib.Path(__file__).resolve().parents[2] / "docs" / "mapping.md"
CHROMA = "### Calls of the Chroma SDK script that another database answers otherwise"
MILVUS = "### Calls of the Milvus SDK scripts that another database answers otherwise"


def calls(heading: str) -> set:
    """The names in backticks in the first column of the table under that heading."""
    text = MAPPING.read_text()
    assert heading in text, f"{MAPPING} has no '{heading}'"
    section = text.partition(heading)[2].partition("\n#")[0]
    return {name.strip().strip("`") for line in section.splitlines() if line.startswith("| `")
            for name in line.split("|")[1].split(",")}
