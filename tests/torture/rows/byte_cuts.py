"""Requests and answers cut at every byte of 2 KB, HTTP/1.1 and gRPC: tests/net_cuts, whole each time."""

import re

from torture.context import last_match
from torture.row import PROGRAMS, NotRun, Row


def run(context, budget, seed):
    result = ROW.result(budget, seed)
    # Only a release build takes every byte.
    program = context.program("test_net_cuts", "release")
    code, lines = context.run(result.name, [program], max(60.0, budget.left()))
    if code is None:
        raise NotRun("more time: the sweep of all bytes is one piece")
    cuts = sum(int(match[1]) for line in lines if (match := re.match(r"(\d+) cuts between proxy and", line)))
    passed = last_match(r"All tests passed \((\d+) assertions in (\d+) test cases\)", lines)
    if code != 0 or passed is None:
        result.anomaly(f"{program} ended with {code}: " + "\n".join(lines[-40:]))
    else:
        result.done = int(passed[2])
        result.fault("connections cut at a byte", cuts)
    result.figure("cuts", cuts, at_least=CUTS_MIN)
    return result


# Two protocols, seven ways each (passed or held; before or behind the proxy; request or answer), by FIN and by RST, 2 KB.
CUTS_MIN = 2 * 7 * 2 * 2048
ROW = Row("byte_cuts", "a reply and a request of 2 KB cut at every byte, HTTP/1.1 and gRPC", "sweeps", (8, 480), (8, 240), run,
          whole=True, fixed=True, lane=PROGRAMS)
