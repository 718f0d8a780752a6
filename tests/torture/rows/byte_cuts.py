"""Requests and answers cut at every byte of 2 KB, HTTP/1.1 and gRPC: tests/net_cuts, whole each time."""

from torture.row import NotRun, Row


def run(context, budget, seed):
    result = ROW.result(budget, seed)
    program = context.program("test_net_cuts", "release", "dev")
    code, lines = context.run(result.name, [program, "--success"], max(60.0, budget.left()))
    if code is None:
        raise NotRun("more time: the sweep of all bytes is one piece")
    cases = sum(1 for line in lines if line.startswith("  ") and "PASSED" in line)
    result.figure("cuts checked", cases, adds=True)
    if code != 0:
        result.anomaly(f"{program} ended with {code}: " + "\n".join(lines[-40:]))
    elif any("No tests ran" in line for line in lines):
        result.anomaly("no sweep ran")
    else:
        result.done = 1
        result.fault("connections cut at a byte", cases)
    return result


ROW = Row("byte_cuts", "a reply and a request of 2 KB cut at every byte, HTTP/1.1 and gRPC", "sweeps", (1, 120), (1, 240), run,
          whole=True, beside=True)
