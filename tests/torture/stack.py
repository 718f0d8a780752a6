"""A vmproxy between a real Chroma and a real pgvector, with an application that writes down what it was told.

    with Stack(context, "outages", seed) as stack:
        stack.begin()                  # migration ready, load running
        ...                            # faults
        stack.check_whole(result)      # both sides, and the history by history_check
"""

import contextlib
import json
import pathlib
import shutil
import tempfile
import urllib.request

import sides
from chaos import drive
from history import now
from history_log import HistoryLog
from journey import Journey
from recorded_history import write_down_final
from relay import Relay
from servers import create
from faultproxy import FaultProxy
from torture.context import Context
from torture.row import RowResult
from torture.witness import Witness
from vmproxy import Vmproxy
from workload import Workload, separate_client

# What each history must have something for.
ALWAYS = ("linearizability", "resurrection", "monotone_reads", "sides_differ", "illegal_final")
AFTER_READY = {"ready", "canary", "reads_moved", "promoted", "finalized"}


class Stack:
    def __init__(self, context: Context, name: str, seed: int, *, records: int = 2000, writes: float = 50.0, tolerate=False,
                 settings=None, data_dir=None, workload_class=Workload,
                 target_relay=Relay, environment=None, links=None, direct=False, program=None, watched=(), **workload):
        """watched: on which links ("client", "source") requests are looked at, for the rules about primaries and requests."""
        self.context, self.seed = context, seed
        self.checker = context.program("history_check")
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix=f"vmproxy-torture-{name}-"))
        self._ends = contextlib.ExitStack()
        self._good = False
        try:
            self.chroma = self._server("chroma")
            self.pgvector = self._server("pgvector")
            # Between vmproxy and its databases, so that connections can be cut from outside.
            self.to_source, self.to_target = Relay(self.chroma.port), target_relay(self.pgvector.port)
            self._ends.callback(self.to_source.close)
            self._ends.callback(self.to_target.close)
            self.vmproxy = Vmproxy(self.folder / "vmproxy", {}, {}, settings=settings, environment=environment, program=program)
            self._connect(links, direct, watched)
            if data_dir:
                self.vmproxy.config["data_dir"] = str(data_dir)
                self.vmproxy.write_config()
            self._ends.callback(self.vmproxy.kill9)
            self.history_file = self.folder / "history.jsonl"
            self.log = HistoryLog(self.history_file)
            self._ends.callback(self.log.close)
            port = self.proxy.ports["client"] if links or "client" in watched else self.vmproxy.port
            self.workload = workload_class(lambda: separate_client("127.0.0.1", port), context.corpus(records), seed=seed,
                                     write_rate=writes, tolerate_connection_errors=tolerate, history_log=self.log, **workload)
            self._ends.callback(self.workload.stop)
            self.journey = Journey(self.vmproxy, self.workload, self.chroma, self.source_records, self.target_records,
                                   {"writes": 10, "reads": 10})
        except BaseException:
            self._ends.close()
            raise

    def _server(self, name: str):
        server = create(name)
        self._ends.callback(server.discard)
        return server.start()

    def _connect(self, links, direct: bool, watched) -> None:
        """links: a fault proxy's class, for all three ways; direct: nothing is between but who watches; else the relays are."""
        source, target = self.to_source.port, self.to_target.port
        if direct:
            source, target = self.chroma.port, self.pgvector.port
        upstreams = {"client": self.vmproxy.port, "source": self.chroma.port, "target": self.pgvector.port}
        self.witness = None
        if links or watched:
            self.context.program("faultproxy")
            self.proxy = (links or FaultProxy)(upstreams if links else {link: upstreams[link] for link in watched},
                                               seed=self.seed)
            self._ends.callback(self.proxy.close)
            source, target = self.proxy.ports["source"], self.proxy.ports.get("target", target)
            self.witness = Witness(self.status, self.proxy, client=bool(links) or "client" in watched, executions=not links)
            self._ends.callback(self.witness.end)
        self.vmproxy.config["databases"] = {
            "old": {"system": "chroma", "url": self.chroma.url.replace(str(self.chroma.port), str(source))},
            "new": {"system": "pgvector", "url": self.pgvector.url.replace(str(self.pgvector.port), str(target))}}
        self.vmproxy.write_config()

    def __enter__(self) -> "Stack":
        return self

    def __exit__(self, kind, *_) -> None:
        if not self._good:
            for name, relay in (("source", self.to_source), ("target", self.to_target)):
                for when, why in relay.ends:
                    self.note(f"at {when:.3f} a connection to the {name} ended: {why}")
        self._ends.close()
        if kind is None and self._good:
            shutil.rmtree(self.folder, ignore_errors=True)
        else:
            self.context.say(f"kept for a look: {self.folder}")

    def note(self, text: str) -> None:
        """For whoever looks into the folder of a run that failed."""
        with open(self.folder / "notes", "a", encoding="utf-8") as notes:
            notes.write(f"{now():.3f} {text}\n")

    def good(self) -> None:
        """Nothing here is worth a look: the folder goes away."""
        self._good = True

    def source_records(self) -> dict:
        return sides.chroma_records(self.chroma, "packages")

    def target_records(self) -> dict:
        return sides.pgvector_records(self.pgvector, "packages")

    # The way to where the faults begin.
    def begin(self, ready: bool = True) -> None:
        self.vmproxy.start()
        if self.witness:
            self.witness.start()
        self.workload.preload(self.chroma.client(), fraction=0.8)
        self.workload.start()
        if ready:
            self.to_ready()

    def to_ready(self, timeout: float = 600) -> None:
        drive(self.vmproxy, lambda status: status["state"] in AFTER_READY, "start",
              begun=lambda status: status["state"] not in ("created", "abandoned"), timeout=timeout)

    def go_round(self, over, patience: float = 600.0) -> bool:
        """There and back, while somebody else brings faults, until `over()`. Whether it was a whole one. patience: seconds for each
        step."""
        def until(reached, *command):
            return lambda: drive(self.vmproxy, reached, *command, timeout=patience)
        steps = [lambda: self.to_ready(patience)]
        for percent in (10, 50, 100):
            steps.append(until(lambda s, p=percent: s["reads_percent"] == p, "cutover", "--percent", str(percent)))
        steps += [until(lambda s: s["primary"] == "target", "promote"),
                  until(lambda s: s["primary"] == "source", "rollback", "--reason", "another round")]
        for step in steps:
            if over():
                return False
            step()
            self.journey.go_on()
        return True

    # One order to the admin API, without a process of its own: thousands of them are given.
    def order(self, action: str, timeout: float = 60.0, **body) -> dict:
        request = urllib.request.Request(f"{self.vmproxy.admin_url}/api/v1/migrations/m/{action}", json.dumps(body).encode(),
                                         {"Content-Type": "application/json"}, method="POST")
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            return json.load(answer)

    def status(self) -> dict:
        with urllib.request.urlopen(f"{self.vmproxy.admin_url}/api/v1/migrations/m", timeout=30) as answer:
            return json.load(answer)

    # The verdict.
    def check_sides(self, result: RowResult, when: str) -> None:
        """Record by record while no write is under way."""
        try:
            self.journey.assert_equal_sides()
        except AssertionError as error:
            result.anomaly(f"{when}: {error}")

    def check_whole(self, result: RowResult) -> None:
        """The end: drained, both sides read, the whole history judged by history_check and by the application itself."""
        self.workload.stop()
        try:
            self.vmproxy.wait_drained()
        except AssertionError as error:
            result.anomaly(f"at the end: {error}")
        left, right = self.source_records(), self.target_records()
        for line in sides.differences(left, right):
            result.anomaly(f"at the end the sides differ (left: source, right: target): {line}")
        for text in [*self.workload.errors, *self.workload.violations]:
            result.anomaly(f"the application saw: {text}")
        for side, records in (("source", left), ("target", right)):
            for line in sides.illegal_final(self.workload.history, records):
                result.anomaly(f"the {side} against the acknowledged history: {line}")
        self.workload.history.close()
        write_down_final(self.workload.history, self.log, "source", left)
        write_down_final(self.workload.history, self.log, "target", right)
        if self.witness:
            self.witness.end()
            if self.witness.error:
                result.anomaly(f"the witness of requests gave up: {self.witness.error}")
            self.witness.write_down(self.log, self.workload.history.acknowledged)
        self.log.close()
        self._judge_history(result)
        if reported := self.vmproxy.sanitizer_reports():
            result.anomaly(reported)
        counts = self.workload.counts
        result.add_load({"write requests": counts["writes"], "records written": counts["records"], "reads": counts["reads"],
                         "requests whose outcome a fault hid": len(self.workload.tolerated)})
        self._good = result.anomaly_count == 0

    def _judge_history(self, result: RowResult) -> None:
        required = [*ALWAYS, *(self.witness.rules if self.witness else ())]
        options = [word for rule in required for word in ("--require", rule)]
        code, lines = self.context.run(f"{result.name}.history_check", [self.checker, "--json", *options, self.history_file], 900)
        try:
            report = json.loads("\n".join(lines))
        except ValueError:
            result.anomaly(f"history_check ended with {code}: {' '.join(lines)[-2000:]}")
            return
        counts = report["counts"]
        judged = counts["reads"] + counts["writes"] + counts["deletes"]
        result.operations += judged
        if judged == 0:
            result.anomaly("history_check was given nothing to judge")
        if report["verdict"] == "clean" and code == 0:
            return
        for anomaly in report["anomalies"]:
            result.anomaly(f"history: {anomaly['rule']}, key {anomaly['key']}: {anomaly['what']}")
        if not report["anomalies"]:
            result.anomaly(f"history_check: {report['verdict']}, exit code {code}")
