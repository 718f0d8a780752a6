"""The story behind scripts/demo: real databases, real texts, an application that never stops."""

import argparse
import contextlib
import logging
import shutil
import subprocess
import sys
import tempfile
import threading
import time

import corpus as corpus_module
import sides
from history import now
from servers import create
from vmproxy import Vmproxy, databases
from workload import Workload, separate_client

BOLD, DIM, GREEN, RED, PLAIN = ("\033[1m", "\033[2m", "\033[32m", "\033[31m", "\033[0m") if sys.stdout.isatty() else ("",) * 5


class Screen:
    """Chapters and lines that stay, and below them one line that lives."""

    def __init__(self, application):
        self._application = application
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._live = ""
        self._began = now()
        self._thread = None

    def chapter(self, title: str) -> None:
        self.line(f"\n{BOLD}{title}{PLAIN}")

    def line(self, text: str = "") -> None:
        with self._lock:
            self._clear()
            print(text, flush=True)

    def command(self, *words) -> None:
        self.line(f"  {GREEN}$ vmproxy {' '.join(words)}{PLAIN}")

    def watch(self) -> None:
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        if self._thread:
            self._thread.join()
        with self._lock:
            self._clear()

    def _clear(self):
        if self._live:
            print("\r\033[K", end="")
            self._live = ""

    def _run(self):
        """Once a second on a terminal, every fifth second in a file."""
        every = 1.0 if sys.stdout.isatty() else 5.0
        last_writes = last_reads = 0
        while not self._stop.wait(every):
            counts, errors = self._application.counts, len(self._application.errors)
            writes, reads = counts["writes"], counts["reads"]
            wrong = len(self._application.violations)
            text = (f"  {DIM}{now() - self._began:4.0f} s  application: {(writes - last_writes) / every:4.0f} writes/s  "
                    f"{(reads - last_reads) / every:4.0f} reads/s   {writes} + {reads} so far   {PLAIN}"
                    f"{RED if errors + wrong else DIM}errors {errors}  stale {wrong}{PLAIN}")
            last_writes, last_reads = writes, reads
            with self._lock:
                self._clear()
                if sys.stdout.isatty():
                    print(text, end="", flush=True)
                    self._live = text
                else:
                    print(text, flush=True)


def ask(collection, corpus, name: str) -> list:
    """A question a person can judge: packages like this one."""
    row = corpus.ids.index(name)
    answer = collection.query(query_embeddings=[corpus.embeddings[row]], n_results=4, include=["documents", "distances"])
    return [document.rpartition(" #")[0] or document for document in answer["documents"][0]]


def status_line(vmproxy) -> str:
    status = vmproxy.status()
    return (f"    state {BOLD}{status['state']}{PLAIN}, writes go to the {status['primary']}, reads {status['reads_percent']} % "
            f"on the target, lag {status['lag']['changes']} changes, quarantined {status['quarantined']}")


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/demo", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="the same story, small and fast")
    parser.add_argument("--keep", action="store_true", help="keep the data and logs")
    arguments = parser.parse_args()
    logging.getLogger("httpx").setLevel(logging.WARNING)
    logging.getLogger("chromadb").setLevel(logging.ERROR)
    size, chapter_seconds = (2000, 1.0) if arguments.quick else (20_000, 9.0)

    directory = tempfile.mkdtemp(prefix="vmproxy-demo-")
    with contextlib.ExitStack() as cleanup:
        if not arguments.keep:
            cleanup.callback(shutil.rmtree, directory, ignore_errors=True)
        return story(size, chapter_seconds, directory, cleanup, arguments.keep)


