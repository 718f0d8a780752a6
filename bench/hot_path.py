"""The path of a request: pass-through, gRPC, dual write, each in rounds in which every proxy has its turn."""

import statistics
import time

import load
import stage

BODIES = {"8 KB": 1, "1 MB": 128}  # records in a request


def median(values) -> float:
    return statistics.median(values)


class Rounds:
    """{proxy: [Run, ...]} of one setting; round i of each ran within the same few seconds."""

    def __init__(self, setting: str, connections: int):
        self.setting, self.connections = setting, connections
        self.runs = {}

    def add(self, name: str, run: load.Run) -> None:
        self.runs.setdefault(name, []).append(run)

    def median(self, name: str, value) -> float:
        return median([value(run) for run in self.runs[name]])

    def rate(self, name: str) -> float:
        return self.median(name, lambda run: run.rate)

    def ratio(self, name: str, *others: str) -> float:
        """Median over the rounds of this one's rate by the best of the others'."""
        return median([run.rate / max(self.runs[other][i].rate for other in others)
                       for i, run in enumerate(self.runs[name])])

    def cpu_ratio(self, name: str, *others: str) -> float:
        """The least CPU that one of the others needs for a request, by this one's: above 1, this one is cheaper."""
        return median([min(self.runs[other][i].proxy_cpu_us for other in others) / run.proxy_cpu_us
                       for i, run in enumerate(self.runs[name])])

    def added_us(self, name: str, percentile: str = "p50", direct: str = "direct") -> float:
        return median([getattr(run, percentile) - getattr(self.runs[direct][i], percentile)
                       for i, run in enumerate(self.runs[name])])

    def table(self) -> list:
        rows = []
        for name, runs in self.runs.items():
            row = {"setting": self.setting, "connections": self.connections, "proxy": name, "rate": self.rate(name),
                   "p50": self.median(name, lambda run: run.p50), "p99": self.median(name, lambda run: run.p99),
                   "cpu_us": self.median(name, lambda run: run.proxy_cpu_us),
                   "proxy_core": self.median(name, lambda run: run.proxy_core),
                   "load_core": self.median(name, lambda run: run.load_core),
                   "bad": sum(run.bad for run in runs)}
            if name != "direct" and "direct" in self.runs:
                row["added_p50"], row["added_p99"] = self.added_us(name), self.added_us(name, "p99")
            rows.append(row)
        return rows


def rounds_of(setting: str, connections: int, variants: dict, count: int, progress) -> Rounds:
    """`variants`: {name: a function that measures once}. The order turns, so that none always follows the same."""
    rounds = Rounds(setting, connections)
    names = list(variants)
    for i in range(count):
        turn = i % len(names)
        for name in names[turn:] + names[:turn]:
            rounds.add(name, variants[name]())
        progress(f"{setting}, {connections} connections: round {i + 1} of {count}: " +
                 ", ".join(f"{name} {rounds.runs[name][-1].rate:,.0f}/s" for name in names))
    return rounds


def pass_through(settings, count: int, seconds: float, progress) -> list:
    """`settings`: [(body, connections)]."""
    with stage.Stage() as s:
        backend = s.backend("backend", "bench", 384, "forget")
        proxies = {"nginx": s.nginx_pass(backend), "HAProxy": s.haproxy(backend)}
        # In its way, not armed: created, and nothing is captured yet.
        vmproxy = s.vmproxy("pass", backend, s.backend("sink"))
        proxies["vmproxy"] = (vmproxy.port, vmproxy.process.pid)
        found = []
        for body, connections in settings:
            records = BODIES[body]

            def measured(port, pid, c=connections, r=records):
                return lambda: load.measure(pid, lambda: load.upserts(port, c, seconds, 1, r))
            variants = {"direct": measured(backend, 0)}
            variants.update({name: measured(port, pid) for name, (port, pid) in proxies.items()})
            found.append(rounds_of(f"HTTP/1.1 {body}", connections, variants, count, progress))
        return found


def grpc(settings, count: int, seconds: float, progress) -> list:
    with stage.Stage() as s:
        backend = s.grpc_backend()
        proxies = {"nginx grpc_pass": s.nginx_grpc(backend), "HAProxy": s.haproxy(backend, http2=True),
                   "vmproxy net/": s.grpc_pass_through(backend)}
        served = s.vmproxy_grpc(backend)
        if served:
            proxies["vmproxy"] = (served.port, served.process.pid)
        found = []
        for body, connections in settings:
            size = {"8 KB": 8192, "1 MB": 1 << 20}[body]

            def measured(port, pid, c=connections, n=size):
                return lambda: load.measure(pid, lambda: load.grpc_inserts(port, c, seconds, n))
            variants = {"direct": measured(backend, 0)}
            variants.update({name: measured(port, pid) for name, (port, pid) in proxies.items()})
            found.append(rounds_of(f"gRPC {body}", connections, variants, count, progress))
        return found


