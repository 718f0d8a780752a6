"""Plants the bugs of tests/planted/ one by one in a copy of the tree, and demands that each is found (scripts/planted).

A bug is a patch with a header: what it breaks, what finds it, and what that must say when it does.
    Found by: test NAME "PATTERN"   a test of the program test_NAME, by Catch2's pattern
    Found by: run NAME              test_NAME of tests/integration/test_recorded_runs.py: real databases, history_check
    Found by: sim [FIRST+]SEEDS     one of so many seeds of the simulator (tests/sim), from the first of all or from FIRST
    Shows: TEXT                     what stands in the output of the one above; the failed expression, say
Each of them must fail with that, and all of them must pass without the bug.
"""

import argparse
import dataclasses
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time

RUN_TRIES = 8  # a bug that is a race takes place in one run and not in another
FINDER_TIMEOUT = 600  # seconds; what hangs has not said what is wrong
BUILD_OUTPUT = "build"


class BadPatch(Exception):
    pass


@dataclasses.dataclass(frozen=True)
class Finder:
    kind: str  # "test", "run" or "sim"
    name: str  # of the program, or of the run; how many seeds
    pattern: str  # of the test
    shows: str

    def __str__(self):
        return f'test_{self.name} "{self.pattern}"' if self.kind == "test" else f"{self.kind} {self.name}"

    @property
    def targets(self) -> list:
        return {"test": [f"test_{self.name}"], "run": ["vmproxy", "history_check"], "sim": ["sim"]}[self.kind]

    def says_its_name(self) -> str:
        return {"test": self.pattern.strip("*"), "run": f"test_{self.name}", "sim": "simulator:"}[self.kind]


@dataclasses.dataclass(frozen=True)
class Bug:
    name: str
    patch: pathlib.Path
    finders: tuple
    empty: bool  # changes nothing


@dataclasses.dataclass(frozen=True)
class Outcome:
    code: int
    output: str


def read_bug(patch: pathlib.Path) -> Bug:
    header, separator, _ = patch.read_text().partition("diff --git ")
    finders, pending = [], None
    for line in header.splitlines():
        word, _, text = line.partition(": ")
        if word == "Found by":
            match = re.fullmatch(r'(test) (\w+) "(.+)"|(run|sim) ([\w+]+)', text.strip())
            if not match or pending:
                raise BadPatch(f"{patch.name}: not understood: {line}")
            pending = (match[1] or match[4], match[2] or match[5], match[3] or "")
        elif word == "Shows":
            if not pending:
                raise BadPatch(f"{patch.name}: 'Shows' belongs below a 'Found by'")
            finders.append(Finder(*pending, shows=text.strip()))
            pending = None
    if pending or not finders or "\nBreaks: " not in header:
        raise BadPatch(f"{patch.name}: its header must say 'Breaks', and 'Found by' with 'Shows'")
    return Bug(patch.stem, patch, tuple(finders), empty=not separator)


def read_bugs(folder: pathlib.Path, chosen=()) -> list:
    """All of a folder, or those whose names begin so; a path is a patch of somebody's own."""
    paths = sorted(folder.glob("*.patch"))
    if chosen:
        found = []
        for word in chosen:
            own = word.endswith(".patch")
            matching = [pathlib.Path(word)] if own else [path for path in paths if path.stem.startswith(word)]
            if not matching:
                raise BadPatch(f"no planted bug begins with '{word}'")
            found += matching
        paths = found
    return [read_bug(path) for path in paths]


class Tree:
    """A copy of the files that git knows of, or would; what was built in it stays."""

    def __init__(self, origin: pathlib.Path, copy: pathlib.Path):
        self.origin, self.copy = origin, copy
        copy.mkdir(parents=True, exist_ok=True)

    def restore(self) -> None:
        """As the origin is. Only what differs is written, so that only that is built again."""
        wanted = self._files()
        for path in self.copy.rglob("*"):
            name = path.relative_to(self.copy)
            if name.parts[0] == BUILD_OUTPUT or "__pycache__" in name.parts or path.is_dir():
                continue
            if str(name) not in wanted:
                path.unlink()
        for name in wanted:
            left, right = self.origin / name, self.copy / name
            if right.is_file() and left.read_bytes() == right.read_bytes():
                continue
            right.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(left, right)  # with its mode, and a time of its own

    def plant(self, patch: pathlib.Path) -> None:
        applied = subprocess.run(["git", "apply", "--whitespace=nowarn", str(patch.absolute())], cwd=self.copy,
                                 capture_output=True, text=True, env={"GIT_CEILING_DIRECTORIES": str(self.copy.parent),
                                                                      "PATH": "/usr/bin:/bin"})
        if applied.returncode != 0:
            raise BadPatch(f"it does not apply: {applied.stderr.strip()}")

    def _files(self) -> set:
        command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        listed = subprocess.run(command, cwd=self.origin, capture_output=True, check=True).stdout.decode()
        return {name for name in listed.split("\0") if name and (self.origin / name).is_file()}


