"""Memory, and the restart with a long backlog."""

import threading
import time

import copying
import load
import report
import stage
from servers import create

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
