"""10,000 connections that stand there beside 500 that work: what each costs, and what the working ones notice."""

import json
import resource
import subprocess
import sys

from torture.memory import resident_mb
from torture.row import NotRun, Row
from torture.stack import Stack

IDLE, ACTIVE, FEW = 10_000, 500, 100
RATE, SECONDS = 400.0, 10.0
PATH = "/api/v2/heartbeat"
FILES = 16_000
ROUNDS = 3  # with and without the idle ones, in turn


def run(context, budget, seed):
    result = ROW.result(budget, seed)
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    if before[1] != resource.RLIM_INFINITY and before[1] < FILES:
        raise NotRun(f"{FILES} open files for a process (ulimit -Hn says {before[1]})")
    # vmproxy and the loads inherit it.
    resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, before[1]))
    try:
        with Stack(context, ROW.name, seed, direct=True) as stack:
            stack.vmproxy.start()
            pid = stack.vmproxy.process.pid
            alone, crowded = [], []
            for number in range(ROUNDS):
                alone.append(measured(stack.vmproxy.port, 0, FEW))
                low = resident_mb(pid)
                with Load(stack.vmproxy.port, budget.count, ACTIVE) as load:
                    if number == 0:  # later what was given back is used again
                        result.figure("memory of an idle connection", (resident_mb(pid) - low) * 1024 / max(1, load.standing), "KB",
                                      at_most=32)
                    crowded.append(load.go())
                    closed = load.end()["closed_by_server"]
                if closed:
                    result.anomaly(f"{closed} idle connections were closed within {SECONDS:.0f} s")
                result.done = max(result.done, load.standing)
            for name, said in (*(("alone", each) for each in alone), *(("crowded", each) for each in crowded)):
                if said["failed"]:
                    result.anomaly(f"{name}: {said['failed']} of {said['requests'] + said['failed']} requests failed")
            result.add_load({"requests beside idle connections": sum(each["requests"] for each in crowded)})
            # What else the machine does only adds to a round.
            quick, beside = (min(each["p99"] for each in rounds) for rounds in (alone, crowded))
            result.figure(f"p99 of {FEW} connections, {RATE:.0f} requests/s", quick * 1e3, "ms")
            result.figure(f"p99 of {ACTIVE} beside the idle ones", beside * 1e3, "ms")
            result.figure("p99 by that of 100 connections", beside / quick, "x", at_most=1.5)
            stack.good()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    return result


class Load:
    def __init__(self, port: int, idle: int, active: int):
        self._process = subprocess.Popen(
            [sys.executable, "-m", "torture.idle_load", str(port), str(idle), str(active), str(RATE), str(SECONDS), PATH],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        line = self._process.stdout.readline()
        if not line.startswith("idle "):
            self._process.kill()
            raise AssertionError("the idle connections could not be made")
        self.standing = int(line.split()[1])

    def go(self) -> dict:
        return self._ask()

    def end(self) -> dict:
        return self._ask()

    def _ask(self) -> dict:
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def __enter__(self) -> "Load":
        return self

    def __exit__(self, *_) -> None:
        self._process.kill()
        self._process.wait()


def measured(port: int, idle: int, active: int) -> dict:
    with Load(port, idle, active) as load:
        return load.go()


ROW = Row("idle_connections", "10,000 idle connections and 500 that work", "idle connections", None, (IDLE, 120), run, whole=True, fixed=True)
