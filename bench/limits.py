"""Memory, the restart with a long backlog, and the pauses of promotion and rollback."""

import http.client
import json
import threading
import time
import urllib.request

import copying
import load
import report
import stage
from servers import create
from vmproxy import databases

HOST = stage.HOST
MILLION = False  # main.py --million


def rss_high(pid: int) -> float:
    return stage.memory_mb(pid, "VmHWM")


def measure_memory(quick: bool, figures, out, say) -> None:
    rows = []
    with stage.Stage() as s:
        vmproxy = s.vmproxy("idle", s.backend("source", "bench", 384), s.backend("sink"))
        time.sleep(1)
        idle = stage.memory_mb(vmproxy.process.pid)
        figures.at_most("memory: serving, idle", idle, 100, "MB")
        rows.append({"what": "serving, idle", "mb": idle})
        vmproxy.command("start")
        load.upserts(vmproxy.port, 64, 2 if quick else 5, 16384, 1)
        vmproxy.wait_drained()
        busy = rss_high(vmproxy.process.pid)
        rows.append({"what": "dual write of 8 KB, 64 connections: highest", "mb": busy})
        figures.at_most("memory: dual write of 8 KB, 64 connections", busy, 500, "MB")
    server = create("pgvector")
    with server:
        for count in ([20_000] if quick else [100_000] + [1_000_000] * MILLION):
            name = f"copied_{count}"
            copying.fill_pgvector(server, name, count, 128)
            say(f"memory: {count:,} x 128 are in the source")
            with server.client() as connection:
                connection.execute(f"create database copy_{count}")
            target = server.url.rsplit("/", 1)[0] + f"/copy_{count}"
            import psycopg
            with psycopg.connect(target, autocommit=True) as connection:
                connection.execute("create extension if not exists vector")
            with stage.Stage() as s:
                copy = copying.Copy(s.directory, "pgvector", server.url, "pgvector", target, name)
                with copying.Watch(vmproxy=copy.process.pid) as watch:
                    said = copy.wait()
            if said["records"] != count or said["compared"] < count:
                raise RuntimeError(f"{said['records']} records copied and {said['compared']} compared of {count}")
            figures.at_most(f"memory: copying {count:,} x 128", watch.peak["vmproxy"], 500, "MB",
                            f"copied at {count / copy.copying:,.0f}/s; all of it took {copy.took:.0f} s")
            rows.append({"what": f"copying, indexing and comparing {count:,} x 128, pgvector to pgvector: highest", "mb": watch.peak["vmproxy"]})
            with server.client() as connection:
                connection.execute(f"drop table {name}")
                connection.execute(f"drop database copy_{count}")
    out += ["## Memory of vmproxy", ""] + report.table(rows, [("what", "", ""), ("mb", "MB", ",.0f")]) + [""]


