"""scripts/torture: runs rows, keeps what came of them, writes the report."""

import argparse
import json
import logging
import math
import multiprocessing
import os
import platform
import random
import signal
import subprocess
import sys
import threading
import time
import traceback
import zlib

import torture.rows
import vmproxy
from servers.base import read_authorities_once
from torture import identity
from torture.context import ROOT, Context
from torture.merge import merge, missing_counts, missing_parts
from torture.page import page
from torture.plan import NIGHT_MINUTES, PART_MINUTES_MAX, PLANNED, budgets, granted, minutes_of, parse_part
from torture.report import Report
from torture.row import MAIN, NICE, NotRun
from torture.state import RunFolder, write_whole

ROWS = torture.rows.ROWS
ENDS_WITHIN = 60.0  # seconds for the rows beside, when the run is ended


def parse(words):
    parser = argparse.ArgumentParser(prog="scripts/torture", description=__doc__)
    parser.add_argument("--minutes", type=float, help="how long all of it may take (default: 60, at most 60 for a part; with --row what "
                        "a night of those takes)")
    parser.add_argument("--seed", type=int, help="the same choices again")
    parser.add_argument("--part", help="I/N: the I-th of N shares of a night; its folder can be taken up again and merged")
    parser.add_argument("--short", action="store_true", help="what scripts/test runs")
    parser.add_argument("--row", action="append", default=[], help="only this row; may be given several times")
    parser.add_argument("--count", type=int, help="with --row: so many of its units")
    parser.add_argument("--out", help="the run's folder (default: build/torture-runs/SEED)")
    parser.add_argument("--merge", nargs="+", metavar="DIR", help="one report of the folders of several parts")
    parser.add_argument("--list", action="store_true", help="the rows and what they do")
    chosen = parser.parse_args(words)
    known = {row.name: row for row in ROWS}
    for name in chosen.row:
        if name not in known:
            parser.error(f"no row {name}: {', '.join(known)}")
    if chosen.count is not None and not chosen.row:
        parser.error("--count needs --row")
    try:
        chosen.part = parse_part(chosen.part) if chosen.part else None
    except ValueError as error:
        parser.error(str(error))
    if chosen.part and chosen.seed is None:
        parser.error("--part needs --seed: a part that is taken up again goes on with its own")
    if chosen.part and (chosen.minutes or PART_MINUTES_MAX) > PART_MINUTES_MAX:
        parser.error(f"a part takes at most {PART_MINUTES_MAX:.0f} minutes: take more parts")
    chosen.rows = [known[name] for name in chosen.row] or list(ROWS)
    alone = chosen.row and not chosen.part and not chosen.short
    chosen.minutes = chosen.minutes or (math.ceil(minutes_of(chosen.rows)) if alone else PART_MINUTES_MAX)
    if not 0 < chosen.minutes <= NIGHT_MINUTES * 4:
        parser.error("--minutes: more than 0")
    chosen.seed = chosen.seed if chosen.seed is not None else random.SystemRandom().randrange(1 << 32)
    return chosen


