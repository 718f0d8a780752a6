"""The planted bugs do not rot, and scripts/planted calls nothing found that is not. What it finds with compilers and
databases is its own to show: nothing is built here, and what would look for a bug is a fake."""

import pathlib
import re
import subprocess
import types

import pytest

import plant
from plant import Outcome, Tree, read_bug, read_bugs

ROOT = pathlib.Path(__file__).resolve().parents[2]
IN_THE_SIMULATOR = ("no order of the operations explains the reads",)  # the checker's words for linearizability
BUGS = sorted((ROOT / "tests" / "planted").glob("*.patch"))


def test_there_are_enough_of_them():
    numbers = [path.name.partition("-")[0] for path in BUGS]
    assert numbers == [f"{n:02}" for n in range(1, len(BUGS) + 1)] and len(BUGS) >= 24


def test_recorded_histories_show_enough_of_them():
    """By the rules of tests/checker, over real databases or in the simulator, and not by a look inside."""
    def by_its_history(finder) -> bool:
        return finder.shows.startswith("history_check: ") if finder.kind == "run" else finder.shows in IN_THE_SIMULATOR
    shown = [bug.name for bug in map(read_bug, BUGS) if any(map(by_its_history, bug.finders))]
    assert len(shown) >= 15, shown


@pytest.mark.parametrize("patch", BUGS, ids=lambda path: path.stem)
def test_a_planted_bug_still_applies_and_what_finds_it_exists(patch):
    bug = read_bug(patch)
    applied = subprocess.run(["git", "apply", "--check", patch], cwd=ROOT, capture_output=True, text=True)
    assert not bug.empty and applied.returncode == 0, applied.stderr
    for path in re.findall(r"^\+\+\+ b/(.+)$", patch.read_text(), re.M):
        assert not path.startswith("tests/"), "bugs are planted in product code"
    listed = subprocess.run(["git", "ls-files", "--cached", "--others", "--exclude-standard", "tests"], cwd=ROOT,
                            capture_output=True, text=True, check=True).stdout.split()
    cmake = "".join((ROOT / name).read_text() for name in listed if name.endswith("CMakeLists.txt"))
    tests = "".join((ROOT / name).read_text() for name in listed if name.endswith("_test.cpp"))
    tests = re.sub(r'"\s*\n\s*"', "", tests)
    runs = (ROOT / "tests" / "integration" / "test_recorded_runs.py").read_text()
    for finder in bug.finders:
        if finder.kind == "run":
            assert f"def test_{finder.name}(" in runs
            continue
        if finder.kind == "sim":
            assert re.fullmatch(r"(\d+\+)?\d+", finder.name) and "add_executable(sim " in cmake
            continue
        assert re.search(rf"vmproxy_test\({finder.name}\s", cmake), f"no program test_{finder.name}"
        name = finder.pattern.removesuffix("*") + ("" if finder.pattern.endswith("*") else '"')
        assert f'"{name}' in tests, f"no test {finder.pattern}"
        if finder.shows.startswith("CHECK"):
            assert plant.squeezed(finder.shows).rstrip(")") in plant.squeezed(tests), f"no such check: {finder.shows}"


FOUND_BY = 'A slip.\nBreaks: H5\nFound by: test tiny "it is right"\nShows: CHECK( answer == 42 )\n\n'
WRONG = """diff --git a/answer.txt b/answer.txt
--- a/answer.txt
+++ b/answer.txt
@@ -1,2 +1,2 @@
 # a comment
-42
+41
"""
HARMLESS = WRONG.replace("-42\n+41\n", " 42\n").replace(" # a comment\n", "-# a comment\n+# another comment\n")


class FakeWorkshop:
    """Says what Catch2 would say."""

    def __init__(self, copy):
        self._copy = copy

    def build(self, targets):
        assert targets == {"test_tiny"}
        return Outcome(1, "error: expected ';'") if "broken" in self._answer() else Outcome(0, "")

    def run(self, finder):
        if "missing" in finder.pattern:
            return Outcome(0, "No test cases matched 'it is missing'")
        if "42" in self._answer():
            return Outcome(0, "All tests passed (1 assertion in 1 test case)")
        if "crash" in self._answer():
            return Outcome(139, "Segmentation fault")
        failed = "CHECK( answer\n    == 42 )" if "41" in self._answer() else "CHECK( question )"
        return Outcome(1, f"it is\n  right\n...\n{failed}")

    def _answer(self):
        return (self._copy / "answer.txt").read_text()


