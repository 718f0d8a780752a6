"""scripts/torture's own arithmetic: shares, merging, and that nothing passes which did not run."""

import json
import threading
import types

import pytest

from torture import main as program
from torture.merge import merge, missing_parts
from torture.page import page
from torture.plan import PLANNED, budgets, parse_part, share, squeezed
from torture.report import Report
from torture.row import FAILED, NOT_RUN, PASSED, SHORT, Budget, NotRun, Row, RowResult
from torture.rows import ROWS
from torture.state import RunFolder


def passes(context, budget, seed):
    result = RowResult("row", "kills", asked=budget.count, seed=seed, done=budget.count, kills=budget.count)
    result.fault("kill -9", budget.count)
    result.figure("serving again after", 0.5 + budget.part[0], "s", at_most=9)
    return result


def needs_something(context, budget, seed):
    raise NotRun("a thing")


def breaks_off(context, budget, seed):
    raise ZeroDivisionError("planted")


def row(run=passes, name="row", count=100, **more):
    return Row(name, "what it does", "kills", (5, 10), (count, 100), run, **more)


@pytest.fixture
def alone(monkeypatch):
    """main() with rows of the test's own and without a vmproxy."""
    def prepare(*rows):
        monkeypatch.setattr(program, "ROWS", list(rows))
        monkeypatch.setattr(program, "program", lambda: "vmproxy of the test")
    return prepare


def test_shares_of_a_night_add_up():
    for count in (1, 7, 100, 10_000):
        for parts in (1, 3, 4, 60):
            assert sum(share(count, index, parts) for index in range(1, parts + 1)) == count


def test_a_row_that_cannot_be_cut_is_in_one_part():
    rows = [row(name="a"), row(name="b", whole=True), row(name="c", whole=True)]
    counts = [{r.name: b.count for r, b in budgets(rows, 60, (index, 4)).items() if b} for index in range(1, 5)]
    assert [entry.get("b") for entry in counts].count(100) == 1 and [entry.get("c") for entry in counts].count(100) == 1
    assert sum(entry["a"] for entry in counts) == 100


def test_a_run_takes_the_minutes_it_was_given():
    for minutes, part in ((10, None), (60, (1, 4)), (500, None)):
        planned = [budget for budget in budgets(ROWS, minutes, part).values() if budget]
        assert sum(budget.seconds for budget in planned) == pytest.approx(minutes * 60 * PLANNED)


def test_a_row_that_took_too_long_shortens_those_after_it(alone, tmp_path, monkeypatch):
    assert squeezed(10, 40, 50) == 10 and squeezed(10, 40, 20) == 5 and squeezed(10, 40, -3) == 0
    clock = types.SimpleNamespace(now=1000.0)
    monkeypatch.setattr(program.time, "monotonic", lambda: clock.now)
    given = {}

    def late(context, budget, seed):
        given["late"] = budget.seconds
        clock.now += 0.9 * 3600
        return _named(passes(context, budget, seed), "late")

    def after(context, budget, seed):
        given["after"] = budget.seconds
        return _named(passes(context, budget, seed), "after")
    alone(row(late, name="late"), row(after, name="after"))
    program.main(["--part", "1/4", "--seed", "1", "--out", str(tmp_path)])
    assert given["late"] == pytest.approx(1800 * PLANNED) and given["after"] == pytest.approx((PLANNED - 0.9) * 3600)
    (tmp_path / "rows" / "after.json").unlink()
    program.main(["--part", "1/4", "--seed", "1", "--out", str(tmp_path)])
    assert given["after"] == pytest.approx((PLANNED - 0.9) * 3600), "what an earlier attempt took counts"


def test_the_short_form_takes_what_was_promised():
    assert sum(budget.seconds for budget in budgets(ROWS, 60, short=True).values() if budget) <= 40 * 60
    assert [r.name for r, budget in budgets(ROWS, 60, short=True).items() if budget is None] == ["idle_connections"]