def measure_restart(quick: bool, figures, out, say) -> None:
    """100,000 changes of 1 KB that the replica has not seen; kill -9; how long until a request is served again."""
    wanted = 20_000 if quick else 100_000
    with stage.Stage() as s:
        source = s.backend("source", "bench", 32)
        sink_port = s.backend("sink")
        sink = s.processes[-1]
        vmproxy = s.vmproxy("restarted", source, sink_port, "fsync")
        vmproxy.command("start")
        sink.kill()
        sink.wait()
        written = 0
        for _ in range(30):
            # Each goes on where the last one stopped: other keys, so that no change stands for an earlier one.
            run = load.upserts(vmproxy.port, 64, 2 if quick else 4, 2 * wanted, 1, "small", written)
            if run.bad:
                raise RuntimeError(f"{run.bad} writes failed while the replica was away")
            written += run.requests
            if vmproxy.status()["lag"]["changes"] >= wanted:
                break
        owed = vmproxy.status()["lag"]["changes"]
        vmproxy.kill9()
        begun = time.monotonic()
        vmproxy.start()
        ready = time.monotonic() - begun
        vmproxy.kill9()
        # Once more, watched from the application's side: the first request that is answered.
        answered = None
        begun = time.monotonic()
        starter = threading.Thread(target=vmproxy.start)
        starter.start()
        while answered is None and time.monotonic() - begun < 60:
            try:
                stage.http_get(vmproxy.port, "/api/v2/version")
                answered = time.monotonic() - begun
            except OSError:
                time.sleep(0.005)
        starter.join()
        memory = stage.memory_mb(vmproxy.process.pid)
        figures.at_most(f"kill -9 with {owed:,} changes of 1 KB not applied: serving again after", (answered or 60) * 1e3, 2000, "ms",
                        f"ready after {ready * 1e3:.0f} ms, memory {memory:.0f} MB")
        # Nothing was lost: the replica comes back and gets it all.
        s.run("sink_again", [stage.BIN / "bench_backend", sink_port], stage.LOAD_CORES, sink_port)
        begun = time.monotonic()
        vmproxy.wait_drained(240)
        drained = time.monotonic() - begun
        here, there = stage.http_get(source, "/bench/records"), stage.http_get(sink_port, "/bench/records")
        if here != there:
            figures.failed("after the restart both sides hold the same number of records", f"{here} and {there}")
        out += ["## Restart", "", f"kill -9 with {owed:,} changes not applied: /readyz after {ready:.2f} s, first answer to the application after "
                f"{answered or 60:.2f} s; the replica, back again, had all {there:,} records {drained:.1f} s later.", ""]
        say(f"restart: {owed:,} owed, answered after {answered or 60:.2f} s, drained in {drained:.1f} s")


class Writers:
    """`rate` upserts a second, evenly, whatever the answers take: a slow answer does not slow the next request."""

    def __init__(self, port: int, path: str, rate: float, threads: int = 16):
        self.port, self.path, self.rate, self.threads = port, path, rate, threads
        self.stopped = threading.Event()
        self.lock = threading.Lock()
        self.next = 0
        self.done = []   # (due, ended, ok)
        self.vectors = ["[" + ",".join(map("{:.6f}".format, row)) + "]" for row in copying.vectors(64, 32).tolist()]

    def __enter__(self):
        self.begun = time.monotonic()
        self.running = [threading.Thread(target=self._run) for _ in range(self.threads)]
        for thread in self.running:
            thread.start()
        return self

    def _run(self):
        connection = http.client.HTTPConnection(HOST, self.port, timeout=30)
        while not self.stopped.is_set():
            with self.lock:
                number, self.next = self.next, self.next + 1
            due = self.begun + number / self.rate
            time.sleep(max(0.0, due - time.monotonic()))
            body = f'{{"ids":["w{number % 5000}"],"embeddings":[{self.vectors[number % 64]}],"metadatas":[{{"n":{number}}}],"documents":["d"]}}'
            begun = time.monotonic()
            try:
                connection.request("POST", self.path, body, {"Content-Type": "application/json"})
                answer = connection.getresponse()
                answer.read()
                ok = answer.status < 300
            except OSError:
                connection.close()
                ok = False
            with self.lock:
                self.done.append((begun, time.monotonic(), ok))

    def __exit__(self, *_):
        self.stopped.set()
        for thread in self.running:
            thread.join()

    def between(self, begin: float, end: float) -> list:
        with self.lock:
            return [entry for entry in self.done if entry[1] >= begin and entry[0] <= end]

    def longest_gap_ms(self, begin: float, end: float) -> float:
        """The longest time without any write's answer."""
        ends = sorted(ended for _, ended, ok in self.between(begin, end) if ok)
        return max((b - a for a, b in zip(ends, ends[1:])), default=end - begin) * 1e3

    def longest_ms(self, begin: float, end: float) -> float:
        return max((ended - begun for begun, ended, _ in self.between(begin, end)), default=0.0) * 1e3