class Workshop:
    """Builds and runs in a copy."""

    def __init__(self, copy: pathlib.Path, preset: str, python: str):
        self.copy, self.preset, self.python = copy, preset, python

    def build(self, targets) -> Outcome:
        made, presets = self.copy / BUILD_OUTPUT / self.preset / "build.ninja", self.copy / "CMakePresets.json"
        if not made.exists() or made.stat().st_mtime < presets.stat().st_mtime:
            configured = self._do(["cmake", "--preset", self.preset], 600)
            if configured.code != 0:
                return configured
        return self._do(["ninja", "-j", str(os.cpu_count()), "-C", f"{BUILD_OUTPUT}/{self.preset}", *sorted(targets)], 7200)

    def run(self, finder: Finder) -> Outcome:
        programs = self.copy / BUILD_OUTPUT / self.preset / "bin"
        if finder.kind == "test":
            pattern = re.sub(r"([,\[\]])", r"\\\1", finder.pattern)
            return self._do([str(programs / f"test_{finder.name}"), pattern], FINDER_TIMEOUT)
        if finder.kind == "sim":
            first, _, seeds = finder.name.rpartition("+")
            return self.simulate([*(["--first", first] if first else []), "--seeds", seeds,
                                  *(["--until", finder.shows] if finder.shows else [])])
        scale = os.environ.get("VMPROXY_TEST_SCALE", "0.25")
        command = ["env", f"VMPROXY_BIN={programs / 'vmproxy'}", f"VMPROXY_TEST_SCALE={scale}",
                   self.python, "-m", "pytest", "-q", "-p", "no:cacheprovider",
                   f"test_recorded_runs.py::test_{finder.name}"]
        return self._do(command, FINDER_TIMEOUT, self.copy / "tests" / "integration")

    def simulate(self, arguments) -> Outcome:
        return self._do([str(self.copy / BUILD_OUTPUT / self.preset / "bin" / "sim"), *arguments], 3600)

    def _do(self, command, timeout, folder=None) -> Outcome:
        try:
            done = subprocess.run(command, cwd=folder or self.copy, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, timeout=timeout, text=True, errors="replace")
        except subprocess.TimeoutExpired as expired:
            said = expired.stdout.decode(errors="replace") if expired.stdout else ""
            return Outcome(124, f"{said}\n(no end after {timeout} s)")
        return Outcome(done.returncode, done.stdout)


def squeezed(text: str) -> str:
    """Catch2 breaks lines where it likes."""
    return re.sub(r"\s+", "", text)


def why_not_found(finder: Finder, outcome: Outcome) -> str:
    """Empty: it is found."""
    said = squeezed(outcome.output)
    if outcome.code == 0:
        return f"{finder} passes"
    if squeezed(finder.says_its_name()) not in said:
        return f"{finder} did not run: it ended with {outcome.code}"
    if squeezed(finder.shows) not in said:
        return f"{finder} fails, but does not show: {finder.shows}"
    return ""


def passes(finder: Finder, outcome: Outcome) -> bool:
    """A pattern that matches no test passes nothing."""
    ran = {"test": r"All tests passed \(\d+ assertions? in [1-9]\d* test case", "run": r"\b1 passed\b",
           "sim": r"simulator: [1-9]\d* seeds, 0 violations"}[finder.kind]
    return outcome.code == 0 and re.search(ran, outcome.output) is not None


def tail(outcome: Outcome, lines=25) -> str:
    return "\n".join("    " + line for line in outcome.output.splitlines()[-lines:])


