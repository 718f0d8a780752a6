"""The copy: scan alone, ingest alone, `vmproxy from`, on real servers, with CPU and memory of all processes."""

import json
import math
import os
import statistics
import subprocess
import threading
import time

import numpy

import report
import stage
from servers import create

DIMENSION = 384
ROUNDS = 5  # the last one whole
# (source, target, records full, records quick)
PAIRS = [("chroma", "pgvector", 40_000, 5_000), ("pgvector", "chroma", 20_000, 4_000),
         ("milvus", "pgvector", 150_000, 10_000), ("pgvector", "milvus", 50_000, 10_000),
         ("chroma", "milvus", 40_000, 5_000), ("milvus", "chroma", 20_000, 4_000)]


class Watch:
    """CPU seconds and the highest memory of process trees while it runs."""

    def __init__(self, **roots):
        self.roots = roots
        self.peak = dict.fromkeys(roots, 0.0)
        self.stopped = threading.Event()

    def __enter__(self):
        self.cpu = {name: -stage.cpu_seconds(pid) for name, pid in self.roots.items()}
        self.last = {name: 0.0 for name in self.roots}
        self.thread = threading.Thread(target=self._run)
        self.thread.start()
        return self

    def _run(self):
        while True:
            for name, pid in self.roots.items():
                self.peak[name] = max(self.peak[name], stage.memory_mb(pid))
                # A process that has ended has nothing to show any more.
                self.last[name] = max(self.last[name], stage.cpu_seconds(pid))
            if self.stopped.wait(0.05):
                return

    def __exit__(self, *_):
        self.stopped.set()
        self.thread.join()
        for name in self.roots:
            self.cpu[name] += self.last[name]


def vectors(count: int, dimension: int, seed: int = 7):
    return numpy.random.default_rng(seed).standard_normal((count, dimension), dtype=numpy.float32)


def fill_chroma(server, name: str, count: int) -> None:
    collection = server.client().create_collection(name)
    data = vectors(count, DIMENSION)
    for begin in range(0, count, 2000):
        rows = range(begin, min(begin + 2000, count))
        collection.add(ids=[f"r{i:07d}" for i in rows], embeddings=data[begin:begin + len(rows)],
                       documents=[f"the text of record {i}" for i in rows], metadatas=[{"n": i, "topic": f"t{i % 10}"} for i in rows])


def fill_pgvector(server, name: str, count: int, dimension: int = DIMENSION) -> None:
    with server.client() as connection:
        connection.execute(f"create table {name} (id text primary key, embedding vector({dimension}), document text, metadata jsonb)")
        with connection.cursor().copy(f"copy {name} from stdin") as copy:
            for begin in range(0, count, 10_000):
                size = min(10_000, count - begin)
                data = vectors(size, dimension, begin).round(5)
                for i, row in enumerate(data.tolist(), begin):
                    copy.write(f"r{i:07d}\t[{','.join(map('{:.5g}'.format, row))}]\tthe text of record {i}\t{{\"n\": {i}, \"topic\": \"t{i % 10}\"}}\n")


def fill_milvus(server, name: str, count: int) -> None:
    from pymilvus import DataType
    client = server.client()
    schema = client.create_schema(auto_id=False, enable_dynamic_field=False)
    schema.add_field("id", DataType.VARCHAR, is_primary=True, max_length=64)
    schema.add_field("embedding", DataType.FLOAT_VECTOR, dim=DIMENSION)
    schema.add_field("n", DataType.INT64)
    index = client.prepare_index_params()
    index.add_index("embedding", index_type="FLAT", metric_type="L2")
    client.create_collection(name, schema=schema, index_params=index)
    data = vectors(count, DIMENSION)
    for begin in range(0, count, 5000):
        client.insert(name, [{"id": f"r{i:07d}", "embedding": data[i].tolist(), "n": i} for i in range(begin, min(begin + 5000, count))])
    client.flush(name)


