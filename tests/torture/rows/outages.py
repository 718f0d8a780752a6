"""Databases that go away and come back: the target, the source, both in either order."""

import random
import threading

from history import now
from torture.compare import more_than
from torture.row import Row
from torture.stack import Stack
from torture.windows import WindowedWorkload

KINDS = ("target", "source", "target", "source", "both")  # of five cycles
SHORT_KINDS = ("target", "source", "both")
# Killed while it writes its index to the disk, Chroma leaves a file of no bytes and cannot read the collection any more.
DAMAGED_BY_A_KILL = ("chroma",)
OUTAGE_SECONDS = 1.0
UNIT_SECONDS = 8.0
P99_MORE = 1.05      # by so much may the application's p99 be higher with the target down
SURE = 0.001         # the chance of seeing so much by noise alone; only below it the p99 counts as higher
WINDOW_SECONDS = 1.2
ROUND_SECONDS = 4.0  # two windows, and until the target has all
ROUNDS_SHORT = 12    # a night: one for each four cycles, at least so many


def run(context, budget, seed):
    result = ROW.result(budget, seed)
    chance = random.Random(seed)
    with Stack(context, ROW.name, seed, workload_class=WindowedWorkload) as stack:
        stack.begin()
        workload = stack.workload
        recoveries = []
        kinds = SHORT_KINDS if budget.short else KINDS
        rounds = ROUNDS_SHORT if budget.short else max(ROUNDS_SHORT, budget.count // 4)
        while budget.goes_on(result.done, UNIT_SECONDS + rounds * ROUND_SECONDS) and not result.anomaly_count:
            kind = kinds[result.done % len(kinds)]
            rest()
            outage(stack, kind, chance, result)
            back = now()
            try:
                workload.wait_for(writes=5, reads=5, timeout=60, fail_fast=False)
                up_to_date(stack)
            except AssertionError as error:
                result.anomaly(f"after {kind} was down: {error}")
            recoveries.append(now() - back)
            result.done += 1
            if result.done % 25 == 0:
                stack.check_sides(result, f"after {result.done} cycles")
        if not result.anomaly_count:
            compare(stack, rounds, result)  # what the outages left unknown falls due meanwhile
        for text in workload.unexplained():
            result.anomaly(text)
        stack.check_whole(result)
        result.figure("working, and the target up to date, after", max(recoveries, default=float("nan")), "s",
                      at_most=budget.limit(10.0, short=90.0))
    return result


def compare(stack, rounds: int, result) -> None:
    """The application's p99 with the target up and down, in turn, so that what else the machine does falls on both.

    Cut off, not killed: a server's start takes processor from the source, and that is no fault of ours. With the target up
    nothing is left to catch up with: the usual side is at its best.
    """
    usual, down = [], []
    for _ in range(rounds):
        usual.append(window())
        go_away(stack.pgvector, stack.to_target, "unreachable")
        down.append(window())
        come_back(stack.pgvector, stack.to_target, "unreachable")
        result.fault("target unreachable")
        try:
            up_to_date(stack)
        except AssertionError as error:
            result.anomaly(f"after a round of the comparison: {error}")
            break
    for kind in ("write", "read"):
        these, those = ([p99(stack.workload, kind, *each) for each in windows] for windows in (down, usual))
        result.pairs[kind] = [list(pair) for pair in zip(these, those)]
    judge(result)


def judge(result) -> None:
    """Of all rounds there are: those of a whole night tell a smaller difference from noise than those of a part."""
    for kind, rounds in result.pairs.items():
        these, those = zip(*rounds) if rounds else ((), ())
        ratio, by_noise = more_than(these, those, P99_MORE, result.seed)
        result.figure_again(f"p99 of {kind}s, target down by target up", ratio, "x")
        result.figure_again(f"chance that p99 of {kind}s is at most {P99_MORE} x", by_noise, at_least=SURE)


def window() -> tuple:
    began = now()
    rest(WINDOW_SECONDS)
    return began, now()


def p99(workload, kind: str, began: float, ended: float) -> float:
    return workload.latencies.percentile(0.99, kind=kind, since=began, until=ended)


def up_to_date(stack) -> None:
    # What an outage of the source left unknown is owed for a minute longer by rule (H37); the end waits for it.
    stack.vmproxy.wait(lambda s: s["lag"]["changes"] == 0, 120, "the target to have all that is known")


def rest(seconds: float = OUTAGE_SECONDS) -> None:
    """An outage takes its time; this is its length, not a synchronisation."""
    threading.Event().wait(seconds)


def outage(stack, kind: str, chance, result) -> None:
    ways = {"source": (stack.chroma, stack.to_source), "target": (stack.pgvector, stack.to_target)}
    sides = ["source", "target"] if kind == "both" else [kind]
    chance.shuffle(sides)
    way = chance.choice(("killed", "killed", "hangs", "unreachable"))
    if "source" in sides:
        stack.workload.open_window("the source is down", own_errors=True)
    for side in sides:
        go_away(*ways[side], way)
        result.fault(f"{side} {way}")
    rest()
    chance.shuffle(sides)  # the first to come back
    for side in sides:
        come_back(*ways[side], way)
    if "source" in sides:
        stack.workload.close_window()


def go_away(server, relay, way: str) -> None:
    if way == "killed":
        # Who looks from outside sees the same of both: connections end, and no new ones are taken.
        relay.refuse = True
        relay.cut()
        if server.name in DAMAGED_BY_A_KILL:
            server.stop()
        else:
            server.kill9()
    elif way == "hangs":
        server.suspend()
    else:
        relay.refuse = True
        relay.cut()


def come_back(server, relay, way: str) -> None:
    if way == "killed":
        server.start()
        relay.refuse = False
    elif way == "hangs":
        server.resume()
    else:
        relay.refuse = False


ROW = Row("outages", "target down, source down, both down and back in either order", "cycles", (9, 300), (500, 3200), run,
          judge=judge)
