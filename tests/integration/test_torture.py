"""scripts/torture's own arithmetic: shares, merging, and that nothing passes which did not run."""

import collections
import functools
import json
import os
import pathlib
import random
import subprocess
import types

import pytest

from history_log import HistoryLog, now
from servers.base import process_exists, wait_until
from torture import identity
from torture import main as program
from torture.compare import more_than
from torture.context import ROOT
from torture.merge import merge, missing_counts, missing_parts
from torture.page import page
from torture.plan import NIGHT_MINUTES, PLANNED, SHORT_SECONDS, budgets, earlier, granted, parse_part, place, share
from torture.report import Report
from torture.row import (FAILED, MAIN, NICE, NOT_RUN, PASSED, POINTS, PROGRAMS, SHORT, SPARE, STACKS, Budget, Figure, NotRun,
                         Row, RowResult)
from torture.rows import ROWS, fault_points, network_cells, outages
from torture.state import RunFolder
from torture.witness import Reigns, Witness
from vmproxy import binary


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


def test_a_night_holds_what_its_rows_ask_for():
    asked = sum(row.night[1] for row in ROWS)
    assert 0.9 < asked / (NIGHT_MINUTES * 60 * PLANNED) <= 1.0


def test_a_row_that_cannot_be_cut_is_in_one_part():
    rows = [row(name="a"), row(name="b", whole=True), row(name="c", whole=True)]
    counts = [{r.name: b.count for r, b in budgets(rows, 60, (index, 4)).items() if b} for index in range(1, 5)]
    assert [entry.get("b") for entry in counts].count(100) == 1 and [entry.get("c") for entry in counts].count(100) == 1
    assert [entry.get("a", 0) for entry in counts] == [0, 33, 33, 34]


def test_each_part_of_a_night_has_room_for_what_it_has_to_do():
    for index in range(1, 8):
        mine = [(r, place(r, ROWS, (index, 7))) for r in ROWS]
        wanted = sum(r.night[1] / share_of[1] for r, share_of in mine if share_of)
        assert 0.7 * 3600 < wanted <= 3600 * PLANNED, f"part {index}: {wanted:.0f} s"
    rounds = [share(fault_points.ROUNDS_NIGHT, *place(fault_points.ROW, ROWS, (index, 7))) for index in range(2, 8)]
    assert sum(rounds) == 20 and min(rounds) == 3


def test_a_run_takes_the_minutes_it_was_given():
    for minutes, part in ((10, None), (60, (1, 4)), (500, None)):
        planned = [budget for budget in budgets(ROWS, minutes, part).values() if budget]
        assert sum(budget.seconds for budget in planned) == pytest.approx(minutes * 60 * PLANNED)


@pytest.fixture
def taking(alone, monkeypatch):
    """taking(first=600): rows of these names, which take so many seconds of a clock that stands still else; what each is given."""
    clock = types.SimpleNamespace(now=1000.0)
    monkeypatch.setattr(program.time, "monotonic", lambda: clock.now)

    def prepare(**seconds):
        given = {}

        def run(name):
            def take(context, budget, seed):
                given[name] = budget.seconds
                clock.now += seconds[name]
                return _named(passes(context, budget, seed), name)
            return take
        alone(*(row(run(name), name=name) for name in seconds))
        return given
    return prepare


def test_a_row_that_took_too_long_shortens_those_after_it(taking, tmp_path):
    assert granted(10, 40, 40) == 10 and granted(10, 40, 20) == 5 and granted(10, 40, -3) == 0
    given = taking(late=0.9 * 3600, after=0)
    program.main(["--part", "1/4", "--seed", "1", "--out", str(tmp_path)])
    assert given["late"] == pytest.approx(1800 * PLANNED) and given["after"] == pytest.approx((PLANNED - 0.9) * 3600)
    (tmp_path / "rows" / "after.json").unlink()
    program.main(["--part", "1/4", "--seed", "1", "--out", str(tmp_path)])
    assert given["after"] == pytest.approx((PLANNED - 0.9) * 3600), "what an earlier attempt took counts"


def test_a_row_may_use_what_those_before_it_did_not_need(taking, tmp_path):
    assert granted(10, 40, 55) == 25
    given = taking(early=600, after=0)
    program.main(["--part", "1/4", "--seed", "1", "--out", str(tmp_path)])
    assert given["after"] == pytest.approx(3600 * PLANNED - 600)


