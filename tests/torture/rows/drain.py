"""SIGTERM under load: what was begun is answered, and the process ends with 0; a second one ends it at once."""

import signal
import subprocess

from history import now
from torture.raw_clients import RawClients, RawHttp2Clients
from torture.row import Row
from torture.stack import Stack
from torture.windows import WindowedWorkload

UNIT_SECONDS = 4.0
RAW_CLIENTS = 8  # of each kind
SECOND_MAX = 2.0  # from the second SIGTERM to the end


def run(context, budget, seed):
    result = ROW.result(budget, seed)
    slowest = 0.0
    with Stack(context, ROW.name, seed, workload_class=WindowedWorkload, direct=True, watched=("source",)) as stack:
        stack.begin()
        workload, vmproxy = stack.workload, stack.vmproxy
        raws = [kind(vmproxy.port, RAW_CLIENTS, "/api/v2/heartbeat").start() for kind in (RawClients, RawHttp2Clients)]
        while budget.goes_on(result.done, UNIT_SECONDS):
            workload.wait_for(writes=10, reads=10, fail_fast=False)
            # A connection that nobody takes is a request that was not sent; what was sent must be answered.
            workload.open_window("vmproxy is stopped", lost_connections=True)
            began = now()
            code = vmproxy.stop(timeout=40)
            slowest = max(slowest, now() - began)
            if code != 0:
                result.anomaly(f"SIGTERM {result.done + 1}: exit code {code}\n{vmproxy.log_tail()}")
            vmproxy.start()
            workload.close_window()
            result.fault("SIGTERM")
            result.done += 1
        for raw in raws:
            raw.stop()
            if not raw.answered:
                result.anomaly(f"{type(raw).__name__} were never answered")
            for when, words in raw.failures:
                result.anomaly(f"a client without an SDK, at {when:.3f}: {words}")
        for entry in workload.tolerated:
            if not entry[3].startswith("ConnectError"):
                result.anomaly(f"a request that was sent had no answer: {entry}")
        for text in workload.unexplained():
            result.anomaly(text)
        unanswered = result.anomaly_count
        second = twice(stack, result)
        stack.check_whole(result)
        result.add_load({"requests of clients without an SDK, HTTP/1.1": raws[0].answered,
                         "requests of clients without an SDK, HTTP/2": raws[1].answered})
        result.figure("requests without an answer", unanswered, adds=True)
        result.figure("longest drain", slowest, "s")
        result.figure("end after the second SIGTERM", second, "s", at_most=SECOND_MAX)
    return result


def twice(stack, result) -> float:
    """With a request that hangs in the source, so that the first one waits."""
    stack.workload.open_window("stopped twice", own_errors=True, lost_connections=True)
    stack.chroma.suspend()
    stack.workload._stopping.wait(0.5)  # until requests hang in it
    process = stack.vmproxy.process
    try:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(1.0)
            result.anomaly("with requests under way the first SIGTERM did not wait for them")
        except subprocess.TimeoutExpired:
            pass
        began = now()
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            result.anomaly("a second SIGTERM did not end it within 30 s")
        took = now() - began
    finally:
        stack.vmproxy.kill9()
        stack.chroma.resume()
    stack.vmproxy.start()
    stack.workload.wait_for(writes=5, reads=5, fail_fast=False)
    stack.workload.close_window()
    result.fault("SIGTERM twice")
    return took


ROW = Row("drain", "drain on SIGTERM under load", "SIGTERMs", (5, 120), (200, 900), run)