def story(size, chapter_seconds, directory, cleanup, keep) -> int:
    began = now()
    print(f"{BOLD}An application moves from Chroma to PostgreSQL while it runs, and can go back.{PLAIN}")
    print(f"\n{BOLD}1. The application's world today{PLAIN}")
    corpus = corpus_module.load(size)
    chroma, pgvector = create("chroma"), create("pgvector")
    for server in (chroma, pgvector):
        cleanup.callback(server.discard)
        server.start()
    print(f"  a real Chroma 1.5.9 on port {chroma.port}; a real, empty PostgreSQL 16 with pgvector on port {pgvector.port}")

    vmproxy = Vmproxy(directory, *databases(chroma, pgvector))
    cleanup.callback(vmproxy.kill9)
    application = Workload(lambda: separate_client("127.0.0.1", vmproxy.port), corpus, write_rate=30.0)
    application.preload(chroma.client())
    direct = separate_client("127.0.0.1", chroma.port).get_collection("packages", embedding_function=None)
    print(f"  {direct.count()} descriptions of Debian's packages in Chroma, with {corpus.embeddings.shape[1]} dimensions by LSA")
    question = next(name for name in ("gimp", "vlc", "git", *corpus.ids) if name in corpus.ids)
    print(f"  packages like '{question}', asked of Chroma:")
    for text in ask(direct, corpus, question):
        print(f"    {text[:100]}")

    print(f"\n{BOLD}2. vmproxy steps between{PLAIN}\n  its whole configuration:")
    print("\n".join(f"    {DIM}{line}{PLAIN}" for line in vmproxy.config_path.read_text().splitlines()))
    screen = Screen(application)
    screen.command("serve", "-c", vmproxy.config_path.name)
    vmproxy.start()
    print(f"  the application's only change: port {vmproxy.port} instead of {chroma.port}. "
          "8 writers and 4 readers start now, and never stop.")
    cleanup.callback(application.stop)
    cleanup.callback(screen.close)
    application.start()
    screen.watch()

    moments = []

    def step(*words, quiet=False):
        """A command of the operator, while the application runs; notes how long writes waited."""
        screen.command(*words)
        since = now()
        vmproxy.command(*words, timeout=900)
        took = now() - since
        application.wait_for(writes=20, reads=20)
        moments.append((words[0], since, now()))
        screen.line(status_line(vmproxy) + f" {DIM}({took:.1f} s){PLAIN}")
        if not quiet:
            watch(chapter_seconds)

    def watch(seconds):
        """Time for the person who looks on; the application's errors end the story."""
        until = now() + seconds
        while now() < until:
            application.assert_clean()
            time.sleep(min(0.2, seconds))

    watch(chapter_seconds)
    screen.chapter("3. Mirror the writes, copy the history, prove that both sides agree")
    step("start")
    status = vmproxy.status()
    screen.line(f"    {status['backfill']['records']} records copied; {status['validation']['compared']} compared: "
                f"{status['validation']['different']} different, {status['validation']['missing']} missing, {status['validation']['extra']} extra")

    screen.chapter("4. Reads move, by percent, never older than what was acknowledged")
    for percent in (10, 50, 100):
        step("cutover", "--percent", str(percent))

    screen.chapter("5. Writes move: PostgreSQL is the primary, Chroma the mirror")
    step("promote")
    screen.chapter("6. A change of mind: back to Chroma, nothing lost")
    step("rollback", "--reason", "because we can")
    screen.chapter("7. And there again, for good")
    vmproxy.wait(lambda s: s["state"] == "ready", 120, "ready after the rollback")
    step("cutover", "--percent", "100", quiet=True)
    step("promote")

    screen.line("    the writers hold still for a moment: both databases are read directly and compared")
    with application.writers_paused():
        vmproxy.wait_drained()
        left, right = sides.chroma_records(chroma, "packages"), sides.pgvector_records(pgvector, "packages")
    unequal = sides.differences(left, right)
    screen.line(f"    Chroma {len(left)} records, PostgreSQL {len(right)}: {len(unequal)} differences")

    screen.chapter("8. Finalize, and switch Chroma off")
    step("finalize", quiet=True)
    chroma.stop()
    screen.line("    Chroma is stopped. The application still speaks Chroma's API, and does not notice:")
    watch(chapter_seconds)
    application.wait_for(writes=20, reads=20)
    through = separate_client("127.0.0.1", vmproxy.port).get_collection("packages", embedding_function=None)
    screen.line(f"  packages like '{question}', asked of PostgreSQL by Chroma's SDK:")
    for text in ask(through, corpus, question):
        screen.line(f"    {text[:100]}")
    application.stop()
    screen.close()

    lost = sides.illegal_final(application.history, sides.pgvector_records(pgvector, "packages"))
    latencies = application.latencies
    print(f"\n{BOLD}The numbers{PLAIN}")
    rows = [("writes", f"{application.counts['writes']} ({application.counts['records']} records)"),
            ("reads", f"{application.counts['reads']}, {len(application.violations)} of them stale"),
            ("errors", f"{len(application.errors)}"),
            ("lost", f"{len(lost)} of {len(application.history.final())} records checked one by one"),
            ("write time", f"{latencies.percentile(0.5, kind='write') * 1e3:.0f} ms at p50, "
                           f"{latencies.percentile(0.99, kind='write') * 1e3:.0f} ms at p99")]
    for name, since, until in moments:
        if name in ("promote", "rollback", "finalize"):
            rows.append((f"pause: {name}", f"{latencies.longest(kind='write', since=since - 2, until=until) * 1e3:.0f} ms for the slowest write around it"))
    rows.append(("took", f"{now() - began:.0f} s"))
    for name, value in rows:
        print(f"  {name:<16}{value}")
    print(f"\n{BOLD}Where to look next{PLAIN}")
    print("  README.md                your own databases in five minutes")
    print("  docs/ARCHITECTURE.md     how it works, and what was decided against")
    print("  docs/mapping.md          what each pair of databases carries, changes, refuses")
    print("  scripts/test             everything shown here, and much more, as tests")
    if keep:
        print(f"  {directory}   this run's configuration, journal and log")
    bad = application.errors or application.violations or lost or unequal
    for text in [*application.errors[:5], *application.violations[:5], *lost[:5], *unequal[:5]]:
        print(f"{RED}{text}{PLAIN}")
    return 1 if bad else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
    except subprocess.TimeoutExpired as error:
        sys.exit(f"{error}")
