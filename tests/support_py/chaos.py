"""Kills vmproxy at random moments and starts it again, while somebody else drives the migration."""

import random
import threading
import traceback

from history import now
from vmproxy import CommandError


class Killer:
    """Each kill comes `least` to `most` seconds after the last start; each `spared`-th leaves it alone for 10 to 18: so long that the
    target is asked again (H57), and the migration gets somewhere."""

    def __init__(self, vmproxy, seed, kills: int, least: float = 0.2, most: float = 4.0, spared: int = 0):
        self.vmproxy, self.kills = vmproxy, kills
        self.down = []  # (from, until)
        self.recoveries = []
        self.error = None
        self._chance = random.Random(f"{seed} killer")
        self._least, self._most, self._spared = least, most, spared
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="killer", daemon=True)

    def start(self):
        self._thread.start()
        return self

    def _run(self):
        try:
            while len(self.down) < self.kills:
                spare = self._spared and len(self.down) % self._spared == self._spared - 1
                if self._stop.wait(self._chance.uniform(*((10.0, 18.0) if spare else (self._least, self._most)))):
                    return
                began = now()
                self.vmproxy.kill9()
                self.vmproxy.start(timeout=60)
                self.down.append((began, now()))
                self.recoveries.append(now() - began)
        except Exception:
            self.error = traceback.format_exc()

    def again(self, kills: int):
        """So many more, when the ones before are over."""
        self.finish()
        self.kills += kills
        self._thread = threading.Thread(target=self._run, name="killer", daemon=True)
        return self.start()

    @property
    def done(self) -> bool:
        return len(self.down) >= self.kills

    def finish(self, timeout: float = 300.0) -> None:
        if self._thread.ident is not None:
            self._thread.join(timeout)
        assert self.error is None, self.error
        assert self.done, f"only {len(self.down)} of {self.kills} kills"

    def cancel(self) -> None:
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join(90)

    def outside(self, tolerated, slack: float = 0.05) -> list:
        """Connection errors that no kill explains."""
        return [entry for entry in tolerated
                if not any(entry[1] <= until + slack and entry[2] >= began - slack for began, until in self.down)]


def drive(vmproxy, reached, *command, begun=lambda status: False, timeout: float = 600.0) -> None:
    """Gives the command again and again until `reached(status)`, as an operator would whose
    server keeps dying. A command that another attempt has already made true is no error.
    Once `begun(status)`, nobody asks for it again: the rest has to come by itself."""
    deadline = now() + timeout
    last = "never tried"
    while True:
        try:
            status = vmproxy.status()
            if reached(status):
                return
            if begun(status):
                last = f"began, and is {status['state']}"
            else:
                vmproxy.command(*command, timeout=max(5.0, deadline - now()))
        except (CommandError, OSError, ValueError, KeyError) as error:
            last = str(error)
        except AssertionError as error:
            last = str(error)
        if now() > deadline:
            raise AssertionError(f"{' '.join(command)} not done within {timeout} s; last: {last}\n{vmproxy.log_tail()}")
        threading.Event().wait(0.1)  # between two attempts of an operator


def close_gaps(vmproxy, timeout: float = 180.0) -> None:
    """By full validations that repair, as many as it takes."""
    drive(vmproxy, lambda s: s["gaps"] == 0 and s["validation"]["phase"] != "running", "validate", "--full", "--repair",
          timeout=timeout)
