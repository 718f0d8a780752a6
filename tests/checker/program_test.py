#!/usr/bin/env python3
"""program_test.py PROGRAM: history_check on histories that history_log.py recorded.

    program_test.py PROGRAM --operations 1000000    writes a history of that size, judges it, prints the figures
"""

import argparse
import json
import os
import pathlib
import random
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support_py"))

import history_log
from history_log import DELETE, FAIL, OK, READ, UNKNOWN, WRITE, HistoryLog

PROGRAM = None


def run(*arguments):
    return subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, text=True, timeout=500)


def report_of(*arguments):
    done = run("--json", *arguments)
    return done.returncode, json.loads(done.stdout)


def broken(report) -> set:
    return {rule for rule, result in report["rules"].items() if result["anomalies"]}


class Register:
    """A dictionary that threads use and record: what they see is right."""

    def __init__(self, log: HistoryLog, keys: int):
        self.log, self.keys, self.values, self.lock = log, keys, {}, threading.Lock()

    def work(self, process: str, operations: int) -> None:
        chance = random.Random(process)
        for number in range(operations):
            key, choice, call = f"key{chance.randrange(self.keys)}", chance.random(), history_log.now()
            if choice < 0.6:
                with self.lock:
                    value = self.values.get(key)
                self.log.operation(process, key, READ, value, call=call, ret=history_log.now(), side="source")
            elif choice < 0.7:
                with self.lock:
                    self.values.pop(key, None)
                self.log.operation(process, key, DELETE, call=call, ret=history_log.now())
            elif choice < 0.72:
                outcome = UNKNOWN if chance.random() < 0.5 else FAIL  # it did not happen
                self.log.operation(process, key, WRITE, f"{process} {number}", call=call, outcome=outcome)
            else:
                with self.lock:
                    self.values[key] = f"{process} {number}"
                self.log.operation(process, key, WRITE, f"{process} {number}", call=call, ret=history_log.now(),
                                   side="source", epoch=1)

    def scan(self) -> None:
        call = history_log.now()
        with self.lock:
            keys = list(self.values)
        self.log.scan("scanner", keys, call=call, ret=history_log.now())

    def finish(self) -> None:
        for side in ("source", "target"):
            for key, value in self.values.items():
                self.log.final(side, key, value)
            self.log.final_complete(side)


