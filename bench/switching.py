"""The pauses of promotion and rollback while an application writes, on real servers."""

import http.client
import json
import threading
import time
import urllib.request

import copying
import report
import stage
from servers import create
from vmproxy import migration_of

HOST = stage.HOST


class Writers:
    """`rate` requests a second, evenly, whatever the answers take: a slow answer does not slow the next request, as long
    as one of the threads is free; what could not be sent for lack of one is not made up for later. `connect()` makes one thread's `write(number)`; true when it was acknowledged."""

    def __init__(self, connect, rate: float, threads: int = 16):
        self.connect, self.rate, self.threads = connect, rate, threads
        self.stopped = threading.Event()
        self.lock = threading.Lock()
        self.next = 0
        self.done = []   # (begun, ended, ok)

    def __enter__(self):
        writes = [self.connect() for _ in range(self.threads)]
        self.begun = time.monotonic()
        self.running = [threading.Thread(target=self._run, args=(write,)) for write in writes]
        for thread in self.running:
            thread.start()
        return self

    def _run(self, write):
        while not self.stopped.is_set():
            with self.lock:
                number = max(self.next, int((time.monotonic() - self.begun) * self.rate))
                self.next = number + 1
            due = self.begun + number / self.rate
            time.sleep(max(0.0, due - time.monotonic()))
            begun = time.monotonic()
            ok = write(number)
            with self.lock:
                self.done.append((begun, time.monotonic(), ok))

    def __exit__(self, *_):
        self.stopped.set()
        for thread in self.running:
            thread.join()

    def between(self, begin: float, end: float) -> list:
        with self.lock:
            return [entry for entry in self.done if entry[1] >= begin and entry[0] <= end]

    def rate_between(self, begin: float, end: float) -> float:
        return len([entry for entry in self.between(begin, end) if begin <= entry[1] <= end]) / (end - begin)

    def longest_gap_ms(self, begin: float, end: float) -> float:
        """The longest time without any write's answer."""
        ends = sorted(ended for _, ended, ok in self.between(begin, end) if ok)
        return max((b - a for a, b in zip(ends, ends[1:])), default=end - begin) * 1e3

    def longest_ms(self, begin: float, end: float) -> float:
        return max((ended - begun for begun, ended, _ in self.between(begin, end)), default=0.0) * 1e3


KEYS = 5000


def chroma_writes(port: int, collection_id: str, records: int):
    """Upserts of `records` records by plain HTTP; the bodies are made before, so that the load costs little."""
    path = f"/api/v2/tenants/default_tenant/databases/default_database/collections/{collection_id}/upsert"
    vectors = ["[" + ",".join(map("{:.6f}".format, row)) + "]" for row in copying.vectors(64, 32).tolist()]
    bodies = []
    for request in range(min(500, KEYS)):
        numbers = [(request * records + i) % KEYS for i in range(records)]
        bodies.append(json.dumps({"ids": [f"w{n}" for n in numbers], "metadatas": [{"n": n, "at": request} for n in numbers],
                                  "documents": ["d"] * records})[:-1] +
                      ',"embeddings":[' + ",".join(vectors[(n + request) % 64] for n in numbers) + "]}")

    def connect():
        connection = http.client.HTTPConnection(HOST, port, timeout=30)

        def write(number: int) -> bool:
            try:
                connection.request("POST", path, bodies[number % len(bodies)], {"Content-Type": "application/json"})
                answer = connection.getresponse()
                answer.read()
                return answer.status < 300
            except OSError:
                connection.close()
                return False
        return write
    return connect


def chroma_read(port: int, collection_id: str):
    path = f"/api/v2/tenants/default_tenant/databases/default_database/collections/{collection_id}/get"

    def connect():
        connection = http.client.HTTPConnection(HOST, port, timeout=30)

        def read() -> None:
            connection.request("POST", path, '{"ids":["still"]}', {"Content-Type": "application/json"})
            connection.getresponse().read()
        return read
    return connect


def milvus_writes(port: int, name: str, records: int):
    """The same by pymilvus."""
    vectors = copying.vectors(64, 32).tolist()

    def connect():
        from pymilvus import MilvusClient
        client = MilvusClient(f"http://{HOST}:{port}", dedicated=True)

        def write(number: int) -> bool:
            numbers = [(number * records + i) % KEYS for i in range(records)]
            try:
                client.upsert(name, [{"id": f"w{n}", "vector": vectors[(n + number) % 64], "n": number} for n in numbers])
                return True
            except Exception:  # the SDK's errors have no common base but this
                return False
        return write
    return connect


