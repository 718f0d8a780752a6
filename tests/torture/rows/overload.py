"""A replica that takes a tenth of what arrives: memory stands still, the application notices nothing."""

import threading

from torture.memory import Memory
from torture.row import STACKS, Row
from torture.slow_relay import SlowRelay
from torture.stack import Stack

MEASURED_SECONDS = 8.0   # of the way to the replica, to know what a tenth of it is
SLOPE_MAX = 1.0          # MB a minute
SLOPE_SECONDS_MIN = 240  # over less a slope says little; then the growth is bounded
GROWTH_MAX = 24.0        # MB
# Nearly each record has its change waiting after so long. The journal's memtable goes up and down by 15 MB in 5 minutes: what is
# measured has to be several of those (decision 26).
FILLED_AFTER = 0.3       # of the time
RECORDS_NIGHT = 40_000


def run(context, budget, seed):
    result = ROW.result(budget, seed)
    # Of few records one change waits for each, whatever comes; in a night most writes are of a record that none waits for.
    records = 4000 if budget.short else RECORDS_NIGHT
    with Stack(context, ROW.name, seed, records=records, writes=112.0, target_relay=SlowRelay) as stack:
        stack.begin()
        stack.vmproxy.wait_drained()
        before = stack.to_target.passed
        wait(MEASURED_SECONDS)
        arrival = (stack.to_target.passed - before) / MEASURED_SECONDS
        stack.to_target.rate = arrival / 10
        result.fault("replica at a tenth of the arrival rate")
        seconds = min(budget.count, max(10.0, budget.left() - 60))
        memory = Memory(stack.vmproxy.process.pid)
        for _ in range(int(seconds)):
            wait(1.0)
            memory.sample()
            if stack.workload.errors or stack.workload.violations:
                break
            result.done += 1
        lag = stack.status()["lag"]["changes"]
        if lag == 0:
            result.anomaly(f"the replica was not behind: {arrival:.0f} B/s arrived, {arrival / 10:.0f} were let through")
        (context.logs / f"{ROW.name}.memory.csv").write_text(memory.to_csv())
        stack.to_target.rate = 0
        stack.check_whole(result)
        result.figure("bytes/s to the replica before", arrival, "B/s")
        result.figure("changes behind at the end", lag)
        result.figure("memory", memory.highest, "MB")
        if seconds >= SLOPE_SECONDS_MIN:
            result.figure("memory slope", memory.slope(skip=FILLED_AFTER), "MB/min", at_most=SLOPE_MAX)
        else:
            result.figure("memory grew after the first half", memory.growth(), "MB", at_most=GROWTH_MAX)
    return result


def wait(seconds: float) -> None:
    """The length of a measurement."""
    threading.Event().wait(seconds)


ROW = Row("overload", "the replica takes a tenth of the arrival rate", "seconds", (20, 150), (1320, 1500), run, whole=True,
          lane=STACKS)