@pytest.mark.parametrize("text", ["", "1", "0/4", "5/4", "a/b", "1/0"])
def test_a_part_that_is_none_is_refused(text):
    with pytest.raises(ValueError):
        parse_part(text)


def test_verdicts():
    assert RowResult("r", "u", asked=3, done=3).verdict == PASSED
    assert RowResult("r", "u", asked=3, done=2).verdict == SHORT
    assert RowResult("r", "u", asked=0, done=0).verdict == SHORT, "nothing was done"
    wrong = RowResult("r", "u", asked=1, done=1)
    wrong.anomaly("something")
    assert wrong.verdict == FAILED
    missed = RowResult("r", "u", asked=1, done=1)
    missed.figure("pause", float("nan"), at_most=1)
    assert missed.verdict == FAILED, "what was not measured is not reached"
    assert RowResult("r", "u", asked=1, done=1, not_run="a thing").verdict == NOT_RUN


@pytest.mark.parametrize("run, verdict, code", [(passes, PASSED, 0), (needs_something, NOT_RUN, 2), (breaks_off, FAILED, 1)])
def test_what_did_not_run_is_no_pass(run, verdict, code, alone, tmp_path, capsys):
    alone(row(), row(run, name="other"))
    assert program.main(["--short", "--seed", "1", "--out", str(tmp_path / "run")]) == code
    report = json.loads((tmp_path / "run" / "report.json").read_text())
    assert {entry["name"]: entry["verdict"] for entry in report["rows"]}.get("other", verdict) == verdict
    assert report["exit_code"] == code
    last = capsys.readouterr().out.strip().splitlines()[-1]
    assert last.startswith("torture: ") and ("0 not run" in last) == (verdict != NOT_RUN)


def test_the_last_line_of_one_row_is_its_figure(alone, tmp_path, capsys):
    alone(row())
    program.main(["--short", "--seed", "1", "--row", "row", "--out", str(tmp_path / "run")])
    assert capsys.readouterr().out.strip().splitlines()[-1].startswith("row: passed: 5 of 5 kills, 0 anomalies, ")


def test_a_run_that_was_broken_off_goes_on_where_it_was(alone, tmp_path):
    ran = []

    def counted(context, budget, seed):
        ran.append(seed)
        if len(ran) == 2:
            raise KeyboardInterrupt
        return passes(context, budget, seed)
    names = ["one", "two"]
    rows = [row(lambda *a, n=name: _named(counted(*a), n), name=name) for name in names]
    alone(*rows)
    words = ["--short", "--seed", "1", "--out", str(tmp_path / "run")]
    with pytest.raises(KeyboardInterrupt):
        program.main(words)
    assert program.main(words) == 0
    assert len(ran) == 3 and ran[1] == ran[2], "the first row is not run again, and the second has the same seed"
    assert program.main(["--short", "--seed", "2", "--out", str(tmp_path / "run")]) == 2, "another run's folder"


def test_rows_beside_the_others_run_in_the_short_form(alone, tmp_path):
    threads = {}

    def noted(name):
        def run(context, budget, seed):
            threads[name] = threading.current_thread()
            return _named(passes(context, budget, seed), name)
        return run
    alone(row(noted("one"), name="one"), row(noted("two"), name="two", beside=True))
    assert program.main(["--short", "--seed", "1", "--out", str(tmp_path / "short")]) == 0
    assert threads["one"] is threading.current_thread() and threads["two"] is not threads["one"]
    assert len(RunFolder(tmp_path / "short").results()) == 2
    assert program.main(["--part", "1/1", "--seed", "1", "--out", str(tmp_path / "night")]) == 0
    assert threads["two"] is threading.current_thread(), "in a night figures are not disturbed"


