"""The simulator: journal, mirror, copy, validation and cutover in one thread on a simulated clock, network and disk."""

from torture.row import Row
from torture.rows.programs import called


def run(context, budget, seed):
    result = ROW.result(budget, seed)
    program = context.program("sim", "release", "dev", "asan-ubsan")
    first = seed % 1_000_000_000
    called(context, budget, result,
           lambda count, call: [program, "--first", str(first + call * STEP), "--seeds", str(count)],
           r"([\d,]+) seeds.*?(\d+) violations", STEP, 0.1)
    result.fault("simulated lives with faults", result.done)
    return result


STEP = 500
ROW = Row("simulator", "seeds of the simulator", "seeds", (300, 60), (20_000, 1200), run)
