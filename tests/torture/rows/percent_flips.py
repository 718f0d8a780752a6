"""The share of reads changed, the primary promoted and taken back, again and again, while the application works."""

import random
import urllib.error

from history import now
from torture.row import Row
from torture.stack import Stack

PERCENTS = (0, 1, 10, 50, 100)
FLIPS_PER_ROUND = 31  # then there and back: 10,000 flips, 300 promotions and 300 rollbacks
PAUSE_MAX = 0.2
PAUSE_MAX_SHORT = 1.0  # the fence itself gives up after 2 s
REFUSALS_MAX = 400    # of one order, one after the other


def run(context, budget, seed):
    result = ROW.result(budget, seed)
    chance = random.Random(seed)
    promotions = refused = percent = 0
    pause = 0.0
    with Stack(context, ROW.name, seed, direct=True, watched=("client", "source")) as stack:
        stack.begin()
        began = now()
        while budget.goes_on(result.done, 10.0) and not (stack.workload.errors or stack.workload.violations):
            others = [other for other in PERCENTS if other != percent]
            # Before a promotion some read has to have been tried on the target: the last change leaves it the chance.
            percent = max(others) if (result.done + 1) % FLIPS_PER_ROUND == 0 else chance.choice(others)
            refused += ordered(stack, result, "cutover", percent=percent)
            result.done += 1
            if result.done % FLIPS_PER_ROUND:
                continue
            for action in ("promote", "rollback"):
                refused += ordered(stack, result, action, reason="torture")
                status = stack.status()
                wanted = "target" if action == "promote" else "source"
                if status["primary"] != wanted:
                    result.anomaly(f"after {action} the primary is {status['primary']}")
                pause = max(pause, status["last_pause_seconds"])
                result.fault("promotion" if action == "promote" else "rollback")
                stack.journey.go_on()
            promotions, percent = promotions + 1, 0
            stack.vmproxy.wait(lambda s: s["state"] == "ready", 120, "ready again after the rollback")
            if result.anomaly_count:
                break
        result.fault("change of percent", result.done)
        longest = stack.workload.latencies.longest(kind="write", since=began)
        stack.check_whole(result)
        result.figure("promotions and rollbacks", promotions, "of each", adds=True)
        if promotions < result.done // FLIPS_PER_ROUND:
            result.unfinished.append(f"{promotions} promotions and rollbacks")
        result.figure("longest pause of writes", pause * 1e3 if promotions else float("nan"), "ms",
                      at_most=budget.limit(PAUSE_MAX, short=PAUSE_MAX_SHORT) * 1e3)
        result.figure("longest write of the application", longest * 1e3, "ms")
        result.figure("orders that a gate refused and that were given again", refused, adds=True)
    return result


def ordered(stack, result, action: str, **body) -> int:
    """Given until it is taken; how often a gate (a target that is behind) refused it before."""
    for refusals in range(REFUSALS_MAX):
        try:
            stack.order(action, **body)
            return refusals
        except urllib.error.HTTPError as error:
            text = error.read().decode(errors="replace")
            if error.code not in (409, 503, 504):
                result.anomaly(f"{action} {body}: {error.code} {text[:1000]}")
                return refusals
            stack.workload.wait_for(writes=1, timeout=60)
    result.anomaly(f"{action} {body} was refused {REFUSALS_MAX} times; the last: {text[:1000]}")
    return REFUSALS_MAX


ROW = Row("percent_flips", "percent changes, promotions and rollbacks under load", "flips", (100, 150), (10_000, 900), run)