class DualWriter:
    """vmproxy with its mirror armed. A round counts until the replica has everything."""

    def __init__(self, s: stage.Stage, name: str, source: int, durability: str):
        self.sink = s.backend(f"sink_{name}")
        self.vmproxy = s.vmproxy(name, source, self.sink, durability)
        self.vmproxy.command("start")
        self.fsyncs = []
        self.coalesced = 0

    def owed(self) -> int:
        found = self.vmproxy.get_json("/api/v1/status")
        while not (isinstance(found, dict) and "lag" in found):
            found = found.get("migrations", found) if isinstance(found, dict) else found[0]
            if isinstance(found, dict) and "lag" not in found and len(found) == 1:
                found = next(iter(found.values()))
        return found["lag"]["changes"] + found["dirty"]

    def syncs(self):
        metrics = self.vmproxy.metrics()
        return {float(dict(series)["le"]): n for series, n in metrics.get("journal_sync_seconds_bucket", {}).items()}

    def measure(self, connections: int, seconds: float, keys: int, records: int) -> load.Run:
        before, applied = self.syncs(), self.vmproxy.metric("mirror_applied_total")
        cpu = stage.cpu_seconds(self.vmproxy.process.pid)
        run = load.measure(self.vmproxy.process.pid, lambda: load.upserts(self.vmproxy.port, connections, seconds, keys, records))
        deadline = time.monotonic() + 120
        while self.owed() > 0:
            if time.monotonic() > deadline:
                raise RuntimeError(f"the replica did not catch up: {self.vmproxy.status()}")
            time.sleep(0.005)
        run.seconds += time.monotonic() - run.ended
        run.proxy_cpu_us = (stage.cpu_seconds(self.vmproxy.process.pid) - cpu) * 1e6 / max(run.requests, 1)
        self.coalesced += run.requests * records - (self.vmproxy.metric("mirror_applied_total") - applied)
        self.fsyncs.append(median_of_buckets(before, self.syncs()))
        return run

    def check(self, source: int) -> None:
        here, there = stage.http_get(source, "/bench/records"), stage.http_get(self.sink, "/bench/records")
        if here < there or there == 0:
            raise RuntimeError(f"the source has {here} records, the replica of {self.vmproxy.directory.name} {there}")


def median_of_buckets(before: dict, after: dict) -> float:
    """Milliseconds, interpolated within the bucket. Not a number when nothing was synced."""
    bounds = sorted(after)
    counts = [after[b] - before.get(b, 0) for b in bounds]
    if not counts or counts[-1] == 0:
        return float("nan")
    half, low, below = counts[-1] / 2, 0.0, 0.0
    for bound, count in zip(bounds, counts):
        if count >= half:
            return (low + (bound - low) * (half - below) / max(count - below, 1)) * 1e3
        low, below = bound, count
    return float("nan")


def dual_write(settings, count: int, seconds: float, progress):
    """Returns the rounds, and facts: {(setting, connections): {"fsync_ms", "disk_ms"}}."""
    with stage.Stage() as s:
        source = s.backend("source", "bench", 384)
        mirror_port, mirror_pid = s.nginx_mirror(source, s.backend("sink_nginx", "bench", 384))
        writers = {"vmproxy fsync": DualWriter(s, "fsync", source, "fsync"), "vmproxy os": DualWriter(s, "os", source, "os")}
        found, facts = [], {}
        for body, connections in settings:
            records = BODIES[body]
            keys = 16384 if records == 1 else 128
            # The source alone, in half the time: what the others add to it is all that it is measured for.
            variants = {"direct": lambda c=connections, k=keys, r=records: load.measure(
                            0, lambda: load.upserts(source, c, seconds / 2, k, r)),
                        "nginx mirror": lambda c=connections, k=keys, r=records: load.measure(
                            mirror_pid, lambda: load.upserts(mirror_port, c, seconds, k, r))}
            for name, writer in writers.items():
                variants[name] = lambda w=writer, c=connections, k=keys, r=records: w.measure(c, seconds, k, r)
            disk = stage.fsync_median_ms(s.directory)
            setting = f"dual write {body}"
            for writer in writers.values():
                writer.fsyncs.clear()
                writer.coalesced = 0
            rounds = rounds_of(setting, connections, variants, count, progress)
            fsync = writers["vmproxy fsync"]
            facts[(setting, connections)] = {
                "fsync_ms": median(fsync.fsyncs), "disk_ms": disk,
                "coalesced": {name: max(0.0, writer.coalesced) for name, writer in writers.items()}}
            progress(f"{setting}, {connections} connections: fsync of a group {facts[(setting, connections)]['fsync_ms']:.2f} ms, "
                     f"of 8 KB alone {disk:.2f} ms (medians); writes that were merged while they waited: "
                     + ", ".join(f"{name} {n:,.0f}" for name, n in facts[(setting, connections)]["coalesced"].items()))
            found.append(rounds)
        for writer in writers.values():
            writer.check(source)
        return found, facts