def post(vmproxy, action: str, body: dict) -> None:
    request = urllib.request.Request(f"{vmproxy.admin_url}/api/v1/migrations/m/{action}", json.dumps(body).encode(),
                                     {"Content-Type": "application/json"}, method="POST")
    with urllib.request.urlopen(request, timeout=60) as answer:
        answer.read()


def measure_switch(quick: bool, figures, out, say) -> None:
    with stage.Stage() as s, create("chroma") as chroma, create("pgvector") as pgvector:
        collection = chroma.client().create_collection("switched")
        vmproxy = s.serve("switch", *databases(chroma, pgvector), settings={"workers": "auto"}, pinned=False)
        path = f"/api/v2/tenants/default_tenant/databases/default_database/collections/{collection.id}/upsert"
        rounds, rows = (1 if quick else 3), []
        with Writers(vmproxy.port, path, 500) as writers:
            time.sleep(2)
            vmproxy.command("start", timeout=300)
            for _ in range(rounds):
                vmproxy.command("cutover", "--percent", "100")
                time.sleep(1)
                row = {}
                begun = time.monotonic()
                post(vmproxy, "promote", {})
                ended = time.monotonic()
                time.sleep(2)
                row["promote"] = (ended - begun) * 1e3
                row["pause"] = writers.longest_ms(begun, ended + 0.5)
                row["gap"] = writers.longest_gap_ms(begun, ended + 0.5)
                row["own"] = vmproxy.status()["last_pause_seconds"] * 1e3
                row["lag"] = vmproxy.status()["lag"]["seconds"]
                # Back: reads first, then all of it.
                moved = threading.Event()
                times = {}

                def look():
                    while "reads" not in times and not moved.is_set():
                        status = vmproxy.get_json("/api/v1/status")
                        if '"reads_percent": 0' in json.dumps(status):
                            times["reads"] = time.monotonic()
                        time.sleep(0.002)
                watcher = threading.Thread(target=look)
                begun = time.monotonic()
                watcher.start()
                post(vmproxy, "rollback", {"reason": "measured"})
                ended = time.monotonic()
                watcher.join(2)
                moved.set()
                row["reads"] = (times.get("reads", ended) - begun) * 1e3
                row["rollback"] = (ended - begun) * 1e3
                time.sleep(1)
                row["pause_back"] = writers.longest_ms(begun, ended + 0.5)
                row["writes"] = len(writers.between(begun - 3, begun)) / 3
                rows.append(row)
                say(f"switch: {', '.join(f'{k} {v:,.0f}' for k, v in row.items())}")
                vmproxy.wait(lambda status: status["state"] == "ready", 120, "ready again")
        failed = sum(not ok for _, _, ok in writers.done)

        def median(key):
            return sorted(row[key] for row in rows)[len(rows) // 2]
        note = f"{median('writes'):.0f} writes/s; {failed} failed; vmproxy's own measure {median('own'):.0f} ms"
        figures.at_most("promotion chroma to pgvector under 500 writes/s: longest pause", median("pause"), 200, "ms", note)
        figures.at_most("rollback: reads move within", median("reads"), 100, "ms")
        figures.at_most("rollback: all of it within", median("rollback"), 1000, "ms", f"lag before {median('lag'):.2f} s; longest write {median('pause_back'):.0f} ms")
        out += ["## Promotion and rollback under 500 writes/s, Chroma and pgvector", "", "Milliseconds. The pause is the longest that any one write waited "
                "from half a second before the step's end; the gap is the longest time in which no write was answered.", ""]
        out += report.table(rows, [("writes", "writes/s", ".0f"), ("promote", "promote took", ",.0f"), ("pause", "longest write", ",.0f"), ("gap", "longest gap", ",.0f"),
                                   ("own", "own measure", ",.0f"), ("reads", "rollback: reads moved", ",.0f"), ("rollback", "rollback took", ",.0f"),
                                   ("pause_back", "longest write", ",.0f")]) + [""]
