"""Databases that go away and come back: the target, the source, both in either order."""

import collections
import math
import random
import threading

from history import now
from torture.compare import more_than
from torture.plan import earlier
from torture.row import Row
from torture.stack import Stack
from torture.windows import WindowedWorkload

KINDS = ("target", "source", "target", "source", "both")  # of five cycles of a night, whichever part they are in
SHORT_KINDS = ("target", "source", "both")
# Killed while it writes its index to the disk, Chroma leaves a file of no bytes and cannot read the collection any more.
DAMAGED_BY_A_KILL = ("chroma",)
OUTAGE_SECONDS = 1.0
UNIT_SECONDS = 8.0
P99_MORE = 1.05      # by so much may the application's p99 be higher with the target down
SURE = 0.001         # the chance of seeing so much by noise alone; only below it the p99 counts as higher
AWAY = ("unreachable", "hangs")  # in turn; killed is unreachable to who looks from outside
WINDOW_SECONDS = 1.2
ROUND_SECONDS = 5.0  # two windows, and until the target has all
ROUNDS_MIN = 12      # of each way; fewer could not show that anything is surely higher. A night: one for each eight cycles


def run(context, budget, seed):
    result = ROW.result(budget, seed)
    chance = random.Random(seed)
    with Stack(context, ROW.name, seed, workload_class=WindowedWorkload) as stack:
        stack.begin()
        workload = stack.workload
        recoveries, cycles = [], collections.Counter()
        kinds, first = (SHORT_KINDS, 0) if budget.short else (KINDS, earlier(ROW.night[0], *budget.part))
        ways = AWAY[:1] if budget.short else AWAY
        rounds = len(ways) * (ROUNDS_MIN if budget.short else max(ROUNDS_MIN, budget.count // 8))
        while budget.goes_on(result.done, UNIT_SECONDS + rounds * ROUND_SECONDS) and not result.anomaly_count:
            kind = kinds[(first + result.done) % len(kinds)]
            rest()
            outage(stack, kind, chance, result)
            back = now()
            try:
                workload.wait_for(writes=5, reads=5, timeout=60, fail_fast=False)
                up_to_date(stack)
            except AssertionError as error:
                result.anomaly(f"after {kind} was down: {error}")
            recoveries.append(now() - back)
            cycles[kind] += 1
            result.done += 1
            if result.done % 25 == 0:
                stack.check_sides(result, f"after {result.done} cycles")
        if not result.anomaly_count:
            compare(stack, ways, rounds, result)  # what the outages left unknown falls due meanwhile
        for text in workload.unexplained():
            result.anomaly(text)
        stack.check_whole(result)
        for kind in kinds:
            result.figure_again(f"cycles of {kind} down", cycles[kind], adds=True)
        judge_cycles(result, kinds)
        result.figure("working, and the target up to date, after", max(recoveries, default=float("nan")), "s",
                      at_most=budget.limit(10.0, short=90.0))
    return result


def compare(stack, ways, rounds: int, result) -> None:
    """The application's p99 with the target up and down, in turn, so that what else the machine does falls on both.

    Not killed: a server's start takes processor from the source, and that is no fault of ours. With the target up nothing is
    left to catch up with: the usual side is at its best.
    """
    windows = []  # (way, down, usual); judged at the end: what began in one may end after it
    for number in range(rounds):
        way = ways[number % len(ways)]
        usual = window()
        go_away(stack.pgvector, stack.to_target, way)
        windows.append((way, window(), usual))
        come_back(stack.pgvector, stack.to_target, way)
        result.fault(f"target {way}")
        try:
            up_to_date(stack)
        except AssertionError as error:
            result.anomaly(f"after a round of the comparison: {error}")
            break
    for way, down, usual in windows:
        for kind in ("write", "read"):
            pair = [p99(stack.workload, kind, *each) for each in (down, usual)]
            if any(map(math.isnan, pair)):
                result.anomaly(f"the application began no {kind} for {WINDOW_SECONDS} s, target {way}: p99 down and up {pair}")
            else:
                result.pairs.setdefault(f"{kind}s, target {way}", []).append(pair)
    judge_p99(result)


def judge(result) -> None:
    """Of the parts of a night together."""
    judge_p99(result)
    judge_cycles(result, KINDS)


def judge_p99(result) -> None:
    """Of all rounds there are: those of a whole night tell a smaller difference from noise than those of a part."""
    for what, rounds in result.pairs.items():
        these, those = zip(*rounds) if rounds else ((), ())
        ratio, by_noise = more_than(these, those, P99_MORE, result.seed)
        result.figure_again(f"p99 of {what} by up", ratio, "x")
        result.figure_again(f"chance that p99 of {what} is at most {P99_MORE} x", by_noise, at_least=SURE)


def judge_cycles(result, kinds) -> None:
    """Each kind has its share of the cycles: the 200, 200 and 100 of a night."""
    for figure in result.figures:
        for kind in set(kinds):
            if figure.name == f"cycles of {kind} down":
                figure.at_least = result.asked * kinds.count(kind) // len(kinds)


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
