"""docs/reliability.md: every hazard has a test there, and the tests that it names exist."""

import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parents[2]


def rows(section: str) -> list:
    text = (ROOT / "docs" / "reliability.md").read_text()
    part = text.split(f"## {section}\n", 1)[1].split("\n## ", 1)[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in part.splitlines() if line.startswith("| ")]


def names_in(name: str) -> set:
    """The names of its tests, with the hazards that they begin with and without."""
    found = ROOT / "tests" / name
    assert found.is_file(), f"{name} is named in docs/reliability.md"
    # Names of tests may be written in pieces.
    text = re.sub(r'"\s*\n?\s*"', "", found.read_text())
    names = set(re.findall(r'TEST_CASE(?:_METHOD)?\((?:\s*\w+,)?\s*"((?:[^"\\]|\\.)*)"', text))
    names |= set(re.findall(r"def (test_\w+)\(", text))
    return names | {re.sub(r"^H\d+(, H\d+)*: ", "", each) for each in names}


def test_every_hazard_has_a_test_that_exists():
    seen = set()
    for row in rows("Hazards")[1:]:
        number = int(row[0].removeprefix("H"))
        assert number not in seen, row[0]
        seen.add(number)
        assert row[2] in names_in(row[3]), f"{row[0]}: no test '{row[2]}' in tests/{row[3]}"
    assert seen == set(range(1, 63))


def test_every_bug_found_has_a_test_that_exists():
    for row in rows("Bugs found")[1:]:
        if row[2].startswith("open: "):
            continue
        assert row[2] in names_in(row[3]), f"no test '{row[2]}' in tests/{row[3]}"
