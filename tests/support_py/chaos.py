"""Kills vmproxy at random moments and starts it again, while somebody else drives the migration."""

import random
import threading
import traceback

from history import now
from vmproxy import CommandError


class Killer:
    def __init__(self, vmproxy, seed, kills: int, least: float = 0.2, most: float = 4.0):
        self.vmproxy, self.kills = vmproxy, kills
        self.down = []  # (from, until)
        self.recoveries = []
        self.error = None
        self._chance = random.Random(f"{seed} killer")
        self._least, self._most = least, most
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="killer", daemon=True)

    def start(self):
        self._thread.start()
        return self

    def _run(self):
        try:
            while len(self.down) < self.kills:
                if self._stop.wait(self._chance.uniform(self._least, self._most)):
                    return
                began = now()
                self.vmproxy.kill9()
                self.vmproxy.start(timeout=60)
                self.down.append((began, now()))
                self.recoveries.append(now() - began)
        except Exception:
            self.error = traceback.format_exc()

    @property
    def done(self) -> bool:
        return len(self.down) >= self.kills

    def finish(self, timeout: float = 300.0) -> None:
        self._thread.join(timeout)
        assert self.error is None, self.error
        assert self.done, f"only {len(self.down)} of {self.kills} kills"

    def cancel(self) -> None:
        self._stop.set()
        self._thread.join(90)

    def outside(self, tolerated, slack: float = 0.05) -> list:
        """Connection errors that no kill explains."""
        return [entry for entry in tolerated
                if not any(entry[1] <= until + slack and entry[2] >= began - slack for began, until in self.down)]


def drive(vmproxy, reached, *command, timeout: float = 600.0) -> None:
    """Gives the command until it is accepted once, then only waits for `reached(status)`: what a kill interrupts afterwards
    has to resume by itself.

    Accepted means exit code 0; `start` gets --no-wait, so that this is its durable answer and not the end of the copy. Two
    things may have to be given again, as a person would: a command whose answer a kill took away, and one that a gate refuses
    (the target is behind just now). cutover, promote and rollback are done when they are accepted: a flip that is killed
    before its commit leaves the old primary, had no answer, and is no work that resumes."""
    deadline = now() + timeout
    accepted = False
    last = "never tried"
    if command[0] == "start":
        command = (*command, "--no-wait")
    while True:
        try:
            if reached(vmproxy.status()):
                return
            if not accepted:
                vmproxy.command(*command, timeout=max(5.0, deadline - now()))
                accepted, last = True, "accepted, but not resumed or not come to its end"
        # No answer: the server is dead just now. A status that cannot be had does not undo the acceptance.
        except (AssertionError, CommandError, OSError, ValueError, KeyError) as error:
            if not accepted:
                last = str(error)
        if now() > deadline:
            raise AssertionError(f"{' '.join(command)} not done within {timeout} s; last: {last}\n{vmproxy.log_tail()}")
        threading.Event().wait(0.1)  # between two looks of an operator