def milvus_read(port: int, name: str):
    def connect():
        from pymilvus import MilvusClient
        client = MilvusClient(f"http://{HOST}:{port}", dedicated=True)
        return lambda: client.get(name, ids=["still"])
    return connect


def make_milvus_collection(server, name: str) -> None:
    from pymilvus import DataType
    client = server.client()
    schema = client.create_schema(auto_id=False, enable_dynamic_field=False)
    schema.add_field("id", DataType.VARCHAR, is_primary=True, max_length=64)
    schema.add_field("vector", DataType.FLOAT_VECTOR, dim=32)
    schema.add_field("n", DataType.INT64)
    index = client.prepare_index_params()
    index.add_index("vector", index_type="FLAT", metric_type="L2")
    client.create_collection(name, schema=schema, index_params=index)
    client.close()


def post(vmproxy, action: str, body: dict) -> None:
    request = urllib.request.Request(f"{vmproxy.admin_url}/api/v1/migrations/m/{action}", json.dumps(body).encode(),
                                     {"Content-Type": "application/json"}, method="POST")
    with urllib.request.urlopen(request, timeout=60) as answer:
        answer.read()


READS = 100  # a second, while a rollback is measured


def as_write(read):
    def write(_: int) -> bool:
        read()
        return True
    return write


def watch_reads(vmproxy, answered: int, over: threading.Event, moved: list) -> None:
    """Notes when more than `answered` reads were the source's."""
    while not over.is_set():
        if migration_of(vmproxy.get_json("/api/v1/status"))["reads"]["to_source"] > answered:
            moved.append(time.monotonic())
            return
        time.sleep(0.005)


def steps_of(vmproxy) -> list:
    """What vmproxy noted of each change of the primary."""
    found = []
    for line in vmproxy.log_path.read_text(errors="replace").splitlines():
        if '"steps"' in line:
            found.append(json.loads(line)["steps"])
    return found


# (source, target, records of a request, requests a second, aim of the pause in ms, what it is called)
SWITCHES = [("chroma", "pgvector", 20, 25, 200), ("chroma", "pgvector", 1, 500, None),
            ("chroma", "milvus", 20, 25, 1000), ("milvus", "pgvector", 20, 25, 1000), ("milvus", "chroma", 20, 25, 1000)]


def switch_pair(source_name: str, target_name: str, records: int, rate: float, rounds: int, say) -> list:
    with stage.Stage() as s, create(source_name) as source, create(target_name) as target:
        if source_name == "milvus":
            make_milvus_collection(source, "switched")
            writes, reads = lambda port: milvus_writes(port, "switched", records), lambda port: milvus_read(port, "switched")
        else:
            collection = source.client().create_collection("switched")
            writes, reads = lambda port: chroma_writes(port, str(collection.id), records), lambda port: chroma_read(port, str(collection.id))
        # The source alone: what its own latency is under this load, before vmproxy stands in between.
        with Writers(writes(source.port), rate) as direct:
            time.sleep(KEYS / records / rate if records > 1 else 5)
            here = time.monotonic()
            time.sleep(3)
        alone = {"direct_rate": direct.rate_between(here, here + 3) * records, "direct": direct.longest_ms(here, here + 3)}
        vmproxy = s.serve("switch", *({"system": server.name, "url": server.url} for server in (source, target)), dialect=source_name, pinned=False,
                          settings={"workers": "auto", "log": {"level": "info"}})
        rows = []
        with Writers(writes(vmproxy.port), rate) as writers:
            time.sleep(1)
            vmproxy.command("start", timeout=300)
            for _ in range(rounds):
                vmproxy.command("cutover", "--percent", "100")
                time.sleep(3)
                row = dict(alone)
                begun = time.monotonic()
                row["rate"] = writers.rate_between(begun - 2, begun) * records
                row["steady"] = writers.longest_ms(begun - 2, begun)
                post(vmproxy, "promote", {})
                ended = time.monotonic()
                time.sleep(2)
                row["promote"] = (ended - begun) * 1e3
                row["pause"] = writers.longest_ms(begun, ended + 0.5)
                row["gap"] = writers.longest_gap_ms(begun, ended + 0.5)
                status = vmproxy.status()
                row["own"], row["lag"] = status["last_pause_seconds"] * 1e3, status["lag"]["seconds"]
                # Back: reads first, then all of it. Reads of a record that nobody writes begin all the time, however long others
                # still wait for their answers; who answered, vmproxy counts. Reads have moved when the first is counted as the source's.
                read_on = reads(vmproxy.port)
                with Writers(lambda: as_write(read_on()), READS, 64) as readers:
                    time.sleep(1)
                    answered = vmproxy.status()["reads"]["to_source"]
                    over, moved = threading.Event(), []
                    watcher = threading.Thread(target=watch_reads, args=(vmproxy, answered, over, moved))
                    begun = time.monotonic()
                    row["rate_after"] = writers.rate_between(begun - 2, begun) * records
                    watcher.start()
                    post(vmproxy, "rollback", {"reason": "measured"})
                    ended = time.monotonic()
                    over.set()
                    watcher.join(5)
                    time.sleep(0.5)
                took = [ended_at - begun_at for begun_at, ended_at, _ in readers.between(begun, ended)]
                row["longest_read"] = max(took, default=0.0) * 1e3
                row["reads"] = ((moved or [ended])[0] - begun) * 1e3
                row["rollback"] = (ended - begun) * 1e3
                time.sleep(1)
                row["pause_back"] = writers.longest_ms(begun, ended + 0.5)
                row["own_back"] = vmproxy.status()["last_pause_seconds"] * 1e3
                rows.append(row)
                say(f"switch {source_name} to {target_name}: {', '.join(f'{k} {v:,.2f}' if k == 'lag' else f'{k} {v:,.0f}' for k, v in row.items())}")
                vmproxy.wait(lambda status: status["state"] == "ready", 120, "ready again")
        failed = sum(not ok for _, _, ok in writers.done)
        for number, steps in enumerate(steps_of(vmproxy)):
            say(f"  {'rollback' if number % 2 else 'promote '}: {steps}")
        for number, row in enumerate(rows):
            row["failed"] = failed
            row["steps"], row["steps_back"] = (steps_of(vmproxy) + [""] * 2 * rounds)[2 * number:2 * number + 2]
        return rows