def main(words=None) -> int:
    chosen = parse(words)
    read_authorities_once()
    logging.disable(logging.CRITICAL)  # the SDKs log each deliberate error
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # servers and mounts go away with their owners
        signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in the background: pytest below would ignore it, too
    if chosen.list:
        for row in ROWS:
            short = f"{row.short[0]:,}" if row.short else "-"
            print(f"{row.name:<18}short {short:>6}, night {row.night[0]:>10,} {row.unit}: {row.what}")
        return 0
    try:
        if chosen.merge:
            return report_merged(chosen)
        return run(chosen)
    except (ValueError, FileNotFoundError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def run(chosen) -> int:
    name = f"{chosen.seed}" + ("-{}-of-{}".format(*chosen.part) if chosen.part else "")
    folder = RunFolder(chosen.out or ROOT / "build" / "torture-runs" / name)
    asked = {"seed": chosen.seed, "part": list(chosen.part) if chosen.part else None, "minutes": chosen.minutes,
             "short": chosen.short, "rows": [row.name for row in chosen.rows], "count": chosen.count, "vmproxy": program(),
             "machine": f"{os.cpu_count()} cores, {platform.system()} {platform.release()}"}
    known = {result.name: result for result in folder.open(asked)}
    began, planned = time.time(), budgets(chosen.rows, chosen.minutes, chosen.part, chosen.short)
    before = sum(result.seconds for result in known.values())
    rows = [row for row in chosen.rows if planned[row] is not None]
    lanes = {}
    for row in rows:
        lanes.setdefault(row.lane if chosen.short else MAIN, []).append(row)
    with Beside(folder, chosen, planned, known, lanes):
        run_rows(context_of(folder), folder, chosen, planned, known, lanes.get(MAIN, []))
    known.update({result.name: result for result in folder.results()})  # of the other lanes
    took = before + time.time() - began
    report = Report(title_of(chosen), about(asked, began, took), [(row, known.get(row.name)) for row in chosen.rows],
                    [f"NOT RUN: row {row.name}" for row in rows if row.name not in known])
    return write(report, folder)


def context_of(folder: RunFolder) -> Context:
    return Context(folder.logs, lambda text: print(f"  {text}", file=sys.stderr, flush=True))


def run_rows(context: Context, folder: RunFolder, chosen, planned: dict, known: dict, rows: list) -> None:
    used = sum(result.seconds for result in known.values())
    until = time.monotonic() + chosen.minutes * 60 * PLANNED - used
    for position, row in enumerate(rows):
        budget = planned[row]
        if row.name in known:
            print(f"{known[row.name].last_line()} (before)", flush=True)
            continue
        if chosen.count is not None:
            budget.count = chosen.count
        if not chosen.short:
            # A part is at most an hour, also in two attempts.
            to_come = sum(planned[later].seconds for later in rows[position:] if later.name not in known)
            budget.seconds = granted(budget.seconds, to_come, until - time.monotonic())
        folder.forget_logs(row.name)  # of an attempt that was broken off
        attempt = folder.attempt(row.name)
        known[row.name] = run_row(context, chosen, row, budget)
        known[row.name].attempt = attempt
        folder.keep(known[row.name])
        print(known[row.name].last_line(), flush=True)


class Beside:
    """The lanes beside the main one, a process each: an application's threads share no interpreter with another row's. They
    leave their results in the folder; a row without one is in the report."""

    def __init__(self, folder, chosen, planned, known, lanes):
        fork = multiprocessing.get_context("fork")
        self._processes = [fork.Process(target=self._run, args=(lane, context_of(folder), folder, chosen, planned, known, rows))
                           for lane, rows in lanes.items() if lane != MAIN]

    @staticmethod
    def _run(lane: str, *arguments) -> None:
        os.nice(NICE.get(lane, 0))
        run_rows(*arguments)

    def __enter__(self) -> "Beside":
        for process in self._processes:
            process.start()
        return self

    def __exit__(self, kind, *_) -> None:
        if kind is not None:
            for process in self._processes:
                process.terminate()  # main()'s handler: its servers end with it
        for process in self._processes:
            process.join(None if kind is None else ENDS_WITHIN)
            process.kill()
            process.join()


def run_row(context: Context, chosen, row, budget):
    # A row's choices do not depend on which others run.
    seed = zlib.crc32(f"{chosen.seed} {budget.part} {row.name}".encode())
    print(f"==> {row.name}: {budget.count:,} {row.unit}, at most {budget.seconds:.0f} s", file=sys.stderr, flush=True)
    budget.began = time.monotonic()
    try:
        result = row.run(context, budget, seed)
    except NotRun as missing:
        result = row.result(budget, seed)
        result.not_run = str(missing)
    except Exception:
        # What the row itself could not go on with: whatever it was, it is no pass.
        result = row.result(budget, seed)
        result.anomaly(f"the row broke off: {traceback.format_exc()[-3500:]}")
    result.seconds = round(time.monotonic() - budget.began, 1)
    part = f" --part {budget.part[0]}/{budget.part[1]}" if budget.part[1] > 1 else ""
    size = " --short" if budget.short else f" --minutes {chosen.minutes:g}"
    result.tests = identity.tests(ROOT)
    result.again = f"scripts/torture --row {row.name} --seed {chosen.seed}{part}{size} --count {budget.count}"
    return result


def report_merged(chosen) -> int:
    runs, results = merge(chosen.merge)
    for row in ROWS:
        if row.judge and row.name in results:
            row.judge(results[row.name])
    parts = missing_parts(runs)
    notes = [f"NOT RUN: part {part} of the night" for part in parts]
    if not any(run["short"] for run in runs):
        notes += [f"NOT RUN: row {row.name}" for row in ROWS if row.name not in results]
        notes += [f"NOT RUN: {text}" for text in missing_counts(ROWS, results)]
    about_all = [("program", runs[0]["vmproxy"]), ("machine", runs[0]["machine"]),
                 ("parts", ", ".join("{}/{} seed {}".format(*(run["part"] or (1, 1)), run["seed"]) for run in runs)),
                 ("tests", f"of {', '.join(sorted({commit for result in results.values() for commit in result.tests.split()}))}"),
                 ("took", f"{sum(result.seconds for result in results.values()) / 60:.0f} minutes")]
    folder = RunFolder(chosen.out or chosen.merge[0])
    folder.path.mkdir(parents=True, exist_ok=True)
    rows = [(row, results[row.name]) for row in ROWS if row.name in results]
    return write(Report("Torture night of vmproxy", about_all, rows, notes), folder)


def write(report: Report, folder: RunFolder) -> int:
    write_whole(folder.path / "report.txt", report.to_text())
    write_whole(folder.path / "report.json", json.dumps(report.to_json(), indent=1) + "\n")
    write_whole(folder.path / "report.html", page(report))
    print(f"\nreport: {folder.path}/report.txt, .json, .html", flush=True)
    if len(report.rows) == 1 and report.results:
        print(report.results[0].last_line())
    else:
        print(report.to_text(), end="")
    return report.exit_code


def title_of(chosen) -> str:
    if chosen.short:
        return "Torture of vmproxy, short form"
    part = f", part {chosen.part[0]} of {chosen.part[1]} of a night" if chosen.part else ""
    return f"Torture of vmproxy{part}"


def about(asked: dict, began: float, took: float) -> list:
    return [("program", asked["vmproxy"]), ("machine", asked["machine"]), ("seed", asked["seed"]),
            ("began", time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(began))), ("took", f"{took / 60:.1f} minutes")]


def program() -> str:
    said = subprocess.run([vmproxy.binary(), "version"], capture_output=True, text=True, timeout=30, check=True)
    return f"{said.stdout.strip().splitlines()[0]}, sources {identity.sources(ROOT)}"


if __name__ == "__main__":
    sys.exit(main())