def test_the_short_form_takes_what_was_promised():
    """Lanes run beside each other. What a row may take is more than what it does take: too little would fail a slow machine."""
    lanes = {}
    for planned, budget in budgets(ROWS, 60, short=True).items():
        lanes[planned.lane] = lanes.get(planned.lane, 0) + (budget.seconds if budget else 0)
    assert set(lanes) == {MAIN, STACKS, POINTS, PROGRAMS, SPARE} and max(lanes.values()) <= SHORT_SECONDS, lanes
    assert [r.name for r, budget in budgets(ROWS, 60, short=True).items() if budget is None] == ["mixed", "recorded_runs", "idle_connections"]


RUNS = 20


@pytest.mark.parametrize("rounds, slower, found", [(12, 1.0, False), (12, 4.0, True), (200, 1.0, False), (200, 1.4, True)])
def test_a_slower_application_is_told_from_a_noisy_one(rounds, slower, found):
    """A round's p99 is noisy by a factor of 1.6, as on two cores beside other work."""
    chance = random.Random(1)
    said = 0
    for run in range(RUNS):
        usual = [chance.lognormvariate(0, 0.5) for _ in range(rounds)]
        down = [slower * chance.lognormvariate(0, 0.5) for _ in range(rounds)]
        said += more_than(down, usual, outages.P99_MORE, run)[1] < outages.SURE
    assert said >= RUNS - 1 if found else said == 0, said


def test_how_much_slower_is_the_mean_of_the_rounds():
    ratio, chance = more_than([2.0, 2.0, 8.0], [1.0, 2.0, 2.0], 1.05, 1)
    assert ratio == pytest.approx(2.0) and chance == pytest.approx(2 / 8), "all as they are, and with the second turned round"
    assert Figure("nothing was measured", more_than([], [], 1.05, 1)[1], at_least=outages.SURE).missed


def test_rounds_of_all_parts_are_judged_together():
    """Each part has too few to tell 1.35 x from noise that is larger; together they do."""
    chance, parts = random.Random(5), []
    for seed in range(6):
        part = RowResult("outages", "cycles", asked=1, done=1, seed=seed)
        part.pairs["write"] = [[1.35 * chance.lognormvariate(0, 0.5), chance.lognormvariate(0, 0.5)] for _ in range(20)]
        outages.judge(part)
        parts.append(part)
    assert all(part.verdict == PASSED for part in parts)
    night = functools.reduce(RowResult.merged, parts)
    outages.judge(night)
    assert len(night.pairs["write"]) == 120 and night.verdict == FAILED and len(night.figures) == 2


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


def test_a_run_is_of_what_vmproxy_is_built_from(tmp_path):
    """So parts of a night may have other tests, and say so, but not another vmproxy."""
    def commit(file, text):
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_text(text)
        for words in (["add", "."], ["-c", "user.name=a test", "-c", "user.email=test", "commit", "-qm", "a test"]):
            subprocess.run(["git", *words], cwd=tmp_path, check=True)
        return identity.sources(tmp_path), identity.tests(tmp_path)
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    first = commit("journal/a.cpp", "1")
    assert commit("tests/a.py", "1")[0] == commit("docs/a.md", "1")[0] == first[0] != commit("journal/a.cpp", "2")[0]
    assert commit("tests/a.py", "2")[1] != commit("tests/a.py", "3")[1] != first[1]
    (tmp_path / "tests" / "a.py").write_text("4")
    assert identity.tests(tmp_path).endswith("+changes") and not identity.sources(tmp_path).endswith("+changes")
    (tmp_path / "journal" / "a.cpp").write_text("4")
    assert identity.sources(tmp_path).endswith("+changes")
    assert set(identity.NOT_BUILT_FROM) <= set(os.listdir(ROOT)), "it would name what is not there"


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


def test_lanes_are_processes_of_their_own_in_the_short_form(alone, tmp_path):
    """And one in a night, where figures are not disturbed."""
    def noted(name):
        def run(context, budget, seed):
            result = _named(passes(context, budget, seed), name)
            result.add_load({"process": os.getpid(), "nice": os.nice(0)})
            return result
        return run
    lanes = {"one": MAIN, "two": STACKS, "three": SPARE}
    alone(*(row(noted(name), name=name, lane=lane) for name, lane in lanes.items()))
    assert program.main(["--short", "--seed", "1", "--out", str(tmp_path / "short")]) == 0
    loads = {result.name: result.load for result in RunFolder(tmp_path / "short").results()}
    assert len({load["process"] for load in loads.values()}) == 3 and loads["one"]["process"] == os.getpid()
    assert loads["two"]["nice"] == os.nice(0) and loads["three"]["nice"] == min(19, os.nice(0) + NICE[SPARE])
    report = json.loads((tmp_path / "short" / "report.json").read_text())
    assert [entry["name"] for entry in report["rows"]] == list(lanes)
    assert program.main(["--part", "1/1", "--seed", "1", "--out", str(tmp_path / "night")]) == 0
    assert {result.load["process"] for result in RunFolder(tmp_path / "night").results()} == {os.getpid()}


