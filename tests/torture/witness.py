"""Who the primary was, and which writes went to vmproxy and from there to the source: what history_check needs for its rules
about primaries and requests (tests/checker/README.md).

The status tells the primary, asked for again and again: between two answers of the same generation it was the same. A fault
proxy before vmproxy and one before the source log the requests. A write goes on byte for byte while the source is the primary,
so what the source gets must have come from the application, once for each time; and it must get none while the target is.
"""

import bisect
import collections
import threading

from history_log import HistoryLog, now

SOURCE = "source"
WRITES = {"add", "upsert", "update", "delete"}
ASK_SECONDS = 0.1
COLLECT_SECONDS = 1.0
COMPLETE_SECONDS = 60.0  # what has not come to its last byte by then never will


class Reigns:
    """The times in which the primary was surely the same, from answers of the status in their order."""

    def __init__(self):
        self._since, self._known = [], []  # known: [until, side, epoch, generation]
        self._epoch, self._broken = 1, False

    def told(self, asked: int, answered: int, primary: str, generation: int) -> None:
        last = self._known[-1] if self._known else None
        if last and not self._broken and last[1:] == [primary, self._epoch, generation]:
            last[0] = asked
            return
        if last and primary != last[1]:
            self._epoch += 1
        elif last and generation != last[3]:
            self._epoch += 2  # there and back, for all that is known
        self._since.append(answered)
        self._known.append([answered, primary, self._epoch, generation])
        self._broken = False

    def broken(self) -> None:
        """No answer: what was the primary until the next one, nobody knows."""
        self._broken = True

    def of(self, call: int, ret: int):
        """(side, epoch) if the primary was certain all the while."""
        at = bisect.bisect_right(self._since, call) - 1
        if at < 0 or ret > self._known[at][0]:
            return None
        return self._known[at][1], self._known[at][2]


class Witness:
    """proxy: a FaultProxy with the link "source", and "client" if what the application sends is to be compared with it.
    executions: whether a write that arrives at the source was surely sent there just now, which no fault of that link leaves so."""

    def __init__(self, ask_status, proxy, *, client: bool, executions: bool):
        self._ask_status, self._proxy, self._client, self._executions = ask_status, proxy, client, executions
        self.reigns = Reigns()
        self.sent, self.seen = collections.Counter(), collections.Counter()
        self.at_source = []  # (when, which)
        self.error = None
        self._next = 0
        self._ending = threading.Event()
        self._threads = [threading.Thread(target=self._forever, args=how, name="witness", daemon=True)
                         for how in ((self._ask, ASK_SECONDS), (self._collect, COLLECT_SECONDS))]

    @property
    def rules(self) -> list:
        """What its records are for."""
        return [*(["two_primaries"] if self._executions else []), *(["request_not_sent"] if self._client else [])]

    def start(self) -> "Witness":
        for thread in self._threads:
            thread.start()
        return self

    def end(self) -> None:
        """Also of what is still under way."""
        self._ending.set()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(60)
        if self.error is None:
            self._take(incomplete_before=now())

    def write_down(self, log: HistoryLog, acknowledged) -> None:
        """acknowledged: (key, call, ret) of the application's writes."""
        for key, call, ret in acknowledged if self._executions else ():
            reign = self.reigns.of(call, ret)
            if reign:
                log.execution(*reign, key, call=call, ret=ret)
        for at, which in self.at_source if self._executions else ():
            reign = self.reigns.of(at, at)
            if reign:
                log.execution(SOURCE, reign[1], which, call=at, ret=at)
        if not self._client:
            return
        # Whether it had to arrive depends on faults, kills and fences: perhaps.
        for which in self.sent.elements():
            log.sent(SOURCE, which, certain=False)
        for which in self.seen.elements():
            log.seen(SOURCE, which)

    def _forever(self, work, seconds: float) -> None:
        try:
            while not self._ending.wait(seconds):
                work()
        except Exception as error:  # noqa: BLE001: whoever asks for the verdict is told
            self.error = f"{type(error).__name__}: {error}"

    def _ask(self) -> None:
        asked = now()
        try:
            status = self._ask_status()
        except (OSError, ValueError):
            self.reigns.broken()
            return
        self.reigns.told(asked, now(), status["primary"], status["generation"])

    def _collect(self) -> None:
        self._take(incomplete_before=now() - int(COMPLETE_SECONDS * 1e9))

    def _take(self, incomplete_before: int) -> None:
        """Up to the first one that may still come to its last byte."""
        for request in self._proxy.requests(self._next, self._proxy.logged()):
            if not request["complete"] and request["at"] >= incomplete_before:
                break
            self._look_at(request)
            self._next += 1
        self._proxy.forget(self._next)

    def _look_at(self, request: dict) -> None:
        operation = request["target"].partition("?")[0].rpartition("/")[2]
        if not request["complete"] or request["method"] != "POST" or operation not in WRITES:
            return
        # An SDK names itself; calls without a name are those of the mirror.
        if not any(name.lower() == "user-agent" for name, _ in request["headers"]):
            return
        which = f"{request['target']} {request['body_bytes']} {request['body_crc32']}"
        link, stage = request["link"], request["stage"]
        if link == "client" and stage in ("passed", "duplicate"):
            self.sent[which] += 1
        elif link == SOURCE and stage == "arrived":
            self.seen[which] += 1
            self.at_source.append((request["at"], which))
