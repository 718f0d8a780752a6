"""What compilers miss: names that must not be in the repository, folder arrows, files nobody builds."""

import pathlib
import re
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]

# design.md: a room may use those named here (and itself).
BASE = {"base"}
MODEL = BASE | {"model"}
ARROWS = {
    "base": set(), "config": BASE, "model": BASE, "mapping": MODEL, "net": BASE,
    "store": BASE, 
    # net/message.h is a target of its own: values without I/O.
    "journal": MODEL | {"store", "net/message.h"},
    "protocols/api": MODEL | {"net/message.h"}, "protocols/wire": MODEL,
    # What is known about one system: its two interfaces, bytes, framings and the mapping.
    "protocols/*": MODEL | {"mapping", "net", "protocols/api", "protocols/wire", "config"},
    "proxy": MODEL | {"journal", "mapping", "net", "protocols/api"},
    "backfill": MODEL | {"journal", "mapping", "protocols/api"},
    "validation": MODEL | {"journal", "mapping", "protocols/api"},
    "cutover": MODEL | {"journal", "proxy", "backfill", "validation"},
    "admin": MODEL | {"config", "cutover", "net"},
    # `vmproxy check`, `discover` and what works without a server ask the databases and read the state themselves.
    "cli": BASE | {"config", "journal", "mapping", "net", "protocols/api", "store"},
    # The composition root: the only room that names systems.
    "app": BASE | {"admin", "cli", "config", "cutover", "journal", "net", "protocols/api", "protocols/chroma",
                   "protocols/milvus", "protocols/pgvector", "proxy", "store"},
}
# No rooms of the product: they may use any of it.
OUTSIDE = {"tests", "bench", "cmake"}


def files(*suffixes):
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [ROOT / name for name in listed.splitlines()
            if (not suffixes or name.endswith(suffixes)) and (ROOT / name).is_file()]


def test_no_machine_and_no_registry_is_named():
    forbidden = re.compile(rb"/work/(main|shared)|/root/\.|deb\.debian\.org|pypi\.org|files\.pythonhosted|registry\.npmjs"
                           rb"|repo1?\.maven|proxy\.golang\.org")
    found = []
    for path in files():
        if path == pathlib.Path(__file__):
            continue
        for number, line in enumerate(path.read_bytes().split(b"\n"), 1):
            if forbidden.search(line):
                found.append(f"{path.relative_to(ROOT)}:{number}: {line[:120]!r}")
    assert found == []


def room_of(name: str) -> str:
    parts = pathlib.PurePath(name).parts
    return "/".join(parts[:2]) if parts[0] == "protocols" and len(parts) > 2 else parts[0]


def test_includes_follow_the_arrows():
    found = []
    for path in files(".h", ".cpp"):
        name = str(path.relative_to(ROOT))
        room = room_of(name)
        if room in OUTSIDE:
            continue
        allowed = ARROWS.get(room, ARROWS["protocols/*"] if room.startswith("protocols/") else None)
        if allowed is None:
            found.append(f"{name}: ARROWS does not say what {room}/ may use")
            continue
        for include in re.findall(r'^#include "([^"]+)"', path.read_text(errors="replace"), re.M):
            target = room_of(include)
            if target != room and "/" in include and target not in allowed and include not in allowed:
                found.append(f"{name} includes {include}")
    assert found == []


def test_one_system_is_not_named_by_another_room():
    """Adding a system is one folder under protocols/ and one line in app/."""
    found = []
    for path in files(".h", ".cpp"):
        name = str(path.relative_to(ROOT))
        if name.startswith(("protocols/", "app/", "tests/", "bench/")):
            continue
        for include in re.findall(r'^#include "(protocols/[^"]+)"', path.read_text(errors="replace"), re.M):
            if not include.startswith(("protocols/api/", "protocols/wire/")):
                found.append(f"{name} includes {include}")
    assert found == []


def test_every_source_file_is_built():
    cmake = {}
    for path in files("CMakeLists.txt", ".cmake"):
        cmake[path.parent] = cmake.get(path.parent, "") + path.read_text()
    orphans = []
    for path in files(".cpp"):
        if not any(re.search(rf"\b{re.escape(path.stem)}\b", text) for folder, text in cmake.items()
                   if folder in path.parents):
            orphans.append(str(path.relative_to(ROOT)))
    assert orphans == []


def test_every_source_file_is_formatted():
    """By .clang-format; `clang-format-19 -i FILE` mends it."""
    found = subprocess.run(["clang-format-19", "--dry-run", "--Werror", *files(".cpp", ".h")], cwd=ROOT,
                           capture_output=True, text=True)
    assert found.returncode == 0, found.stderr[:4000]


def test_nothing_is_left_to_fix():
    found = [f"{path.relative_to(ROOT)}" for path in files(".h", ".cpp", ".py", ".txt", ".cmake")
             if path != pathlib.Path(__file__) and re.search(r"\b(FIXME|XXX|HACK)\b", path.read_text(errors="replace"))]
    assert found == []
