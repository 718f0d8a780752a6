"""kill -9 at random moments, 500 records a second, while a migration goes to and fro: one unbroken history."""

import time

from chaos import Killer, drive
from torture.row import STACKS, Row
from torture.stack import Stack

RECORDS_PER_SECOND = 500.0
# Chroma takes some 15 to 40 write requests a second on two cores, whoever asks and however many do: one writer, a transaction
# each. So the load is in the records of a request, 1 to BATCH, a third of that on average; and they are lean.
REQUESTS_PER_SECOND = 25.0
BATCH = 80
SPARED = 6  # one of so many kills


def run(context, budget, seed):
    result = ROW.result(budget, seed)
    with Stack(context, ROW.name, seed, records=4000, writes=REQUESTS_PER_SECOND, tolerate=True,
               batch=BATCH, lean=True, readers=2, pause=0.05, direct=True, watched=("client", "source")) as stack:
        stack.begin()
        records, began = stack.workload.counts["records"], time.monotonic()
        killer = Killer(stack.vmproxy, seed, budget.count, least=0.3, most=3.0, spared=SPARED).start()
        rounds = 0
        try:
            while not killer.done and killer.error is None and budget.left() > 60:
                rounds += stack.go_round(lambda: killer.done or budget.left() < 60)
        except AssertionError as error:
            result.anomaly(f"the migration did not go on: {error}")
        finally:
            killer.cancel()
        up = time.monotonic() - began - sum(until - since for since, until in killer.down)
        rate = (stack.workload.counts["records"] - records) / max(1.0, up)
        if killer.error:
            result.anomaly(f"after kill {len(killer.down)}: {killer.error}")
        else:
            stack.workload.wait_for(writes=20, reads=20, fail_fast=False)
            drive(stack.vmproxy, lambda s: s["primary"] == "source", "rollback", "--reason", "the end")
        for entry in killer.outside(stack.workload.tolerated):
            result.anomaly(f"a request failed while vmproxy lived: {entry}")
        stack.check_whole(result)
        result.done = result.kills = len(killer.down)
        result.fault("kill -9 of vmproxy", result.kills)
        result.figure("serving again after", max(killer.recoveries, default=float("nan")), "s",
                      at_most=budget.limit(2.0, short=5.0))
        # Below its load a night shows little; the short form shares its machine with other rows.
        limit = {} if budget.short else {"at_least": RECORDS_PER_SECOND * 0.9}
        result.figure("records acknowledged while up", rate, "/s", **limit)
        # Kills that all meet one state show little.
        result.figure("whole rounds of the migration", rounds, adds=True, **({} if budget.short else {"at_least": 5}))
    return result


ROW = Row("random_kills", "kill -9 of vmproxy at random moments under 500 records/s", "kills", (10, 240), (300, 1350), run,
          whole=True, lane=STACKS)