@pytest.fixture
def planting(tmp_path):
    """planting(patch's text): the exit code and what was said."""
    origin = tmp_path / "origin"
    origin.mkdir()
    subprocess.run(["git", "init", "-q"], cwd=origin, check=True)
    (origin / "answer.txt").write_text("# a comment\n42\n")
    (origin / "old.txt").write_text("old\n")
    tree = Tree(origin, tmp_path / "copy")

    def go(text, name="01-a-slip.patch"):
        patch = tmp_path / name
        patch.write_text(text)
        said = []
        code = plant.plant([read_bug(patch)], tree, FakeWorkshop(tree.copy), said.append)
        assert (tree.copy / "answer.txt").read_text() == (origin / "answer.txt").read_text(), "it was not reverted"
        return code, "\n".join(said)

    go.tree = tree
    return go


def test_a_bug_is_found(planting):
    code, said = planting(FOUND_BY + WRONG)
    assert (code, said.splitlines()[-1]) == (0, "planted: 1 of 1 found")


@pytest.mark.parametrize("text, why", [
    (FOUND_BY, "it changes nothing"),
    (FOUND_BY + HARMLESS, 'test_tiny "it is right" passes'),
    (FOUND_BY + WRONG.replace("+41", "+40"), "fails, but does not show: CHECK( answer == 42 )"),
    (FOUND_BY + WRONG.replace("+41", "+crash"), "did not run: it ended with 139"),
    (FOUND_BY + WRONG.replace("+41", "+broken"), "it does not build"),
    (FOUND_BY + WRONG.replace("-42", "-43"), "it does not apply"),
], ids=["empty", "harmless", "for another reason", "crash", "does not build", "does not apply"])
def test_what_is_not_found_is_said_not_to_be(text, why, planting):
    code, said = planting(text)
    assert code == 1 and said.splitlines()[-1] == "planted: 0 of 1 found"
    assert why in said and "01-a-slip: NOT found" in said


def test_nothing_is_found_where_the_tree_itself_fails(planting):
    (planting.tree.origin / "answer.txt").write_text("# a comment\n41\n")
    code, said = planting(FOUND_BY + WRONG)
    assert code == 1 and "does not pass as the tree is" in said and said.splitlines()[-1] == "planted: none"


def test_a_test_that_does_not_exist_passes_nothing(planting):
    code, said = planting(FOUND_BY.replace("it is right", "it is missing") + WRONG)
    assert code == 1 and "does not pass as the tree is" in said


def test_one_of_several_that_does_not_see_it_is_one_too_many(planting):
    code, said = planting(FOUND_BY.strip() + '\nFound by: test tiny "it is right"\nShows: CHECK( else )\n\n' + WRONG)
    assert code == 1 and "does not show: CHECK( else )" in said


BY_THE_SIMULATOR = 'A slip.\nBreaks: H5\nFound by: sim 300\nShows: the sides differ\n\n'
ENDED = "simulator: 300 seeds, {} violations{}, 0 the same when run twice; 9 operations\n"


def test_the_simulator_may_be_what_finds_it(tmp_path):
    patch = tmp_path / "x.patch"
    patch.write_text(BY_THE_SIMULATOR + WRONG)
    finder, = read_bug(patch).finders
    assert finder.targets == ["sim"] and str(finder) == "sim 300"
    seen = "seed 7:\n  the sides differ in k1\n" + ENDED.format(1, " (first in seed 7)")
    assert plant.why_not_found(finder, Outcome(1, seen)) == ""
    assert "does not show" in plant.why_not_found(finder, Outcome(1, seen.replace("sides", "moons")))
    assert "passes" in plant.why_not_found(finder, Outcome(0, ENDED.format(0, "")))
    assert "did not run" in plant.why_not_found(finder, Outcome(139, "Segmentation fault"))
    assert plant.passes(finder, Outcome(0, ENDED.format(0, "")))
    assert not plant.passes(finder, Outcome(0, ENDED.format(0, "").replace("300", "0")))


@pytest.mark.parametrize("named, arguments", [("300", ["--seeds", "300"]), ("700+300", ["--first", "700", "--seeds", "300"])])
def test_a_simulator_begins_where_it_is_told(named, arguments, tmp_path):
    patch = tmp_path / "x.patch"
    patch.write_text(BY_THE_SIMULATOR.replace("sim 300", f"sim {named}") + WRONG)
    finder, = read_bug(patch).finders
    asked = []
    workshop = types.SimpleNamespace(simulate=asked.append, copy=tmp_path, preset="dev")
    plant.Workshop.run(workshop, finder)
    assert asked == [[*arguments, "--until", "the sides differ"]]