FILL = {"chroma": fill_chroma, "pgvector": fill_pgvector, "milvus": fill_milvus}


def driver(*words) -> dict:
    done = subprocess.run([stage.BIN / "bench_driver", *map(str, words)], capture_output=True, text=True, timeout=600, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"bench_driver {' '.join(map(str, words[:2]))}: {done.stderr[-300:]}")
    return json.loads(done.stdout)


class Copy:
    """One `vmproxy from`, and when it said what: its copying proper lies between its first bar and what follows."""

    def __init__(self, directory, source, source_url, target, target_url, collection):
        words = [stage.BIN / "vmproxy", "from", source, "--url", source_url, "--to", target, "--url", target_url,
                 "--collection", collection, "-o", "json"]
        self.begun = time.monotonic()
        self.process = subprocess.Popen([str(word) for word in words], cwd=directory, stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.lines = []
        self.copying = float("nan")

    def wait(self) -> dict:
        """All of it."""
        reader = threading.Thread(target=self._read)
        reader.start()
        said = self.process.stdout.read()
        self.process.wait()
        self.took = time.monotonic() - self.begun
        reader.join()
        if self.process.returncode != 0:
            raise RuntimeError(f"vmproxy from: exit code {self.process.returncode}: {' / '.join(line for _, line in self.lines[-4:])}")
        return json.loads(said)

    def wait_copied(self) -> None:
        """Only the copying; it is killed when something else follows."""
        self._read(whole=False)
        self.process.kill()
        self.process.communicate()
        if not self.copying > 0:
            raise RuntimeError(f"vmproxy from ended before it had copied: {' / '.join(line for _, line in self.lines[-4:])}")

    def _read(self, whole: bool = True) -> None:
        first_bar = None
        for line in self.process.stderr:
            self.lines.append((time.monotonic(), line.strip()))
            at, text = self.lines[-1]
            if text.startswith("["):
                first_bar = first_bar or at
            elif first_bar and text.startswith(("building", "comparing")) and math.isnan(self.copying):
                self.copying = at - first_bar
                if not whole:
                    return


def copy_round(source_name: str, source, target_name: str, target, directory, whole: bool) -> dict:
    """Scan, copy, scan and ingest, one after the other. Only a whole one builds the indexes and compares."""
    parallel = max(2, os.cpu_count() or 2)
    os.sync()  # what was written before is not this round's work
    with Watch(source=source.process.pid) as scan_watch:
        scan = driver("scan", source_name, source.url, "copied", parallel)
    copy = Copy(directory, source_name, source.url, target_name, target.url, "copied")
    with Watch(vmproxy=copy.process.pid, source=source.process.pid, target=target.process.pid) as watch:
        said = copy.wait() if whole else copy.wait_copied()
    if not whole:
        target.end_clients()  # an index that it began would go on beside what is measured next
    scans = [scan, driver("scan", source_name, source.url, "copied", parallel)]
    with Watch(target=target.process.pid) as ingest_watch:
        ingest = driver("ingest", target_name, target.url, "copied", parallel, 1000)
    # The reading before the measured part is the same server's work, so its scan is taken off below by measuring it.
    with Watch(target=target.process.pid) as read_back:
        driver("scan", target_name, target.url, "copied", parallel)
    ingest_cpu = ingest["cpu_seconds"] + max(0.0, ingest_watch.cpu["target"] - read_back.cpu["target"])
    scan_cpu = scan["cpu_seconds"] + scan_watch.cpu["source"]
    per_vector = scan_cpu / scan["records"] + ingest_cpu / ingest["records"]
    rates = {"scan": sum(each["records"] for each in scans) / sum(each["seconds"] for each in scans),
             "ingest": ingest["records"] / ingest["seconds"], "cpu_bound": (os.cpu_count() or 1) / per_vector}
    rate = scan["records"] / copy.copying
    return rates | {"rate": rate, "copying": copy.copying, "ratio": rate / min(rates.values()), "copy": copy, "watch": watch, "said": said}


def copy_pair(source_name: str, target_name: str, count: int, rounds: int, say) -> dict:
    pair, done = f"{source_name} to {target_name}", []
    with stage.Stage() as s:
        source = create(source_name)
        try:
            source.start()
            FILL[source_name](source, "copied", count)
            say(f"{pair}: {count:,} records are in the source")
            for number in range(1, rounds + 1):
                target = create(target_name)
                directory = s.directory / f"round{number}"
                directory.mkdir()
                try:
                    target.start()
                    done.append(copy_round(source_name, source, target_name, target, directory, whole=number == rounds))
                finally:
                    target.discard()
                say(f"{pair}: round {number} of {rounds}: scan {done[-1]['scan']:,.0f}/s, ingest {done[-1]['ingest']:,.0f}/s, "
                    f"vmproxy {done[-1]['rate']:,.0f}/s: {done[-1]['ratio']:.2f} x")
        finally:
            source.discard()
    whole = done[-1]
    row = {key: statistics.median(each[key] for each in done) for key in ("scan", "ingest", "cpu_bound", "rate", "copying", "ratio")}
    row["ratios"] = [each["ratio"] for each in done]
    row |= {f"{name}_{what}": values[name] for what, values in (("cpu", whole["watch"].cpu), ("rss", whole["watch"].peak))
            for name in ("vmproxy", "source", "target")}
    said = whole["said"]
    if said["records"] != count:
        raise RuntimeError(f"{said['records']} of {count} records were copied")
    return row | {"pair": pair, "records": count, "took": whole["copy"].took, "compared": said["compared"],
                  "differ": said["different"] + said["missing"] + said["extra"]}


def measure(quick: bool, figures, out, say, pair: str | None = None) -> None:
    rows = []
    for source, target, full, small in PAIRS:
        if pair and pair != f"{source}:{target}":
            continue
        if quick and not pair and (source, target) != ("chroma", "pgvector"):
            continue
        what = f"copy {source} to {target}, {DIMENSION} dimensions"
        try:
            row = copy_pair(source, target, small if quick else full, 1 if quick else ROUNDS, say)
        except Exception as error:
            figures.failed(what, str(error)[:300].replace("\n", " ").replace("|", "/"))
            continue
        rows.append(row)
        figures.at_least(f"{what}: by min(scan alone, ingest alone, cores / CPU of both)", row["ratio"], 0.8,
                         note=f"median of {', '.join(f'{ratio:.2f}' for ratio in sorted(row['ratios']))}; {row['rate']:,.0f}/s, "
                              f"{row['compared']:,} compared, {row['differ']} differ; all of it took {row['took']:.1f} s")
        if {source, target} == {"milvus", "pgvector"}:
            figures.at_least(f"{what}: records/s", row["rate"], 10_000, "/s")
    out += ["## The copy", "", f"Rates in records/s, medians of {ROUNDS} rounds that scan, copy, scan and ingest in turn, into a new target each. `from`: the copying of "
            "`vmproxy from`, between its first progress bar and the building of indexes; all: the whole command of the last round, with "
            "discovery, capture barrier, indexes and full comparison. CPU in seconds and memory in MB (highest) are of that.", ""]
    out += report.table(rows, [("pair", "pair", ""), ("records", "records", ",d"), ("scan", "scan alone", ",.0f"), ("ingest", "ingest alone", ",.0f"),
                               ("cpu_bound", "cores / CPU of both", ",.0f"), ("rate", "from", ",.0f"), ("copying", "seconds copying", ".1f"), ("took", "seconds all", ".1f"),
                               ("vmproxy_cpu", "CPU vmproxy", ".1f"), ("source_cpu", "CPU source", ".1f"), ("target_cpu", "CPU target", ".1f"),
                               ("vmproxy_rss", "MB vmproxy", ",.0f"), ("source_rss", "MB source", ",.0f"), ("target_rss", "MB target", ",.0f")]) + [""]
