"""Load generators and what they say, as one shape: requests, seconds, errors, p50 and p99 in microseconds."""

import dataclasses
import json
import pathlib
import re
import subprocess
import tempfile
import time

from stage import BIN, COLLECTION, LOAD_CORES, busy_by_core, cpu_seconds, PROXY_CORE

HERE = pathlib.Path(__file__).resolve().parent


@dataclasses.dataclass
class Run:
    requests: int
    seconds: float
    bad: int
    p50: float
    p99: float
    proxy_cpu_us: float = 0.0    # CPU microseconds of the proxy for a request
    proxy_core: float = 0.0      # how busy the proxies' core was, with whatever else ran there
    load_core: float = 0.0
    ended: float = 0.0           # time.monotonic() when the last answer was there

    @property
    def rate(self) -> float:
        return self.requests / self.seconds


def measure(pid: int, run) -> Run:
    cpu, cores = cpu_seconds(pid) if pid else 0.0, busy_by_core()
    result = run()
    after = busy_by_core()
    if pid:
        result.proxy_cpu_us = (cpu_seconds(pid) - cpu) * 1e6 / max(result.requests, 1)

    def busy(core):
        return (after[core][0] - cores[core][0]) / max(after[core][1] - cores[core][1], 1)
    if result.load_core == 0:  # the generator does not say it of the time in which it sent
        result.proxy_core, result.load_core = busy(PROXY_CORE), max(busy(core) for core in LOAD_CORES)
    return result


def _output(command) -> str:
    cores = ",".join(map(str, LOAD_CORES))
    done = subprocess.run(["taskset", "-c", cores, *map(str, command)], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{command[0]}: {done.stdout[-500:]}{done.stderr[-500:]}")
    return done.stdout


def upserts(port: int, connections: int, seconds: float, keys: int, records: int, size: str = "usual", first: int = 0) -> Run:
    """`keys` requests in turn, of `records` records each: load.cpp. One key: the same request again and again, which is
    enough for passing through, where what is in it does not matter."""
    text = _output([BIN / "bench_load", port, connections, f"{seconds:g}", COLLECTION + "/upsert", keys, records, size, first])
    said = json.loads(re.search(r"JSON (\{.*\})", text).group(1))
    cores = dict(enumerate(said["cores"]))
    return Run(said["requests"], said["seconds"], said["bad"], said["p50"], said["p99"], ended=time.monotonic(),
               proxy_core=cores[PROXY_CORE], load_core=1 - said["spare"])


def grpc_inserts(port: int, connections: int, seconds: float, size: int) -> Run:
    """Unary calls with a message of `size` bytes, one at a time on each connection."""
    with tempfile.NamedTemporaryFile() as body, tempfile.NamedTemporaryFile() as log:
        message = bytes(index * 31 % 251 for index in range(size))
        body.write(b"\0" + len(message).to_bytes(4, "big") + message)
        body.flush()
        text = _output(["h2load", "-t1", f"-c{connections}", "-m1", "-D", max(1, round(seconds)), "-d", body.name, "--log-file", log.name,
                        "-H", "content-type: application/grpc", "-H", "te: trailers",
                        f"http://127.0.0.1:{port}/milvus.proto.milvus.MilvusService/Insert"])
        ended = time.monotonic()
        times = sorted(int(line.split()[2]) for line in open(log.name, encoding="ascii"))
    total, ok = (int(n) for n in re.search(r"requests: (\d+) total.* (\d+) succeeded", text).groups())
    rate = float(re.search(r"finished in [^,]+, ([\d.]+) req/s", text).group(1))
    bad = int(re.search(r"(\d+) failed", text).group(1)) + int(re.search(r"(\d+) errored", text).group(1))

    def percentile(q):
        return float(times[min(len(times) - 1, int(q * len(times)))]) if times else 0.0
    return Run(ok, ok / rate if rate else seconds, bad, percentile(0.5), percentile(0.99), ended=ended)
