"""A migration of shared keys between real databases, written down for history_check: who asked what and was told what,
which requests the source got, who executed what as the primary, and what both sides hold at the end.

    run = RecordedRun(directory, chroma, pgvector, make_vmproxy, seed)
    run.begin(); run.vmproxy.command("start"); run.reads(100); run.promote(); run.end(); run.judge()

Seen and sent. A relay before vmproxy and one before Chroma read along. While the source is the primary a write goes on
byte for byte, so the same request is seen at both: `sent` is what the application asked and was told to be done, `unknown`
when the answer got lost. And what vmproxy itself believes: requests_total says how many of each kind the source has
answered it.
"""

import contextlib
import json
import pathlib
import subprocess
import threading
import time

import sides
from history_log import HistoryLog, now
from relay import Relay
from request_relay import RequestRelay
from shared_writers import SharedWriters, value_in, write_down
from vmproxy import binary
from workload import separate_client

SOURCE, TARGET = "source", "target"
COUNTED = "source, as vmproxy counts"
WRITES = {"add": "record.add", "upsert": "record.upsert", "delete": "record.delete", "update": "record.update"}


class RecordedRun:
    def __init__(self, directory, chroma, pgvector, make_vmproxy, seed: int, **how):
        self.path = pathlib.Path(directory) / "history.jsonl"
        self.mixed_path = pathlib.Path(directory) / "mixed.jsonl"  # all writes, and reads that either side may have answered
        self.chroma, self.pgvector = chroma, pgvector
        self._asked, self._seen = [], []  # requests that change records, before vmproxy and before the source
        self.lost = self.held = 0
        self.lose = lambda request: False  # of the application's writes at the source: those whose answer gets lost
        # How long a write waits before the source gets it, and its answer before it goes back (seconds).
        self.hold = self.hold_answer = lambda request: 0.0
        self.hold_mirror = lambda request: 0.0  # the same of vmproxy's own writes, which are those of its mirror
        self.source = RequestRelay(chroma.port, passed=self._at_source, lose=self._loses, before=self._holds,
                                   executed=self._holds_answer)
        self.target = Relay(pgvector.port)
        self.vmproxy = make_vmproxy(
            {"system": "chroma", "url": f"http://127.0.0.1:{self.source.port}"},
            {"system": "pgvector", "url": pgvector.url.replace(str(pgvector.port), str(self.target.port))})
        self.front = RequestRelay(self.vmproxy.port, passed=self._at_vmproxy)
        self.writers = SharedWriters(lambda: separate_client("127.0.0.1", self.front.port), seed, **how)
        self._epoch, self._primary = 1, SOURCE
        self._reigns = []  # (from, until, side, epoch): when all agree who the primary is
        self._since = now()
        self._restarted = False

    # The journey.
    def begin(self, writes=60) -> None:
        self.writers.preload(self.chroma.client())
        self.writers.start()
        self.writers.go_on(writes)

    def reads(self, percent: int) -> None:
        self.writers.mixed = True
        self.when_near_enough("cutover", "--percent", str(percent))
        self.writers.mixed = percent > 0

    def promote(self) -> None:
        with self._change_of_the_primary(TARGET):
            self.when_near_enough("promote")

    def roll_back(self) -> None:
        with self._change_of_the_primary(SOURCE):
            self.when_near_enough("rollback", "--reason", "a recorded run")

    def when_near_enough(self, *command) -> None:
        """As its operator would: a gate or an abort that only time opens is waited for."""
        for _ in range(20):
            done = self.vmproxy.run(*command, *([] if command[0] == "cutover" else ["--yes"]))
            if done.returncode == 0:
                return
            said = done.stdout + done.stderr
            if "reads is 0 tried" in said:
                self.writers.go_on(writes=0, reads=20)
                continue
            assert any(what in said for what in ("lag is", "aborted, nothing changed", "does not catch up")), said
            self.vmproxy.wait(lambda s: s["lag"]["seconds"] < 2, 120, "the target to come nearer")
        raise AssertionError(f"{' '.join(command)}: refused again and again: {said}")

    def kill9(self) -> None:
        """And starts again. What vmproxy counted is gone with it."""
        self._restarted = True
        self.vmproxy.kill9()
        self.vmproxy.start(timeout=60)

    @contextlib.contextmanager
    def _change_of_the_primary(self, to: str):
        self.writers.mixed = True
        self._reigns.append((self._since, now(), self._primary, self._epoch))
        yield
        self._primary, self._epoch, self._since = to, self._epoch + 1, now()
        self.writers.mixed = False

    # Moments that are made, of a key that nobody else writes.
    @contextlib.contextmanager
    def answer_held(self, write, process: str, key: str):
        """Inside, the source has executed write(process, key), and its answer is not back."""
        executed, go_on, before = threading.Event(), threading.Event(), self.hold_answer

        def held(request) -> float:
            if json.loads(request.body).get("ids") == [key]:
                executed.set()
                go_on.wait(30)
            return before(request)
        self.hold_answer = held
        thread = threading.Thread(target=write, args=(process, key), daemon=True)
        thread.start()
        try:
            assert executed.wait(30), f"the source has not got the write of {key}"
            self.hold_answer = before
            yield
        finally:
            self.hold_answer = before
            go_on.set()
            thread.join(60)

    def read_before_it_is_answered(self, key: str) -> None:
        """By whoever answers: each of these reads is another one for the percentage."""
        self.writers.upsert("before", key)
        with self.answer_held(self.writers.upsert, "under way", key):
            for n in range(30):
                self.writers.get("looks", [key, f"{key} beside it {n}"])

    def overtake(self, key: str) -> None:
        """A delete, a write after it, and the delete's answer comes last."""
        self.writers.upsert("before", key)
        with self.answer_held(self.writers.delete, "overtaken", key):
            self.writers.upsert("overtakes", key)
        for _ in range(50):  # the mirror may have much to do
            self.writers.get("overtakes", [key])
            time.sleep(0.05)

    # The end.
    def end(self, drained=240.0) -> None:
        self.writers.stop()
        self.writers.assert_no_errors()
        self.vmproxy.wait_drained(drained)
        self._reigns.append((self._since, now(), self._primary, self._epoch))
        with HistoryLog(self.path) as log:
            write_down(self.writers, log, self._reign)
            self._write_executions(log)
            self._write_requests(log)
            self._write_end(log)
        with HistoryLog(self.mixed_path) as log:
            write_down(self.writers, log, every_read=False)
        self.close()

    def close(self) -> None:
        for relay in (self.front, self.source, self.target):
            relay.close()

    def judge(self, *required: str) -> dict:
        """The report; fails when a rule is broken, or one of those ("RULE" or "RULE:N") had nothing, or less, to check."""
        return self._judge(self.path, *required)

    def judge_mixed(self, least: int) -> dict:
        """Of what was read while either side may have answered, at least so many reads for each rule of a session."""
        return self._judge(self.mixed_path, f"read_your_writes:{least}", f"monotone_reads:{least}")

    def _judge(self, path, *required: str) -> dict:
        program = pathlib.Path(binary()).parent / "history_check"
        options = [word for rule in required for word in ("--require", rule)]
        done = subprocess.run([program, "--json", *options, path], capture_output=True, text=True, timeout=300)
        assert done.returncode in (0, 1), f"history_check ended with {done.returncode}: {done.stderr} ({path})"
        report = json.loads(done.stdout)
        broken = [f"history_check: {rule}: {found['anomalies']}" for rule, found in report["rules"].items()
                  if found["anomalies"]]
        first = [json.dumps(anomaly)[:1500] for anomaly in report["anomalies"][:5]]
        assert not broken, "\n".join([*broken, f"seed {self.writers.seed}, history: {path}", *first])
        print(f"history_check: {report['verdict']}, {report['counts']}")
        return report

    # What is written down.
    def _write_executions(self, log) -> None:
        for request in self._seen:
            reign = self._reign(request.began, request.answered or request.passed)
            for key in json.loads(request.body).get("ids") or [] if reign else []:
                # Whatever vmproxy believes the primary to be: this side has executed it for an application.
                log.execution(SOURCE, reign[1], key, call=request.began, ret=request.answered or request.passed)

    def _write_requests(self, log) -> None:
        for request in self._asked:
            reign = self._reign(request.began, request.answered) if request.answered else None
            if reign and reign[0] == TARGET:
                continue
            log.sent(SOURCE, request.identity(), certain=bool(reign) and 200 <= request.status < 300)
        for request in self._seen:
            log.seen(SOURCE, request.identity())
        if self._restarted:
            return
        for operation, name in WRITES.items():
            for _ in range(int(self.vmproxy.metric("requests_total", operation=name, side="source"))):
                log.sent(COUNTED, operation)
            for _ in range(int(self.vmproxy.metric("requests_total", operation=name, side="none"))):
                log.sent(COUNTED, operation, certain=False)
        for request in self._seen:
            log.seen(COUNTED, request.operation)

    def _write_end(self, log) -> None:
        collection = self.writers.collection_name
        ends = {SOURCE: sides.chroma_records(self.chroma, collection),
                TARGET: sides.pgvector_records(self.pgvector, collection)}
        for side, records in ends.items():
            for key, (embedding, document, metadata) in records.items():
                log.final(side, key, value_in(key, embedding, document, metadata))
            log.final_complete(side)

    def _reign(self, call: int, ret: int):
        """(side, epoch) if the primary was certain all the while."""
        return next(((side, epoch) for since, until, side, epoch in self._reigns if since <= call and ret <= until),
                    None)

    # What the relays tell, from their threads.
    @staticmethod
    def _is_write(request) -> bool:
        return request.method == "POST" and request.operation in WRITES

    def _at_vmproxy(self, request) -> None:
        if self._is_write(request):
            self._asked.append(request)

    def _at_source(self, request) -> None:
        # An SDK names itself, vmproxy's own calls do not: those of its mirror are no execution by a primary.
        if self._is_write(request) and "user-agent" in request.headers:
            self._seen.append(request)

    def _loses(self, request) -> bool:
        if not (self._is_write(request) and "user-agent" in request.headers and self.lose(request)):
            return False
        self.lost += 1
        return True

    def _holds(self, request) -> None:
        if self._is_write(request):
            self._wait((self.hold if "user-agent" in request.headers else self.hold_mirror)(request))

    def _holds_answer(self, request) -> None:
        if self._is_write(request) and "user-agent" in request.headers:
            self._wait(self.hold_answer(request))

    def _wait(self, seconds: float) -> None:
        if seconds > 0:
            self.held += 1
            time.sleep(seconds)


class WritesHeldUp:
    """Keeps the target from taking writes for `seconds` again and again; it answers reads all the while."""

    def __init__(self, pgvector, table: str, seconds: float, pause: float):
        self._pgvector, self._table, self._seconds, self._pause = pgvector, table, seconds, pause
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="holds the target up", daemon=True)
        self.times = 0

    def _run(self) -> None:
        with self._pgvector.client() as connection:
            while not self._ending.wait(self._pause):
                with connection.transaction():
                    connection.execute(f'lock table "{self._table}" in exclusive mode')
                    self.times += 1
                    self._ending.wait(self._seconds)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._ending.set()
        self._thread.join(30)


__all__ = ["RecordedRun", "WritesHeldUp"]