def record(path, operations: int, keys: int, threads: int = 4) -> Register:
    with HistoryLog(path) as log:
        register = Register(log, keys)
        workers = [threading.Thread(target=register.work, args=(f"p{n}", operations // threads)) for n in range(threads)]
        for worker in workers:
            worker.start()
        while busy := next((worker for worker in workers if worker.is_alive()), None):
            register.scan()
            busy.join(0.1)
        register.scan()
        register.finish()
    return register


class ProgramTest(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = pathlib.Path(directory.name)
        self.path = self.directory / "history.jsonl"

    def test_what_threads_record_of_a_dictionary_is_clean(self):
        record(self.path, operations=8000, keys=50)
        code, report = report_of(self.path, "--require", "linearizability", "--require", "set_lost", "--require",
                                 "resurrection", "--require", "sides_differ", "--require", "monotone_reads")
        self.assertEqual((code, report["verdict"], report["anomalies"]), (0, "clean", []))
        counts = report["counts"]
        self.assertEqual(counts["reads"] + counts["writes"] + counts["deletes"], 8000)
        self.assertEqual(report["rules"]["linearizability"]["checked"], 50)
        text = run(self.path)
        self.assertEqual(text.returncode, 0)
        self.assertTrue(text.stdout.startswith("verdict: clean"))

    def test_in_many_passes_the_report_is_the_same(self):
        record(self.path, operations=4000, keys=50)
        with HistoryLog(self.path) as log:
            for number in range(20):
                log.operation("r", f"key{number}", READ, "nobody's", call=history_log.now(), ret=history_log.now())
            log.seen("source", "smuggled")
            log.execution("target", 1, "k", call=history_log.now(), ret=history_log.now())
        once = report_of(self.path)
        many = report_of(self.path, "--pass-bytes", self.path.stat().st_size // 7)
        self.assertEqual(once[0], 1)
        self.assertEqual((once[1]["rules"], once[1]["counts"]), (many[1]["rules"], many[1]["counts"]))

    def test_anomalies_are_named_with_the_records_that_show_them(self):
        with HistoryLog(self.path) as log:
            log.operation("w", "k", WRITE, "a", call=1, ret=2)
            log.operation("w", "k", DELETE, call=3, ret=4)
            log.operation("r", "k", READ, "a", call=5, ret=6)
        code, report = report_of(self.path)
        self.assertEqual((code, broken(report)), (1, {"linearizability", "resurrection"}))
        for anomaly in report["anomalies"]:
            self.assertEqual(anomaly["key"], "k")
            again = self.directory / "again.jsonl"
            again.write_text("".join(shown["record"] + "\n" for shown in anomaly["records"]))
            self.assertIn(anomaly["rule"], broken(report_of(again)[1]))
            self.assertTrue(all(shown["place"].startswith(f"{self.path}:") for shown in anomaly["records"]))
        self.assertIn("resurrection, key k:", run(self.path).stdout)

    def test_files_are_one_history(self):
        sent, seen = self.directory / "sent.jsonl", self.directory / "seen.jsonl"
        with HistoryLog(sent) as log:
            log.sent("source", "POST /a 1")
            log.sent("source", "POST /a 2")
            log.sent("source", "POST /a 3", certain=False)
        with HistoryLog(seen) as log:
            log.seen("source", "POST /a 1")
            log.seen("source", "POST /b")
        code, report = report_of(sent, seen)
        self.assertEqual((code, broken(report)), (1, {"request_not_seen", "request_not_sent"}))
        self.assertEqual({a["key"] for a in report["anomalies"]}, {"POST /a 2", "POST /b"})

    def test_a_killed_writer_leaves_a_history_that_can_be_judged(self):
        child = os.fork()
        if child == 0:
            log = HistoryLog(self.path)
            log.end(log.begin("w", "k", WRITE, "a"), OK)
            log.begin("w", "k", WRITE, "b")
            os.kill(os.getpid(), signal.SIGKILL)
        os.waitpid(child, 0)
        with open(self.path, "ab") as file:
            file.write(b'{"type":"op","proc')
        other = self.directory / "other.jsonl"
        with HistoryLog(other) as log:
            call = history_log.now()
            log.operation("r", "k", READ, "b", call=call, ret=history_log.now())
        code, report = report_of(self.path, other)
        self.assertEqual((code, report["counts"]["torn_lines"], report["counts"]["unknown"]), (0, 1, 1))

    def test_bad_input_and_giving_up_have_exit_codes_of_their_own(self):
        self.path.write_text('{"type":"op"}\n')
        done = run(self.path)
        self.assertEqual((done.returncode, done.stdout), (2, ""))
        self.assertIn(f"{self.path}:1: ", done.stderr)
        self.assertEqual(run(self.directory / "nowhere").returncode, 2)
        self.assertEqual(run().returncode, 2)
        self.assertEqual(run("--oops", self.path).returncode, 2)

        many = self.directory / "many.jsonl"
        record(many, operations=400, keys=1, threads=1)
        self.assertEqual(run(many).returncode, 0)
        code, report = report_of(many, "--states", 3)
        self.assertEqual((code, report["verdict"], report["gave_up_keys"]), (3, "gave_up", ["key0"]))
        self.assertEqual(run("--require", "request_not_seen", many).returncode, 2)
        self.assertEqual(run("--require", "no_such_rule", many).returncode, 2)

    def test_a_history_may_be_required_to_have_so_much_for_a_rule(self):
        with HistoryLog(self.path) as log:
            log.operation("p", "k", WRITE, "v", call=0, ret=1)
            for number in range(3):
                log.operation("p", "k", READ, "v", call=2 + 2 * number, ret=3 + 2 * number)
        self.assertEqual(run("--require", "read_your_writes:3", self.path).returncode, 0)
        self.assertEqual(run("--require", "monotone_reads:2", self.path).returncode, 0)
        too_few = run("--require", "read_your_writes:4", self.path)
        self.assertEqual(too_few.returncode, 2)
        self.assertIn("only 3 to check for read_your_writes:4", too_few.stderr)
        for wrong in ("read_your_writes:", "read_your_writes:x", "read_your_writes:0", "read_your_writes:3x"):
            self.assertEqual(run("--require", wrong, self.path).returncode, 2, wrong)


class WriterTest(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.path = pathlib.Path(directory.name) / "history.jsonl"

    def lines(self):
        return self.path.read_text().splitlines()

    def test_memory_is_bounded_by_the_buffer(self):
        log = HistoryLog(self.path, buffer_bytes=1000, flush_seconds=3600)
        for number in range(100):
            log.seen("source", f"request {number}")
            self.assertLess(log._bytes, 1000)
        self.assertGreater(len(self.lines()), 80)
        log.close()
        log.close()
        self.assertEqual(len(self.lines()), 100)

    def test_nothing_waits_longer_than_the_time_given_once_the_next_comes(self):
        with HistoryLog(self.path, flush_seconds=0) as log:
            log.seen("source", "request")
            self.assertEqual(len(self.lines()), 1)

    def test_a_log_is_appended_to(self):
        for _ in range(2):
            with HistoryLog(self.path) as log:
                log.seen("source", "request")
        self.assertEqual(len(self.lines()), 2)

    def test_threads_share_a_log_without_mixing_lines(self):
        with HistoryLog(self.path, buffer_bytes=100) as log:
            threads = [threading.Thread(target=lambda: [log.seen("source", "x" * 50) for _ in range(200)])
                       for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        self.assertEqual([json.loads(line)["request"] for line in self.lines()], ["x" * 50] * 800)


def measure(operations: int, keys: int) -> int:
    with tempfile.TemporaryDirectory() as directory:
        path = pathlib.Path(directory) / "history.jsonl"
        began = time.monotonic()
        record(path, operations, keys)
        recorded = time.monotonic()
        done = run(path)
        judged = time.monotonic()
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024
        print(done.stdout, done.stderr)
        print(f"{operations} operations, {keys} keys, {path.stat().st_size >> 20} MiB: recorded in "
              f"{recorded - began:.1f} s, judged in {judged - recorded:.1f} s with {peak} MiB, exit {done.returncode}")
        return done.returncode


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("--operations", type=int)
    parser.add_argument("--keys", type=int, default=10_000)
    arguments, rest = parser.parse_known_args()
    PROGRAM = arguments.program
    if arguments.operations:
        sys.exit(measure(arguments.operations, arguments.keys))
    unittest.main(argv=[sys.argv[0], *rest])
