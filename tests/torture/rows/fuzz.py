"""libFuzzer on every parser, client and server side, under ASan and UBSan."""

import os

from torture.context import ROOT, last_match
from torture.row import SPARE, Row

TARGETS_MIN = 33
JOBS = 2


def run(context, budget, seed):
    result = ROW.result(budget, seed)
    script = context.needs_file("scripts/fuzz")
    targets = sum(1 for line in (ROOT / "tests" / "fuzz" / "CMakeLists.txt").read_text().splitlines()
                  if line.startswith("vmproxy_fuzz("))
    # Short: every target the same time, and an input that takes a moment may take long, for other rows go first. A night: so
    # many inputs, and so much time that the slow ones leave some to the others, which make up for them.
    limit = ["--seconds", "20", "--timeout", "120"]
    if not budget.short:
        limit = ["--runs", str(-(-2 * budget.count // max(1, targets))), "--seconds",
                 str(max(5, int(budget.left() * JOBS / max(1, targets))))]
    command = [script, "--preset", os.environ.get("VMPROXY_FUZZ_PRESET", "fuzz"), *limit, "--seed", str(seed % 1_000_000_000),
               "--jobs", str(JOBS), "--work", ROOT / "build" / "fuzz" / "torture"]
    code, lines = context.run(result.name, command, budget.left() + (600 if budget.short else 120))
    said = last_match(r"(\d+) inputs, (\d+) targets, (\d+) crashes", lines)
    if said is None:
        result.anomaly(f"scripts/fuzz ended with {code} and no figure: " + "\n".join(lines[-30:]))
        return result
    inputs, ran, crashes = map(int, said.groups())
    result.done = inputs
    result.fault("hostile inputs", inputs)
    result.figure("targets", ran, at_least=TARGETS_MIN)
    if crashes or code != 0:
        result.anomaly(f"exit code {code}: {said[0]}\n" + "\n".join(line for line in lines
                                                                    if "kept" in line or "crash" in line or line.startswith("  | ")))
    return result


ROW = Row("fuzz", "fuzz inputs for every parser under ASan and UBSan", "inputs", (10_000, 420), (10_000_000, 900), run,
          lane=SPARE)