def test_a_run_that_is_ended_ends_what_runs_beside_it(alone, tmp_path):
    """And keeps no result of it: the run goes on with that row."""
    started, owner = tmp_path / "started", tmp_path / "owner"

    def program_of_a_minute(context, budget, seed):
        owner.write_text(str(os.getpid()))
        context.run("slow", ["sh", "-c", f"echo $$ > {started}.new; mv {started}.new {started}; sleep 60"], 70)
        return passes(context, budget, seed)

    def ends(context, budget, seed):
        wait_until(started.exists, 20, "the program of the other lane to run")
        raise KeyboardInterrupt
    alone(row(ends, name="ends"), row(program_of_a_minute, name="slow", lane=PROGRAMS))
    with pytest.raises(KeyboardInterrupt):
        program.main(["--short", "--seed", "1", "--out", str(tmp_path / "run")])
    assert not process_exists(int(owner.read_text()))
    wait_until(lambda: not process_exists(int(started.read_text())), 10, "its program to end")
    assert RunFolder(tmp_path / "run").results() == []


def test_a_row_that_gave_nothing_is_no_pass(alone, tmp_path):
    def vanishes(context, budget, seed):
        raise SystemExit
    alone(row(), row(vanishes, name="other", lane=PROGRAMS))
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


def test_what_belongs_to_no_one_night_is_not_merged(alone, tmp_path, capsys):
    alone(row())
    for name, words in {"one": ["--part", "1/2", "--seed", "1"], "two": ["--part", "2/2", "--seed", "2"],
                        "whole": ["--seed", "1"], "short": ["--short", "--seed", "1"]}.items():
        assert program.main([*words, "--out", str(tmp_path / name)]) in (0, 2)
    for folders, why in ((["one", "two"], "seeds 1, 2"), (["one", "short"], "short"), (["whole", "whole"], "given twice")):
        assert program.main(["--merge", *(str(tmp_path / name) for name in folders), "--out", str(tmp_path / "night")]) == 2
        assert why in capsys.readouterr().err


def test_a_figure_that_is_no_number_stays_one_when_parts_merge():
    measured, not_measured = (Figure("f", value, at_most=9) for value in (1.0, float("nan")))
    assert measured.merged(not_measured).missed and not_measured.merged(measured).missed
    assert not measured.merged(measured).missed


def test_a_row_that_was_run_until_it_passed_says_so(alone, tmp_path):
    alone(row())
    words = ["--part", "1/2", "--seed", "1", "--out", str(tmp_path)]
    file = tmp_path / "rows" / "row.json"
    for attempt in (1, 2):
        program.main(words)
        result = RowResult.from_json(json.loads(file.read_text()))
        assert result.attempt == attempt and ("attempt 2" in result.last_line()) == (attempt == 2)
        file.unlink()


def test_a_row_alone_does_what_it_does_in_a_night(alone, tmp_path):
    given = []

    def run(context, budget, seed):
        given.append((budget.count, round(budget.seconds)))
        return passes(context, budget, seed)
    alone(row(run), row(name="other", count=1000))
    assert program.main(["--row", "row", "--seed", "1", "--out", str(tmp_path / "a")]) == 0
    assert given[0][0] == 100 and given[0][1] >= 100
    rows = [row(name="a"), row(name="b", fixed=True)]
    counts = [budget.count for budget in budgets(rows, minutes=1).values()]
    assert counts[0] < 40 and counts[1] == 100, "what is measured as a whole is"


def test_each_kind_of_outage_has_its_share_of_a_night():
    kinds = collections.Counter(outages.KINDS[n % 5] for n in range(outages.ROW.night[0]))
    assert kinds == {"target": 200, "source": 200, "both": 100}
    parts = []
    for index in range(1, 7):
        first, count = earlier(500, index, 6), share(500, index, 6)
        done = collections.Counter(outages.KINDS[(first + n) % 5] for n in range(count))
        part = RowResult("outages", "cycles", asked=count, done=count)
        for kind in ("target", "source", "both"):
            part.figure(f"cycles of {kind} down", done[kind], adds=True)
        outages.judge_cycles(part, outages.KINDS)
        assert part.verdict == PASSED
        parts.append(part)
    night = functools.reduce(RowResult.merged, parts)
    outages.judge(night)
    assert [(figure.value, figure.at_least) for figure in night.figures] == [(200, 200), (200, 200), (100, 100)]
    night.figures[2].value = 96
    assert night.verdict == FAILED


