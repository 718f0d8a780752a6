"""The list of fault points (base/fault_points.def), and where the code names them."""

import pathlib
import re
import subprocess
from dataclasses import dataclass

ROOT = pathlib.Path(__file__).resolve().parents[2]
LINE = re.compile(r'POINT\("([^"]+)", (\d+), ([a-z_ |]+), "([^"]+)"\)')
USE = re.compile(r'VMPROXY_FAULT(?:_HIT)?\("([^"]+)"\)')


@dataclass(frozen=True)
class Point:
    name: str
    places: int
    actions: frozenset
    meaning: str


def points() -> list:
    found = []
    for line in (ROOT / "base" / "fault_points.def").read_text().splitlines():
        if not line.startswith("POINT("):
            continue
        match = LINE.fullmatch(line)
        assert match, f"not in the form of the list: {line}"
        actions = set(match[3].replace(" ", "").split("|"))
        if "mark" in actions:
            actions = actions - {"mark"} | {"kill", "delay"}
        found.append(Point(match[1], int(match[2]), frozenset(actions), match[4]))
    return found


def uses() -> dict:
    """{name: [file:line]} of the code that is shipped."""
    listed = subprocess.run(["git", "ls-files", "*.cpp", "*.h"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    found = {}
    for name in listed.splitlines():
        if name.startswith(("tests/", "bench/")) or not (ROOT / name).is_file():
            continue
        for number, line in enumerate((ROOT / name).read_text().splitlines(), 1):
            for point in USE.findall(line):
                found.setdefault(point, []).append(f"{name}:{number}")
    return found
