"""kill -9 at each named fault point: once between real databases, then again and again between two that misbehave."""

import os
import sys
import time

from torture.context import ROOT, last_match
from torture.row import NotRun, Row

NAMES = 160  # about so many points; the programs say how many they passed
ROUNDS_NIGHT = 20


def run(context, budget, seed):
    result = ROW.result(budget, seed)
    context.needs_file("base/fault_points.def")
    context.needs_file("tests/integration/test_kill_points.py")
    program = os.environ.get("VMPROXY_FAULTS_BIN") or str(ROOT / "build" / "torture" / "bin" / "vmproxy")
    if not os.access(program, os.X_OK):
        raise NotRun("a vmproxy with fault points (scripts/build torture, or VMPROXY_FAULTS_BIN)")
    fake_lives = context.program("test_faults", "torture", "dev")
    real(context, budget, seed, result, program)
    fakes(context, budget, seed, result, fake_lives)
    return result


def real(context, budget, seed, result, program) -> None:
    """Each point of this part once, with the vendor's SDK under load."""
    index, parts = budget.part if not budget.short else (1, 8)
    command = [*pytest(), "-m", "faults", "--points", f"{index}/{parts}", "test_kill_points.py"]
    code, lines = context.run(f"{result.name}.real", command, max(60.0, budget.left() * (0.5 if budget.short else 0.6)),
                              {"VMPROXY_BIN": program, "VMPROXY_TEST_SCALE": "0.05", "VMPROXY_TEST_SEED": str(seed)},
                              ROOT / "tests" / "integration")
    if code is None:
        passed = sum(1 for line in lines if " PASSED" in line)
        result.figure("real databases: stopped for lack of time after", passed, "points", adds=True)
        kills = passed
    else:
        figure = last_match(
            r"killed at (\d+) fault points: (\d+) with loss or no recovery; serving again after ([\d.]+) s", lines)
        if figure is None:
            result.anomaly(f"test_kill_points.py ended with {code} and no figure: " + "\n".join(lines[-30:]))
            return
        kills = int(figure[1])
        result.figure("real databases: serving again after", float(figure[3]), "s", at_most=2.0)
        if code != 0 or int(figure[2]):
            result.anomaly(f"test_kill_points.py ended with {code}: " + "\n".join(
                line for line in lines if line.startswith(("FAILED", "ERROR", "E  ")))[:3500])
    result.done += kills
    result.kills += kills
    result.fault("kill at a fault point, real databases", kills)


def fakes(context, budget, seed, result, program) -> None:
    """The program of tests/faults: each point that its journeys pass, as often as the count asks for."""
    while result.done < budget.count and budget.left() > 20:
        began = time.monotonic()
        code, lines = context.run(f"{result.name}.fakes", [program, "--rng-seed", str(seed % 100_000 + result.done)],
                                  max(20.0, budget.left()))
        if code is None:
            return
        figure = last_match(r"killed at (\d+) fault points, (\d+) not recovered", lines)
        if figure is None or code != 0 or int(figure[2]):
            result.anomaly(f"test_faults ended with {code}: " + "\n".join(lines[-30:]))
            return
        kills = int(figure[1])
        result.done += kills
        result.kills += kills
        result.fault("kill at a fault point, fake databases", kills)
        if time.monotonic() - began > budget.left():
            return


def pytest() -> list:
    return [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-v"]


ROW = Row("fault_points", "kill -9 at each fault point, real and fake databases", "kills", (NAMES, 150),
          (NAMES * ROUNDS_NIGHT, 2400), run)