def measure(quick: bool, figures, out, say, pair: str | None = None) -> None:
    out += ["## Promotion and rollback while the application writes", "",
            "Milliseconds. The longest write is the longest that any one request waited from the command to half a second after it; the gap is the "
            "longest time in which no request was answered. `alone` is the longest request of 3 s sent to the source directly, `steady` of 2 s through "
            "vmproxy before the command: what the databases themselves take under this load is in every longest write.", ""]
    table = []
    for source, target, records, rate, aim in (SWITCHES[:1] if quick and not pair else SWITCHES):
        if pair and pair != f"{source}:{target}":
            continue
        what = f"{source} to {target}, {rate} requests/s of {records}"
        try:
            rows = switch_pair(source, target, records, rate, 1 if quick else 3, say)
        except Exception as error:
            figures.failed(f"promotion {what}", f"{type(error).__name__}: {str(error)[:300]}".replace("\n", " ").replace("|", "/"))
            continue

        def median(key):
            return sorted(row[key] for row in rows)[len(rows) // 2]
        note = (f"{median('rate'):.0f} writes/s; {rows[0]['failed']} failed; longest without a switch {median('steady'):.0f} ms, source alone "
                f"{median('direct'):.0f} ms; in the fence {median('own'):.0f} ms")
        if aim is None:
            say(f"promotion {what}: longest {median('pause'):.0f} ms; {note}")
        else:
            figures.at_most(f"promotion {what} records: longest pause", median("pause"), aim, "ms", note)
            figures.at_most(f"rollback {target} to {source}, the same: reads move within", median("reads"), 100, "ms")
            figures.at_most(f"rollback {target} to {source}, the same: all of it within", median("rollback"), 1000, "ms",
                            f"lag before {median('lag'):.2f} s; longest write {median('pause_back'):.0f} ms")
        for row in rows:
            table.append({"what": what, **row})
    out += report.table(table, [("what", "", ""), ("direct_rate", "alone: writes/s", ",.0f"), ("direct", "alone", ",.0f"), ("rate", "writes/s", ",.0f"), ("steady", "steady", ",.0f"),
                                ("promote", "promote took", ",.0f"), ("pause", "longest write", ",.0f"), ("gap", "longest gap", ",.0f"), ("own", "in the fence", ",.0f"),
                                ("rate_after", "after: writes/s", ",.0f"), ("lag", "lag before rollback, s", ".2f"), ("reads", "reads moved", ",.0f"), ("longest_read", "longest read meanwhile", ",.0f"),
                                ("rollback", "rollback took", ",.0f"), ("pause_back", "longest write", ",.0f"), ("own_back", "in the fence", ",.0f")])
    out += ["", "The steps as vmproxy noted them:", ""]
    for row in table:
        out += [f"- {row['what']}: promote: {row['steps']}; rollback: {row['steps_back']}"]
    out += [""]