def test_what_one_part_did_too_much_does_not_hide_what_another_did_not_do():
    whole, short = (RowResult("row", "kills", asked=2, done=done) for done in (4, 1))
    for one, other in ((whole, short), (short, whole)):
        merged = one.merged(other)
        assert (merged.verdict, merged.done, merged.unfinished) == (SHORT, 5, ["1 of 2 in a part"])
        assert "1 of 2 in a part" in merged.last_line()
    assert whole.merged(RowResult("row", "kills", asked=2, done=2)).verdict == PASSED


def test_a_part_that_was_asked_for_less_is_no_whole_night():
    asked = row(name="a").night[0]
    assert missing_counts([row(name="a")], {"a": RowResult("a", "kills", asked=asked)}) == []
    said = missing_counts([row(name="a"), row(name="b")], {"a": RowResult("a", "kills", asked=asked - 1)})
    assert len(said) == 1 and said[0].startswith("a: ")


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
    assert len(ROWS) == 17 and len({r.name for r in ROWS}) == 17
    night = {r.name: r.night[0] for r in ROWS}
    assert night["random_kills"] == 300 and night["simulator"] == 20_000 and night["percent_flips"] == 10_000
    assert night["outages"] == 500 and night["drain"] == 200 and night["smuggling"] == 10_000 and night["network_cells"] == 216


def test_each_fault_point_is_killed_so_often_and_one_does_not_stand_for_another():
    result = RowResult("fault_points", "kills")
    tally = fault_points.Tally(result, 2)
    first, second, *others = fault_points.KILLABLE
    tally.add(others + others, "real databases")
    tally.add([first] * 4, "fake databases")
    assert (result.done, result.asked) == (result.asked - 2, 2 * len(fault_points.KILLABLE))
    assert tally.lacking() == [second]
    tally.add([second, second], "fake databases")
    assert tally.lacking() == [] and result.verdict == PASSED
    assert result.kills == 2 * len(others) + 6


def test_kills_between_fakes_are_judged_by_what_the_program_says():
    def judged(code, *lines):
        result = RowResult("fault_points", "kills")
        return fault_points.judge_fakes(fault_points.Tally(result, 1), code, list(lines)), result
    names = fault_points.KILLABLE[:2]
    said = ["30 faults at 2 points, 0 not recovered; 1 are beyond this test",
            "40 delays of delay=30 at 3 points in 2 lives, 0 of these not recovered",
            f"killed here: {' '.join(names)}", "beyond this test: x.y", "killed at 2 fault points, 0 not recovered; 1 are beyond"]
    beyond, result = judged(0, *said)
    assert (beyond, result.done, result.anomaly_count) == (["x.y"], 2, 0)
    assert judged(1, *said)[1].anomaly_count == 1
    assert sum(result.faults.values()) == 2 + 30 + 40
    for wrong in range(len(said)):  # lost, or one of them not recovered
        assert judged(0, *said[:wrong], *said[wrong + 1:])[1].anomaly_count == 1
        if " not recovered" in said[wrong]:
            one = said[wrong].replace(", 0 ", ", 1 ")
            assert judged(0, *said[:wrong], one, *said[wrong + 1:])[1].anomaly_count == 1
    beyond, result = judged(0, "nothing of it")
    assert beyond is None and result.anomaly_count == 1


def test_a_network_fault_that_meets_nobody_is_not_taken_for_one_that_did():
    def counts(**more):
        ways = {way: {"arrived_bytes": more.pop(way, 0), "passed_bytes": 0} for way in network_cells.DIRECTIONS}
        return {"accepted": 0, "open": 0, "cut": 0, "reset": 0, "duplicated": 0, **ways, **more}
    quiet = counts(open=2, to_upstream=50)
    for kind in network_cells.KINDS:
        met = network_cells.has_met(kind, "to_client", quiet, quiet)
        assert met == (kind in ("half-close", "blackhole")), kind
        assert not network_cells.has_met(kind, "to_client", counts(), counts(to_upstream=90)), kind
    assert network_cells.has_met("cut", "to_client", quiet, counts(cut=1))
    assert network_cells.has_met("reset", "to_client", quiet, counts(reset=1))
    assert network_cells.has_met("duplicate connect", "to_client", quiet, counts(duplicated=1))
    assert network_cells.has_met("latency", "to_client", quiet, counts(to_client=1))