def test_a_run_that_is_ended_ends_what_runs_beside_it(alone, tmp_path):
    """And keeps no result of it: the run goes on with that row."""
    began = threading.Event()

    def program_of_a_minute(context, budget, seed):
        began.set()
        context.run("slow", ["sleep", "60"], 70)
        return passes(context, budget, seed)

    def ends(context, budget, seed):
        assert began.wait(10)
        raise KeyboardInterrupt
    alone(row(ends, name="ends"), row(program_of_a_minute, name="slow", beside=True))
    with pytest.raises(KeyboardInterrupt):
        program.main(["--short", "--seed", "1", "--out", str(tmp_path)])
    for thread in [one for one in threading.enumerate() if one.name == "beside"]:
        thread.join(10)
        assert not thread.is_alive()
    assert RunFolder(tmp_path).results() == []


def test_a_row_that_gave_nothing_is_no_pass(alone, tmp_path):
    def vanishes(context, budget, seed):
        raise SystemExit
    alone(row(), row(vanishes, name="other", beside=True))
    assert program.main(["--short", "--seed", "1", "--out", str(tmp_path)]) == 2
    assert "NOT RUN: row other" in (tmp_path / "report.txt").read_text()


def _named(result, name):
    result.name = name
    return result


def test_parts_merge_to_a_night(alone, tmp_path, capsys):
    alone(row())
    folders = [str(tmp_path / f"part{index}") for index in (1, 2)]
    for index, folder in enumerate(folders, 1):
        assert program.main(["--part", f"{index}/2", "--minutes", "60", "--seed", "1", "--out", folder]) == 0
    out = str(tmp_path / "night")
    assert program.main(["--merge", *folders, "--out", out]) == 0
    report = json.loads((tmp_path / "night" / "report.json").read_text())
    only = report["rows"][0]
    assert (only["done"], only["asked"], report["kills"], report["faults"]) == (100, 100, 100, {"kill -9": 100})
    assert only["figures"][0]["value"] == 2.5, "the worst of both"
    assert program.main(["--merge", folders[0], "--out", out]) == 2, "a part is missing"
    assert "NOT RUN: part 2/2" in (tmp_path / "night" / "report.txt").read_text()
    assert program.main(["--merge", folders[0], folders[0], "--out", out]) == 2
    assert "given twice" in capsys.readouterr().err
    assert missing_parts(merge(folders)[0]) == []


def test_a_part_that_did_not_run_is_not_hidden_by_one_that_did():
    ran, missing = RowResult("r", "u", asked=1, done=1), RowResult("r", "u", asked=1, not_run="a thing")
    assert ran.merged(missing).verdict == missing.merged(ran).verdict == NOT_RUN


def test_the_page_says_what_the_text_says():
    bad = RowResult("row", "kills", asked=2, done=1, again="scripts/torture --row row")
    bad.anomaly("<script>alert(1)</script>")
    report = Report("Title", [("seed", 7)], [(row(), bad), (row(name="other"), None)], ["NOT RUN: part 2/2 of the night"])
    html = page(report)
    assert "<script>" not in html and "&lt;script&gt;" in html
    assert "http" not in html.replace("http-equiv", ""), "it needs nothing else"
    for word in ("in another part", "failed", "NOT RUN: part 2/2", "scripts/torture --row row"):
        assert word in html and word in report.to_text(), word
    assert report.exit_code == 1


def test_a_folder_keeps_what_a_row_gave(tmp_path):
    folder = RunFolder(tmp_path)
    folder.open({"seed": 1})
    kept = passes(types.SimpleNamespace(), Budget(3, 1), 9)
    folder.keep(kept)
    assert folder.results() == [kept]


def test_every_row_has_a_name_and_a_figure_of_the_issue():
    assert len(ROWS) == 15 and len({r.name for r in ROWS}) == 15
    night = {r.name: r.night[0] for r in ROWS}
    assert night["random_kills"] == 300 and night["simulator"] == 20_000 and night["percent_flips"] == 10_000
    assert night["outages"] == 500 and night["drain"] == 200 and night["smuggling"] == 10_000 and night["network_cells"] == 192
