"""The simulator: journal, mirror, copy, validation and cutover in one thread on a simulated clock, network and disk."""

import re

from torture.context import last_match
from torture.row import SPARE, Row
from torture.rows.programs import called

STEP = 300  # the short form in one
TWICE = 20  # of the first seeds, to be the same run to the byte
COUNTED = ("kills", "machine ends", "lost", "replayed", "late", "partial", "disk faults", "reads of it that failed", "full disks",
           "promotions", "rollbacks", "forced changes", "finalized", "refusals for good", "configurations")


def rules(context, result):
    """What the simulator has missed when the code was run without a rule, it still misses: in the seed of the table mostly, so
    that this takes seconds."""
    program = context.program("sim_rules", "release", "dev", "asan-ubsan")
    code, lines = context.run(result.name, [program, "--listed"], 600)
    said = last_match(r"of (\d+) rules (\d+) are missed in the seed of the table, (\d+) in another, (\d+) in none", lines)
    if code is None or said is None:
        result.anomaly(f"the rules ended with {code} and no figure: " + "\n".join(lines[-30:]))
        return
    listed, same, others, none = map(int, said.groups())
    result.figure("rules of the table that are missed when they are taken away", same + others, at_least=listed)
    if code != 0 or none:
        result.anomaly(f"the simulator no longer sees what it saw: {said[0]}\n" + "\n".join(lines[-40:]))


def run(context, budget, seed):
    result = ROW.result(budget, seed)
    program = context.program("sim", "release", "dev", "asan-ubsan")
    first = 1 + seed % 1_000_000_000

    def command(count, call):
        again = ["--twice", str(min(TWICE, count))] if call == 0 else []
        return [program, "--first", str(first + call * STEP), "--seeds", str(count), *again]
    # "simulator: 300 seeds, 0 violations, 20 the same when run twice; 81234 operations (12 unknown), 610 kills, ..."
    called(context, budget, result, command, r"([\d,]+) seeds, ([\d,]+) violations", STEP, 0.05)
    said = [line for line in (context.logs / f"{result.name}.log").read_text(errors="replace").splitlines()
            if line.startswith("simulator: ")]
    for name in COUNTED:
        for line in said:
            if count := re.search(rf"([\d,]+) {name}\b", line):
                result.fault(f"simulated: {name}", int(count[1].replace(",", "")))
    same = sum(int(match[1]) for line in said if (match := re.search(r"(\d+) the same when run twice", line)))
    result.figure("seeds the same to the byte when run twice", same, at_least=min(TWICE, budget.count))
    rules(context, result)
    return result


ROW = Row("simulator", "seeds of the simulator", "seeds", (300, 240), (20_000, 840), run, lane=SPARE)
