"""Network faults: 3 links x 2 directions x 9 kinds x 4 moments, each cell with the fault on and then gone."""

import itertools
import random
import threading
import time

from chaos import close_gaps, drive
from torture.row import STACKS, NotRun, Row
from torture.stack import Stack
from torture.windows import WindowedWorkload
from vmproxy import CommandError

LINKS = ("client", "source", "target")
DIRECTIONS = ("to_upstream", "to_client")
# kind: (what is set, an act at once instead)
KINDS = {
    "latency": {"latency_ms": 150},
    "jitter": {"latency_ms": 20, "jitter_ms": 200},
    "bandwidth": {"bytes_per_second": 20_000},
    "blackhole": {"blackhole": True},
    "slow read": {"read_bytes": 512, "read_pause_ms": 5},
    "cut": {"cut_after": 3000, "cut": "reset"},
    "reset": "reset",
    "half-close": "half_close",
    # After a reset: of each connection that comes then a second one says the beginning again, and no more. (All of a request
    # would be a write of nobody's, executed when the application has long written something else.)
    "duplicate connect": "duplicate",
}
DUPLICATE = {"after_ms": 50, "bytes": 60}
MOMENTS = ("before start", "copy", "live", "cutover")
FAULT_SECONDS = 1.5
FAULT_SECONDS_MAX = 10.0  # until the fault has met somebody
UNIT_SECONDS = 15.0
CELLS = [*itertools.product(MOMENTS, LINKS, DIRECTIONS, KINDS)]


def run(context, budget, seed):
    try:
        from faultproxy import FaultProxy
    except ImportError:
        raise NotRun("tests/faultproxy (tests/support_py/faultproxy.py), which is not in this tree") from None
    context.program("faultproxy")
    result = ROW.result(budget, seed)
    missed, promoted = [], []
    # A barrier of the usual 2 s would be over when the fault is: of the moment "copy" no copy would have met it.
    settings = {"backfill": {"settle": "100ms"}}
    with Stack(context, ROW.name, seed, workload_class=WindowedWorkload, links=FaultProxy, settings=settings) as stack:
        stack.begin(ready=False)
        for cell in cells(budget, seed):
            if not budget.goes_on(result.done, UNIT_SECONDS) or result.anomaly_count:
                break
            try:
                if not one(stack, cell, promoted):
                    missed.append(", ".join(cell))
            except AssertionError as error:
                result.anomaly(f"{', '.join(cell)}: {error}")
            result.fault(f"{cell[1]} link: {cell[3]}")
            result.done += 1
        drive(stack.vmproxy, lambda status: status["primary"] == "source", "rollback", "--reason", "the end")
        stack.to_ready()
        for text in stack.workload.unexplained():
            result.anomaly(text)
        stack.check_whole(result)
    # A fault may keep the primary from being changed; if it always did, the moment would show nothing.
    result.figure("promotions that went through during a fault", len(promoted), adds=True, **({} if budget.short else {"at_least": 1}))
    if missed:
        result.unfinished.append(f"{len(missed)} faults met nobody: {'; '.join(missed[:3])}")
    return result