def judge(bug: Bug, tree: Tree, workshop: Workshop, say) -> bool:
    began = time.monotonic()
    reasons = []
    try:
        if bug.empty:
            raise BadPatch("it changes nothing")
        if not bug.finders:
            raise BadPatch("nobody looks for it")
        tree.plant(bug.patch)
        built = workshop.build({target for finder in bug.finders for target in finder.targets})
        if built.code != 0:
            raise BadPatch(f"it does not build\n{tail(built)}")
        for finder in bug.finders:
            for _ in range(RUN_TRIES if finder.kind == "run" else 1):
                outcome = workshop.run(finder)
                reason = why_not_found(finder, outcome)
                if not reason:
                    break
            if reason:
                reasons.append(f"{reason}\n{tail(outcome)}")
            else:
                say(f"  {finder}: fails and shows: {finder.shows}")
    except BadPatch as bad:
        reasons.append(str(bad))
    finally:
        tree.restore()
    for reason in reasons:
        say(f"  {reason}")
    say(f"{bug.name}: {'NOT found' if reasons else 'found'} ({time.monotonic() - began:.0f} s)")
    return not reasons


def plant(bugs, tree: Tree, workshop: Workshop, say=print) -> int:
    """The exit code: 0 if every bug was found by all that its header names."""
    tree.restore()
    finders = list(dict.fromkeys(dataclasses.replace(finder, shows="") for bug in bugs for finder in bug.finders))
    began = time.monotonic()
    built = workshop.build({target for finder in finders for target in finder.targets})
    if built.code != 0:
        say(f"the tree does not build as it is\n{tail(built)}\nplanted: none")
        return 1
    for finder in finders:
        outcome = workshop.run(finder)
        if not passes(finder, outcome):
            say(f"{finder} does not pass as the tree is\n{tail(outcome)}\nplanted: none")
            return 1
    say(f"as it is: {len(finders)} finders pass ({time.monotonic() - began:.0f} s)")
    found = sum(judge(bug, tree, workshop, say) for bug in bugs)
    say(f"planted: {found} of {len(bugs)} found")
    return 0 if bugs and found == len(bugs) else 1


def simulated(bugs, tree: Tree, workshop: Workshop, seeds: int, say=print) -> int:
    """How many of the simulator's first seeds see each bug: a table, and nothing is demanded of it."""
    seen = 0
    say(f"| planted | of {seeds} seeds | first | what it says first |\n|---|---|---|---|")
    for bug in bugs:
        tree.restore()
        tree.plant(bug.patch)
        built = workshop.build({"sim"})
        if built.code != 0:
            say(f"| {bug.name} | does not build | | |\n{tail(built)}")
            continue
        outcome = workshop.simulate(["--seeds", str(seeds)])
        ended = re.search(r"simulator: \d+ seeds, (\d+) violations", outcome.output)
        first = re.search(r"first in seed (\d+)", outcome.output)
        what = re.search(r"^seed \d+:\n +(.*)$", outcome.output, re.M)
        seen += first is not None
        say(f"| {bug.name} | {ended[1] if ended else 'did not end'} | {first[1] if first else '-'} | "
            f"{what[1][:100] if what else ''} |")
    tree.restore()
    say(f"simulator: {seen} of {len(bugs)} planted bugs seen in {seeds} seeds")
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/planted", description=__doc__.split("\n")[0])
    parser.add_argument("bugs", nargs="*", metavar="NN",
                        help="the beginning of a name in tests/planted/, or a patch file")
    parser.add_argument("--preset", default="asan-ubsan")
    parser.add_argument("--tests", action="store_true", help="leave out the recorded runs, which need real databases")
    parser.add_argument("--sim", type=int, metavar="SEEDS",
                        help="only a table: how many of the simulator's first seeds see each bug")
    parser.add_argument("--origin", type=pathlib.Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument("--copy", type=pathlib.Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument("--python", default=sys.executable, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    try:
        bugs = read_bugs(chosen.origin / "tests" / "planted", chosen.bugs)
    except (BadPatch, OSError) as bad:
        print(f"error: {bad}\nplanted: none", flush=True)
        return 2
    if chosen.tests:
        bugs = [dataclasses.replace(bug, finders=tuple(f for f in bug.finders if f.kind != "run")) for bug in bugs]
    tree, workshop = Tree(chosen.origin, chosen.copy), Workshop(chosen.copy, chosen.preset, chosen.python)

    def say(text):
        print(text, flush=True)

    if chosen.sim:
        return simulated(bugs, tree, workshop, chosen.sim, say)
    return plant(bugs, tree, workshop, say)


if __name__ == "__main__":
    sys.exit(main())
