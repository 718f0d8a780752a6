"""Databases that go away and come back: the target, the source, both in either order."""

import random
import threading

from history import now
from torture.row import Row
from torture.stack import Stack
from torture.windows import WindowedWorkload

KINDS = ("target", "source", "target", "source", "both")  # of five cycles
SHORT_KINDS = ("target", "source", "both")
OUTAGE_SECONDS = 1.0
UNIT_SECONDS = 8.0


def run(context, budget, seed):
    result = ROW.result(budget, seed)
    chance = random.Random(seed)
    with Stack(context, ROW.name, seed, workload_class=WindowedWorkload) as stack:
        stack.begin()
        workload = stack.workload
        usual, down, recoveries = [], [], []
        kinds = SHORT_KINDS if budget.short else KINDS
        while budget.goes_on(result.done, UNIT_SECONDS) and not result.anomaly_count:
            kind = kinds[result.done % len(kinds)]
            began = now()
            rest()
            usual.append((began, now()))
            outage(stack, kind, chance, result, down)
            back = now()
            try:
                workload.wait_for(writes=5, reads=5, timeout=60, fail_fast=False)
                # What an outage of the source left unknown is owed for a minute longer by rule (H37); the end waits for it.
                stack.vmproxy.wait(lambda s: s["lag"]["changes"] == 0, 120, "the target to have all that is known")
            except AssertionError as error:
                result.anomaly(f"after {kind} was down: {error}")
            recoveries.append(now() - back)
            result.done += 1
            if result.done % 25 == 0:
                stack.check_sides(result, f"after {result.done} cycles")
        for text in workload.unexplained():
            result.anomaly(text)
        stack.check_whole(result)
        result.figure("working, and the target up to date, after", max(recoveries, default=float("nan")), "s", at_most=10.0)
        for kind in ("write", "read"):
            base, worse = spread(workload, usual, kind), spread(workload, down, kind)
            result.figure(f"p99 of {kind}s, target down by target up", worse / base if base else float("nan"), "x",
                          **({} if budget.short else {"at_most": 1.05}))
    return result


def rest() -> None:
    """An outage takes its time; this is its length, not a synchronisation."""
    threading.Event().wait(OUTAGE_SECONDS)


def outage(stack, kind: str, chance, result, down: list) -> None:
    ways = {"source": (stack.chroma, stack.to_source), "target": (stack.pgvector, stack.to_target)}
    sides = ["source", "target"] if kind == "both" else [kind]
    chance.shuffle(sides)
    way = chance.choice(("killed", "killed", "hangs", "unreachable"))
    if "source" in sides:
        stack.workload.open_window("the source is down", own_errors=True)
    for side in sides:
        go_away(*ways[side], way)
        result.fault(f"{side} {way}")
    gone = now()
    rest()
    ended = now()
    chance.shuffle(sides)  # the first to come back
    for side in sides:
        come_back(*ways[side], way)
    if "source" in sides:
        stack.workload.close_window()
    else:
        down.append((gone, ended))


def go_away(server, relay, way: str) -> None:
    if way == "killed":
        server.kill9()
        relay.cut()
    elif way == "hangs":
        server.suspend()
    else:
        relay.refuse = True
        relay.cut()


def come_back(server, relay, way: str) -> None:
    if way == "killed":
        server.start()
    elif way == "hangs":
        server.resume()
    else:
        relay.refuse = False


def spread(workload, windows, kind: str) -> float:
    """The 99th percentile of all requests that began in one of the windows."""
    samples = sorted(second for began, ended in windows
                     for second in workload.latencies.seconds(kind=kind, since=began, until=ended))
    return samples[min(len(samples) - 1, int(len(samples) * 0.99))] if samples else 0.0


ROW = Row("outages", "target down, source down, both down and back in either order", "cycles", (9, 120), (500, 2700), run)
