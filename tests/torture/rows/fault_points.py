"""kill -9 at each named fault point; between fake databases also each failure and each delay that a point allows.

Short: each once; between two fake databases wherever they lead (tests/faults), between real ones at the points that only these
pass, and at a share of the others that the seed chooses. A night: each ROUNDS_NIGHT times, round by round between the fakes, at
what these do not pass between real databases; and once each between real databases besides.
"""

import os
import pathlib
import re
import sys

from fault_points import points
from torture.context import ROOT, last_match
from torture.plan import share
from torture.row import NICE, POINTS, SPARE, Row

ROUNDS_NIGHT = 20
SHARES_SHORT = 32   # of the points, one with real databases
FAKES = r"killed at (\d+) fault points, (\d+) not recovered"
FAKES_AT = r"killed here:(.*)"
BEYOND = r"beyond this test:(.*)"
FAILURES = r"(\d+) faults at \d+ points, (\d+) not recovered"
DELAYS = r"(\d+) delays of \S+ at \d+ points in \d+ lives, (\d+) of these not recovered"
REAL = r"killed at (\d+) fault points: (\d+) with loss or no recovery; serving again after ([\d.]+) s"
REAL_AT = r"test_killed_at\[([a-z._]+)\] PASSED"
NONE = "none"  # of the points by their share: only those that are named
NO_WAY = {"target.half"}  # the code has it for writes that no dialect makes yet: both writing and erasing
KILLABLE = [point.name for point in points() if "kill" in point.actions and point.name not in NO_WAY]


class Tally:
    """How often each point killed; what was asked for is that each did so often, not a sum."""

    def __init__(self, result, times: int):
        self.result, self.times = result, times
        self.kills = dict.fromkeys(KILLABLE, 0)
        result.asked = len(KILLABLE) * times
        result.done = 0

    def add(self, names, between: str) -> None:
        for name in names:
            self.kills[name] += 1
        self.result.kills += len(names)
        self.result.fault(f"kill -9 at a fault point, {between}", len(names))
        self.result.done = sum(min(count, self.times) for count in self.kills.values())

    def lacking(self) -> list:
        return [name for name, count in self.kills.items() if count < self.times]


def run(context, budget, seed):
    result = ROW.result(budget, seed)
    program = context.program_with_faults()
    # Whole rounds: 20 of them shared by parts, and not so many kills.
    times = 1 if budget.short else share(ROUNDS_NIGHT, *budget.part) if budget.part[1] > 1 else budget.count // len(KILLABLE)
    tally = Tally(result, max(1, times))
    for number in range(tally.times):
        if number and (budget.left() < 20 or result.anomaly_count):
            break
        beyond = fakes(context, budget, seed + number, tally, program)
        if beyond is None:
            break
        if budget.short:
            real(context, budget, f"{seed % SHARES_SHORT + 1}/{SHARES_SHORT}", beyond, budget.seconds, seed, tally, program)
        elif beyond and not result.anomaly_count:
            real(context, budget, NONE, beyond, budget.left() * 0.6, seed + number, tally, program)
    # What was asked for comes first; each takes half a minute here.
    if not budget.short and not tally.lacking() and not result.anomaly_count:
        real(context, budget, "{}/{}".format(*budget.part), [], budget.left(), seed, tally, program)
    if lacking := tally.lacking():
        result.unfinished.append(f"less often than {tally.times} times: {', '.join(lacking[:5])}"
                                 + (f" and {len(lacking) - 5} more" if len(lacking) > 5 else ""))
    return result


def real(context, budget, part: str, also: list, seconds: float, seed, tally, program) -> None:
    """Points of this share and these, with the vendor's SDK under load."""
    result = tally.result
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-v", "-m", "faults", "--durations=0", "--points", part,
               "--points-also", ",".join(also), "test_kill_points.py"]
    code, lines = context.run(f"{result.name}.real", command, max(60.0, seconds),
                              {"VMPROXY_BIN": program, "VMPROXY_TEST_SCALE": "0.05", "VMPROXY_TEST_SEED": str(seed)},
                              ROOT / "tests" / "integration")
    tally.add([match[1] for line in lines if (match := re.search(REAL_AT, line))], "real databases")
    wrong = [line for line in lines if line.startswith(("FAILED", "ERROR", "E  ")) or " FAILED" in line or " ERROR" in line]
    if code is None:
        under_way = [line for line in lines if line.strip()][-1:]
        result.unfinished.append(f"real databases: no more time; the last line: {''.join(under_way)}")
        if wrong:
            result.anomaly("test_kill_points.py, before it was stopped: " + "\n".join(wrong)[:3500])
        return
    figure = last_match(REAL, lines)
    if figure is None:
        result.anomaly(f"test_kill_points.py ended with {code} and no figure: " + "\n".join(lines[-30:]))
        return
    # With sanitizers, as in scripts/test, a start takes longer than the 2 s that are asked of a release.
    result.slowest("real databases: serving again after", float(figure[3]), "s", at_most=budget.limit(2.0, short=10.0))
    if code != 0 or int(figure[2]):
        result.anomaly(f"test_kill_points.py ended with {code}: " + "\n".join(wrong)[:3500])


def fakes(context, budget, seed, tally, program):
    """The program of tests/faults: each point that its journeys pass, once. The points that they do not; None: it was stopped.
    scripts/test runs it in a step of its own, under sanitizers, and names what that said."""
    if said := os.environ.get("VMPROXY_FAKES_LOG"):
        return judge_fakes(tally, 0, pathlib.Path(said).read_text(errors="replace").splitlines())
    folder = pathlib.Path(program).parent / "test_faults"
    # No clock judges what it does on a simulated one; rows beside it are judged by the real one.
    command = ["nice", "-n", str(NICE[SPARE]), str(folder) if os.access(folder, os.X_OK)
               else context.program("test_faults", "torture", "dev"), "--rng-seed", str(seed % 100_000)]
    # Twenty kills of a point are twenty moments: in a night the seed chooses which time that the point is passed, and in which life.
    chosen = {} if budget.short else {"VMPROXY_KILLS_SEED": str(seed)}
    code, lines = context.run(f"{tally.result.name}.fakes", command,
                              budget.seconds if budget.short else max(20.0, budget.left()), chosen)
    if code is None and not budget.short:
        return None  # the night is over
    return judge_fakes(tally, code, lines)


def judge_fakes(tally, code, lines: list):
    result = tally.result
    said = [last_match(pattern, lines) for pattern in (FAKES, FAKES_AT, BEYOND, FAILURES, DELAYS)]
    if None in said:
        result.anomaly(f"test_faults ended with {code} and no figure: " + "\n".join(lines[-30:]))
        return None
    figure, names, beyond, failures, delays = said
    if code != 0 or any(int(of[2]) for of in (figure, failures, delays)):
        result.anomaly(f"test_faults ended with {code}: " + "\n".join(lines[-30:]))
    result.fault("failure, lost answer or full disk at a fault point, fake databases", int(failures[1]))
    result.fault("delay at a fault point, fake databases", int(delays[1]))
    tally.add(names[1].split(), "fake databases")
    return beyond[1].split()


ROW = Row("fault_points", "kill -9 at each fault point, real and fake databases", "kills, as many of each point", (len(KILLABLE), 720),
          (len(KILLABLE) * ROUNDS_NIGHT, 8400), run, lane=POINTS)
