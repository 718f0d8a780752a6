"""Network faults: 3 links x 2 directions x 8 kinds x 4 moments, each cell with the fault on and then gone."""

import itertools
import random
import threading

from chaos import drive
from torture.row import NotRun, Row
from torture.stack import AFTER_READY, Stack
from torture.windows import WindowedWorkload

LINKS = ("client", "source", "target")
DIRECTIONS = ("to_upstream", "to_client")
KINDS = ("latency", "jitter", "bandwidth", "blackhole", "reset", "half-close", "cut", "slow read")
MOMENTS = ("before start", "live", "copy", "cutover")
FAULT_SECONDS = 1.5
UNIT_SECONDS = 12.0
CELLS = [*itertools.product(MOMENTS, LINKS, DIRECTIONS, KINDS)]


def run(context, budget, seed):
    try:
        from faultproxy import FaultProxy
    except ImportError:
        raise NotRun("tests/faultproxy (support_py/faultproxy.py), which is not in this tree") from None
    context.program("faultproxy")
    result = ROW.result(budget, seed)
    for cell in cells(budget, seed):
        if not budget.goes_on(result.done, UNIT_SECONDS) or result.anomaly_count:
            break
        pass
    return result


def cells(budget, seed) -> list:
    """This part's cells; the short form takes some of every moment and link."""
    if budget.short:
        chosen = CELLS[:]
        random.Random(seed).shuffle(chosen)
        return chosen[:budget.count]
    index, parts = budget.part
    return CELLS[index - 1::parts]


ROW = Row("network_cells", "network faults on each link, in each direction, at four moments", "cells", (12, 150),
          (len(CELLS), 2400), run)