BY_A_RUN = "A slip.\nBreaks: H5\nFound by: run races\nShows: history_check: linearizability\n\n"
MISSED, SEEN = Outcome(0, "1 passed"), Outcome(1, "test_races history_check: linearizability: 2")


class FakeRuns:
    def __init__(self, outcomes):
        self._outcomes = iter(outcomes)

    def build(self, targets):
        return Outcome(0, "")

    def run(self, finder):
        return next(self._outcomes)


@pytest.mark.parametrize("outcomes, found", [
    ([MISSED, Outcome(1, "test_races history_check: sides_differ: 1"), SEEN], True),
    ([MISSED] * plant.RUN_TRIES, False),
], ids=["in the third run", "in none"])
def test_a_race_that_does_not_take_place_is_run_again(outcomes, found, planting, tmp_path):
    patch = tmp_path / "01-a-slip.patch"
    patch.write_text(BY_A_RUN + WRONG)
    said = []
    planting.tree.restore()
    assert plant.judge(read_bug(patch), planting.tree, FakeRuns(outcomes), said.append) == found, said


class FakeSimulator:
    """Sees the slip in its second seed, and builds what nobody broke."""

    def __init__(self, copy):
        self._copy = copy

    def build(self, targets):
        assert targets == {"sim"}
        return Outcome(1, "error: expected ';'") if "broken" in (self._copy / "answer.txt").read_text() else Outcome(0, "")

    def simulate(self, arguments):
        assert arguments == ["--seeds", "5"]
        if "42" in (self._copy / "answer.txt").read_text():
            return Outcome(0, ENDED.format(0, ""))
        return Outcome(1, "seed 2:\n  the sides differ in k1\n" + ENDED.format(3, " (first in seed 2)"))


@pytest.mark.parametrize("text, row, seen", [
    (WRONG, "| 01-a-slip | 3 | 2 | the sides differ in k1 |", 1),
    (HARMLESS, "| 01-a-slip | 0 | - |  |", 0),
    (WRONG.replace("+41", "+broken"), "| 01-a-slip | does not build | | |", 0),
], ids=["seen", "not seen", "does not build"])
def test_the_table_says_what_the_simulator_sees(text, row, seen, planting, tmp_path):
    patch = tmp_path / "01-a-slip.patch"
    patch.write_text(FOUND_BY + text)
    said, tree = [], planting.tree
    assert plant.simulated([read_bug(patch)], tree, FakeSimulator(tree.copy), 5, said.append) == 0
    assert row in "\n".join(said).splitlines()
    assert said[-1] == f"simulator: {seen} of 1 planted bugs seen in 5 seeds"
    assert (tree.copy / "answer.txt").read_text() == "# a comment\n42\n", "it was not reverted"


def test_the_copy_follows_its_origin(planting):
    tree = planting.tree
    tree.restore()
    built = tree.copy / "build" / "object.o"
    built.parent.mkdir()
    built.write_text("built")
    before = (tree.copy / "answer.txt").stat().st_mtime_ns
    (tree.origin / "old.txt").unlink()
    (tree.origin / "new.txt").write_text("new\n")
    tree.restore()
    assert not (tree.copy / "old.txt").exists() and (tree.copy / "new.txt").read_text() == "new\n" and built.exists()
    assert (tree.copy / "answer.txt").stat().st_mtime_ns == before, "what did not change is not built again"


@pytest.mark.parametrize("header", [
    "", 'A slip.\nBreaks: H5\nFound by: test a "b"\n', "A slip.\nBreaks: H5\nFound by: the neighbours\nShows: x\n",
    'A slip.\nBreaks: H5\nShows: x\nFound by: test a "b"\n', 'A slip.\nFound by: test a "b"\nShows: x\n'])
def test_a_header_that_says_too_little_is_refused(header, tmp_path):
    patch = tmp_path / "x.patch"
    patch.write_text(header + WRONG)
    with pytest.raises(plant.BadPatch):
        read_bugs(tmp_path)


def test_a_number_that_no_bug_has_is_refused():
    with pytest.raises(plant.BadPatch, match="no planted bug"):
        read_bugs(ROOT / "tests" / "planted", ["99"])