def test_who_the_primary_was_is_known_between_two_answers_that_agree():
    reigns = Reigns()
    assert reigns.of(5, 6) is None
    for told in ((10, 11, "source", 1), (20, 21, "source", 1), (30, 31, "target", 2), (40, 41, "target", 2)):
        reigns.told(*told)
    assert reigns.of(11, 20) == ("source", 1) and reigns.of(31, 40) == ("target", 2)
    for uncertain in ((10, 12), (15, 25), (19, 33), (35, 41)):
        assert reigns.of(*uncertain) is None, uncertain
    reigns.told(50, 51, "target", 4)  # perhaps there and back meanwhile
    reigns.told(60, 61, "target", 4)
    assert reigns.of(40, 51) is None and reigns.of(52, 60) == ("target", 4)
    reigns.broken()  # it was killed, say
    reigns.told(70, 71, "target", 4)
    reigns.told(80, 81, "target", 4)
    assert reigns.of(60, 72) is None and reigns.of(71, 80) == ("target", 4)


class FakeFaultProxy:
    """A log of requests that were made up."""

    def __init__(self):
        self.log, self.first = [], 0

    def add(self, link, stage, target="/c/upsert", complete=True, agent=True, at=0, crc=1):
        self.log.append({"link": link, "stage": stage, "method": "POST", "target": target, "complete": complete, "at": at,
                         "headers": [["User-Agent", "an SDK"]] if agent else [], "body_bytes": 9, "body_crc32": crc})

    def logged(self):
        return len(self.log)

    def requests(self, since, below):
        assert since >= self.first
        return self.log[since:below]

    def forget(self, below):
        self.first = below


def test_the_witness_keeps_of_the_log_what_is_not_whole_yet_and_no_more():
    proxy = FakeFaultProxy()
    witness = Witness(lambda: {}, proxy, client=True, executions=True)
    proxy.add("source", "arrived", at=now())
    proxy.add("source", "arrived", at=now(), complete=False)
    proxy.add("source", "arrived", at=now())
    witness._collect()
    assert proxy.first == 1 and witness.seen.total() == 1
    proxy.log[1]["complete"] = True
    witness._collect()
    assert proxy.first == 3 and witness.seen.total() == 3
    proxy.add("source", "arrived", at=now() - int(100e9), complete=False)  # it never will be
    proxy.add("source", "arrived", at=now())
    witness._collect()
    assert proxy.first == 5 and witness.seen.total() == 4


@pytest.fixture
def witnessed(tmp_path):
    """witnessed(what happens): the rules of history_check that are broken."""
    def judge(happens):
        proxy = FakeFaultProxy()
        witness = Witness(lambda: {}, proxy, client=True, executions=True)
        for told in ((10, 11, "source", 1), (20, 21, "source", 1), (30, 31, "target", 2), (40, 41, "target", 2)):
            witness.reigns.told(*told)
        happens(proxy)
        witness.end()
        assert witness.error is None and proxy.first == len(proxy.log)
        path = tmp_path / "history.jsonl"
        with HistoryLog(path) as log:
            witness.write_down(log, [("k", 12, 14), ("k", 32, 34)])
        options = [word for rule in witness.rules for word in ("--require", rule)]
        done = subprocess.run([pathlib.Path(binary()).parent / "history_check", "--json", *options, path], capture_output=True,
                              text=True)
        assert done.returncode in (0, 1), done.stderr
        path.unlink()
        return [rule for rule, found in json.loads(done.stdout)["rules"].items() if found["anomalies"]]
    return judge


def test_what_the_witness_of_requests_saw_is_judged(witnessed):
    def right(proxy):
        proxy.add("client", "arrived")
        proxy.add("client", "passed")
        proxy.add("source", "arrived", at=13)
        proxy.add("source", "passed", at=14)
        # Of the mirror, a read, one that broke off, one in a change of the primary.
        proxy.add("source", "arrived", agent=False, at=33, crc=2)
        proxy.add("source", "arrived", target="/c/query", at=33, crc=3)
        proxy.add("source", "arrived", complete=False, at=33, crc=4)
        proxy.add("client", "passed", crc=5)
        proxy.add("source", "arrived", at=25, crc=5)

    def twice(proxy):
        right(proxy)
        proxy.add("source", "arrived", at=14)

    def nobodys(proxy):
        right(proxy)
        proxy.add("source", "arrived", at=14, crc=6)

    def while_the_target_is(proxy):
        right(proxy)
        proxy.add("client", "passed", crc=7)
        proxy.add("source", "arrived", at=33, crc=7)
    assert witnessed(right) == []
    assert witnessed(twice) == ["request_not_sent"]
    assert witnessed(nobodys) == ["request_not_sent"]
    assert witnessed(while_the_target_is) == ["two_primaries"]
