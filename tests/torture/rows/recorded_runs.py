"""Runs in which several writers share their keys, judged by everything that the history checker knows: also whose execution a write
was (one primary at a time), and whether the databases saw the requests that vmproxy believes it sent (test_recorded_runs.py)."""

import re
import sys

from torture.context import ROOT, last_match
from torture.row import STACKS, Row

EACH = 7          # runs of one call
CALL_SECONDS = 280.0
PASSED = r"(\d+) passed"


def run(context, budget, seed):
    result = ROW.result(budget, seed)
    while budget.goes_on(result.done, CALL_SECONDS) and not result.anomaly_count:
        command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-v", "test_recorded_runs.py"]
        code, lines = context.run(result.name, command, budget.left() + 120, {"VMPROXY_TEST_SEED": str(seed + result.done)},
                                  ROOT / "tests" / "integration")
        said = last_match(PASSED, lines)
        if code is None:
            result.anomaly("it did not end in time")
        elif code != 0 or said is None or int(said[1]) != EACH:
            wrong = [line for line in lines if re.match(r"FAILED|ERROR|E  ", line)] or lines[-30:]
            result.anomaly(f"exit code {code}, seed {seed + result.done}: " + "\n".join(wrong)[:3500])
        else:
            result.done += EACH
    return result


ROW = Row("recorded_runs", "writers that share keys; executions and requests judged", "runs", None, (42, 1770), run, lane=STACKS)
