"""The end of scripts/test: a table of its steps and one line like pytest's.

usage: summary.py RESULTS_DIR SECONDS. Exit code 0 only if every step and every test passed;
a skipped test counts as failed, for an absent server is no reason to be content.
"""

import itertools
import json
import pathlib
import sys
import xml.etree.ElementTree as ElementTree


WHY_LINES, WHY_COLUMNS, WHY_TESTS = 12, 240, 10


def why(case):
    """The first lines of what pytest says of a failure; of ctest, which says nothing, the last that the program printed."""
    for child in case:
        if child.tag in ("failure", "error", "skipped") and child.get("message"):
            return "".join(f"\n    {line[:WHY_COLUMNS]}" for line in child.get("message").splitlines()[:WHY_LINES])
    printed = [line for line in (case.findtext("system-out") or "").splitlines() if line.strip()]
    return "".join(f"\n    {line[:WHY_COLUMNS]}" for line in printed[-WHY_LINES:])


def count(report: pathlib.Path):
    """(passed, the others with what they say) of a JUnit file."""
    passed, bad = 0, []
    for case in ElementTree.parse(report).getroot().iter("testcase"):
        kinds = {child.tag for child in case}
        status = case.get("status", "")
        if kinds & {"failure", "error", "skipped"} or status in ("fail", "notrun", "disabled"):
            bad.append(f"{case.get('classname', '')}::{case.get('name')}{why(case)}")
        else:
            passed += 1
    return passed, bad


def count_rows(report: pathlib.Path):
    """The same of a report of scripts/torture."""
    rows = json.loads(report.read_text())["rows"]
    return (sum(1 for row in rows if row["verdict"] == "passed"),
            [f"torture::{row['name']}: {row['verdict']}{why_row(row)}" for row in rows if row["verdict"] != "passed"])


def why_row(row: dict) -> str:
    """How far it came, what it did not do, the first anomaly, and how to run it again."""
    said = [f"{row['done']:,} of {row['asked']:,} {row['unit']}", *row["unfinished"], *row["anomalies"][:1],
            f"needs {row['not_run']}" if row["not_run"] else "", row["again"]]
    lines = [line for text in said for line in text.splitlines() if line.strip()]
    return "".join(f"\n    {line[:WHY_COLUMNS]}" for line in (*lines[:WHY_LINES - 1], *lines[WHY_LINES - 1:][-1:]))


def main():
    results, seconds = pathlib.Path(sys.argv[1]), float(sys.argv[2])
    passed, failed, rows = 0, [], []
    for line in (results / "steps.tsv").read_text().splitlines():
        name, state, took = line.split("\t")
        report = None
        if name.startswith("unit-"):
            report = results / f"ctest-{name[5:]}.xml"
        elif name.startswith("integration"):
            report = results / f"pytest-{name[12:] or 'release'}.xml"
        elif name in ("drivers", "kills", "model"):
            report = results / f"ctest-{name}.xml"
        elif name == "copy-million":
            report = results / "pytest-million.xml"
        elif name == "torture":
            report = results / "torture" / "report.json"
        good, bad = 0, []
        if report is not None and report.exists():
            try:
                good, bad = count_rows(report) if report.suffix == ".json" else count(report)
            except (ElementTree.ParseError, ValueError):
                bad = [f"{report.name} is not readable"]
        if bad and state == "ok":
            state = "FAILED"
        if state != "ok" and not bad:
            bad = [f"{name}: {state.lower()}"]
        passed += good
        failed += bad
        tests = f"{good} passed, {len(bad)} failed" if report is not None else ""
        rows.append((name, state, f"{int(took) // 60}:{int(took) % 60:02d}", tests))

    print()
    for row in [("step", "result", "min:s", "tests"), *rows]:
        print(f"  {row[0]:<24}{row[1]:<10}{row[2]:>7}   {row[3]}")
    if failed:
        print("\nfailed:")
        for name in itertools.islice(failed, WHY_TESTS):
            print(f"  {name}")
        for name in itertools.islice(failed, WHY_TESTS, None):
            print(f"  {name.splitlines()[0]}")
    print(f"\nlogs and reports: {results.name}/")
    bad_text = f"{len(failed)} failed, " if failed else ""
    print(f"{bad_text}{passed} passed in {seconds:.2f}s ({int(seconds) // 60}:{int(seconds) % 60:02d})")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