def cells(budget, seed) -> list:
    """This part's cells, in the order of the moments; the short form takes some of each."""
    chance = random.Random(seed)
    if not budget.short:
        index, parts = budget.part
        # Not every N-th as they stand: one part would have all the cells of one kind.
        mine = random.Random(parts).sample(CELLS, len(CELLS))[index - 1::parts]
        chosen = set(chance.sample(mine, min(len(mine), budget.count)))
        return [cell for cell in CELLS if cell in chosen]
    each = max(1, budget.count // len(MOMENTS))
    return [cell for moment in MOMENTS
            for cell in chance.sample([cell for cell in CELLS if cell[0] == moment], each)]


def one(stack, cell, promoted: list) -> bool:
    """Whether the fault met somebody. `promoted` gets an entry for each promotion that went through."""
    moment, link, direction, kind = cell
    if moment in ("live", "cutover"):
        stack.to_ready()
    if moment == "cutover" and stack.status()["gaps"]:
        # What earlier cells made uncertain; with a gap open no change of the primary would even begin.
        close_gaps(stack.vmproxy)
    # A broken link to the target is nothing to the application while the source is the primary. One to the primary is an error
    # of the source's own kind, and an answer that breaks in its midst breaks for the application as well.
    felt = link != "target" or moment == "cutover"
    if felt:
        stack.workload.open_window(", ".join(cell), own_errors=link != "client", lost_connections=True)
    over = threading.Event()
    act = during(stack, moment, over, promoted)
    try:
        met = meet(stack.proxy, link, direction, kind)
    finally:
        over.set()
        stack.proxy.clear(link)
    act.join(180)
    assert not act.is_alive(), f"the {moment} did not end within three minutes of the fault's end"
    stack.workload.wait_for(writes=5, reads=5, timeout=60, fail_fast=False)
    if felt:
        stack.workload.close_window()
    settle(stack, moment)
    return met


def meet(proxy, link: str, direction: str, kind: str) -> bool:
    how = lasting if isinstance(KINDS[kind], dict) or kind == "duplicate connect" else sudden
    return how(proxy, link, direction, kind)


def strike(proxy, link: str, direction: str, kind: str) -> None:
    """Whoever calls clears the link of it."""
    if isinstance(KINDS[kind], dict):
        proxy.set(link, direction, **KINDS[kind])
    elif kind == "half-close":
        proxy.half_close(link, direction)
    else:
        if kind == "duplicate connect":
            proxy.duplicate(link, **DUPLICATE)
        proxy.reset(link, direction)


def lasting(proxy, link: str, direction: str, kind: str) -> bool:
    """For its length, and longer until it has met somebody."""
    before = proxy.counts(link)
    strike(proxy, link, direction, kind)
    began = time.monotonic()
    threading.Event().wait(FAULT_SECONDS)  # the length of the fault
    while not has_met(kind, direction, before, proxy.counts(link)):
        if time.monotonic() > began + FAULT_SECONDS_MAX:
            return False
        threading.Event().wait(0.2)  # for whoever comes that way
    return True


def sudden(proxy, link: str, direction: str, kind: str) -> bool:
    """Once, to the connections that there are; where none stays open, again until it has met one."""
    began = time.monotonic()
    while time.monotonic() < began + FAULT_SECONDS_MAX:
        before = proxy.counts(link)
        strike(proxy, link, direction, kind)
        if has_met(kind, direction, before, proxy.counts(link)):
            threading.Event().wait(FAULT_SECONDS)  # in which its consequences come
            return True
        threading.Event().wait(0.01)  # for whoever comes that way
    return False


def has_met(kind: str, direction: str, before: dict, after: dict) -> bool:
    """By the fault proxy's counts of the link, when the fault came and now."""
    if kind in ("cut", "reset"):
        return after[kind] > before[kind]
    if kind == "duplicate connect":
        return after["duplicated"] > before["duplicated"]
    if kind in ("half-close", "blackhole"):  # nothing more need arrive
        return before["open"] > 0 or (kind == "blackhole" and after["accepted"] > before["accepted"])
    return after[direction]["arrived_bytes"] > before[direction]["arrived_bytes"]


def during(stack, moment: str, over: threading.Event, promoted: list) -> threading.Thread:
    """What is under way when the fault comes, until it is over. Its refusal or failure is the operator's to see; settle() asks again."""
    def order(*words) -> bool:
        try:
            stack.vmproxy.command(*words, timeout=170)
            return True
        except CommandError:
            return False

    def checks():
        while not over.is_set():
            order("check")

    def cutover():
        order("cutover", "--percent", "100")
        if order("promote", "--force", "reads"):
            promoted.append(moment)
        order("rollback", "--reason", "torture")
    work = {"before start": checks, "live": lambda: None, "copy": lambda: order("start"), "cutover": cutover}
    thread = threading.Thread(target=work[moment], daemon=True)
    thread.start()
    return thread


def settle(stack, moment: str) -> None:
    """Where the next cell of this moment can begin: nobody had to mend anything by hand."""
    vmproxy = stack.vmproxy
    if moment == "before start":
        return
    drive(vmproxy, lambda status: status["primary"] == "source", "rollback", "--reason", "torture", timeout=120)
    stack.to_ready()
    if moment == "copy":
        vmproxy.command("abandon")
    else:
        vmproxy.wait(lambda status: status["state"] in ("ready", "canary", "reads_moved"), 120, "ready again")
        # What stayed unknown is owed for a minute longer by rule (H37); the end waits for it.
        vmproxy.wait(lambda status: status["lag"]["changes"] == 0, 120, "the target to have all that is known")


ROW = Row("network_cells", "network faults on each link, in each direction, at four moments", "cells", (12, 240),
          (len(CELLS), 900), run, lane=STACKS)
