"""Doubtful requests through the real HTTP code: what the client said, what was passed and what arrived must agree."""

from torture.row import PROGRAMS, Row
from torture.rows.programs import called


def run(context, budget, seed):
    result = ROW.result(budget, seed)
    program = context.program("smuggling")
    called(context, budget, result,
           lambda count, call: [program, "--cases", str(count), "--seed", str(seed % 1_000_000 + call)],
           r"(\d+) cases, \d+ refused, (\d+) desynchronised", 1000, 0.02)
    result.fault("doubtful framing", result.done)
    return result


ROW = Row("smuggling", "request smuggling: cases and mutations", "cases", (60, 60), (10_000, 120), run, lane=PROGRAMS)
