"""kill -9 at each named fault point.

Short: each once; between two fake databases wherever they lead (tests/faults), between real ones at the points that only these
pass, and at a share of the others that the seed chooses. A night: each between real databases, then again and again between the
fakes.
"""

import os
import pathlib
import sys
import time

from torture.context import ROOT, last_match
from torture.row import POINTS, NotRun, Row

NAMES = 160         # about so many points; the programs say how many they passed
ROUNDS_NIGHT = 20
SHARES_SHORT = 32   # of the points, one with real databases
FAKES = r"killed at (\d+) fault points, (\d+) not recovered"
REAL = r"killed at (\d+) fault points: (\d+) with loss or no recovery; serving again after ([\d.]+) s"


def run(context, budget, seed):
    result = ROW.result(budget, seed)
    context.needs_file("base/fault_points.def")
    context.needs_file("tests/integration/test_kill_points.py")
    program = os.environ.get("VMPROXY_FAULTS_BIN") or str(ROOT / "build" / "torture" / "bin" / "vmproxy")
    if not os.access(program, os.X_OK):
        raise NotRun("a vmproxy with fault points (scripts/build torture, or VMPROXY_FAULTS_BIN)")
    if budget.short:
        result.asked = 0  # what there is to kill, the programs say
        said = fakes_once(context, budget, seed, result, program)
        beyond = last_match(r"beyond this test: (.+)", said)
        if beyond is None:
            result.anomaly("test_faults does not say which points are beyond it")
            return result
        real(context, budget, f"{seed % SHARES_SHORT + 1}/{SHARES_SHORT}", beyond[1].split(), seed, result, program)
        return result
    real(context, budget, "{}/{}".format(*budget.part), [], seed, result, program)
    while result.done < budget.count and budget.left() > 20 and not result.anomaly_count:
        began = time.monotonic()
        fakes_once(context, budget, seed + result.done, result, program)
        if time.monotonic() - began > budget.left():
            break
    return result


def real(context, budget, share: str, also: list, seed, result, program) -> None:
    """Points of this share and these, with the vendor's SDK under load."""
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-v", "-m", "faults", "--points", share,
               "--points-also", ",".join(also), "test_kill_points.py"]
    code, lines = context.run(f"{result.name}.real", command, budget.seconds if budget.short else max(60.0, budget.left() * 0.6),
                              {"VMPROXY_BIN": program, "VMPROXY_TEST_SCALE": "0.05", "VMPROXY_TEST_SEED": str(seed)},
                              ROOT / "tests" / "integration")
    wrong = [line for line in lines if line.startswith(("FAILED", "ERROR", "E  ")) or " FAILED" in line or " ERROR" in line]
    if code is None:
        kills = sum(1 for line in lines if "test_killed_at[" in line and " PASSED" in line)
        result.unfinished.append(f"real databases: no more time after {kills} points")
        if wrong:
            result.anomaly("test_kill_points.py, before it was stopped: " + "\n".join(wrong)[:3500])
    else:
        figure = last_match(REAL, lines)
        if figure is None:
            result.anomaly(f"test_kill_points.py ended with {code} and no figure: " + "\n".join(lines[-30:]))
            return
        kills = int(figure[1])
        # With sanitizers, as in scripts/test, a start takes longer than the 2 s that are asked of a release.
        result.figure("real databases: serving again after", float(figure[3]), "s", at_most=budget.limit(2.0, short=10.0))
        if code != 0 or int(figure[2]):
            result.anomaly(f"test_kill_points.py ended with {code}: " + "\n".join(wrong)[:3500])
    took(result, kills, "real databases", budget.short)


def fakes_once(context, budget, seed, result, program) -> list:
    """The program of tests/faults: each point that its journeys pass, once. Returns what it said."""
    folder = pathlib.Path(program).parent / "test_faults"
    command = [str(folder) if os.access(folder, os.X_OK) else context.program("test_faults", "torture", "dev"), "--rng-seed",
               str(seed % 100_000)]
    code, lines = context.run(f"{result.name}.fakes", command, budget.seconds if budget.short else max(20.0, budget.left()))
    if code is None and not budget.short:
        return lines  # the night is over
    judge_fakes(result, code, lines, budget.short)
    return lines


def judge_fakes(result, code, lines: list, short: bool) -> None:
    figure = last_match(FAKES, lines)
    if figure is None or code != 0 or int(figure[2]):
        result.anomaly(f"test_faults ended with {code}: " + "\n".join(lines[-30:]))
    if figure is not None:
        took(result, int(figure[1]), "fake databases", short)


def took(result, kills: int, between: str, short: bool) -> None:
    result.done += kills
    result.kills += kills
    if short:
        result.asked += kills
    result.fault(f"kill at a fault point, {between}", kills)


ROW = Row("fault_points", "kill -9 at each fault point, real and fake databases", "kills", (NAMES, 600),
          (NAMES * ROUNDS_NIGHT, 2000), run, lane=POINTS)
