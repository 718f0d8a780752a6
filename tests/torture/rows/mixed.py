"""All kinds of faults in one run, in whatever order the seed gives, while a migration goes to and fro.

Requests may fail while faults go on: what is judged is the history, both sides at the end, that only kills and SIGTERM end vmproxy,
and that a whole migration comes about without an error once the faults are over.
"""

import contextlib
import random
import signal
import subprocess
import threading

from chaos import close_gaps, drive
from fault_points import points
from servers.base import wait_until
from torture.bad_disk import ERRORS, BadDisk
from torture.row import STACKS, Row
from torture.rows.network_cells import DIRECTIONS, KINDS, LINKS, strike
from torture.stack import Stack
from torture.windows import WindowedWorkload
from vmproxy import CommandError

REST_SECONDS = (0.2, 3.0)    # between two faults
FAULT_SECONDS = (0.2, 2.0)   # of one that lasts
SPARED = 8                   # one of so many rests is long: the target is asked again (H57), and the migration gets somewhere
SPARED_SECONDS = (8.0, 14.0)
STOP_SECONDS = 60.0          # SIGTERM lets what is under way end first
ROUND_STEP_SECONDS = 90.0    # of an operator's patience with one step, while faults go on
# Of these a point gets one that its line in the list allows; a kill twice as often.
ACTIONS = ("kill", "kill", "delay=300", "fail", "drop", "full", "short=7")


class Nemesis:
    """One fault after the other, until it is stopped. Only it starts and ends processes meanwhile."""

    def __init__(self, stack, disk, seed: int, result, count: int):
        self.stack, self.disk, self.result, self.count = stack, disk, result, count
        self.done = 0
        self.error = None
        self._chance = random.Random(f"{seed} nemesis")
        self._points = points()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="nemesis", daemon=True)

    def start(self) -> "Nemesis":
        self._thread.start()
        return self

    def end(self) -> None:
        """Nothing fails any more when it returns."""
        self._stop.set()
        self._thread.join(120)
        assert not self._thread.is_alive(), "the last fault did not end within two minutes"
        self._alive("the last fault")
        self._disarm()

    def _disarm(self) -> None:
        """Also of a process that is too busy to answer at once; a dead one has nothing armed."""
        def disarmed() -> bool:
            if not self.stack.vmproxy.running:
                return True
            try:
                self.stack.vmproxy.arm("")
            except OSError:
                return False
            return True
        wait_until(disarmed, 30, "vmproxy to be told that nothing is armed")

    def _alive(self, when: str) -> None:
        """Nothing but a kill ends the process."""
        vmproxy = self.stack.vmproxy
        if not vmproxy.running:
            raise AssertionError(f"vmproxy ended with {vmproxy.process.returncode} by {when}\n{vmproxy.log_tail()}")

    @property
    def over(self) -> bool:
        return self.done >= self.count or self.error is not None

    def _run(self) -> None:
        # The journal's disk seldom: it leaves a gap, and with a gap there is no promotion until all is compared.
        kinds = 4 * (self._kill, self._stopped, self._point, self._point, self._network, self._network, self._hang,
                     self._away) + (self._journal,)
        tries = 0
        try:
            while not self.over:
                tries += 1
                spare = tries % SPARED == 0
                if self._stop.wait(self._chance.uniform(*(SPARED_SECONDS if spare else REST_SECONDS))):
                    return
                self._alive("itself")
                self._chance.choice(kinds)()
        except Exception as error:  # noqa: BLE001: whatever it is, the row says it
            self.error = f"{type(error).__name__}: {error}"

    def _lasts(self) -> None:
        self._stop.wait(self._chance.uniform(*FAULT_SECONDS))

    def _kill(self) -> None:
        self._fault("kill -9")
        self.stack.vmproxy.kill9()
        self._restarted()

    def _restarted(self) -> None:
        self.result.kills += 1
        self.stack.vmproxy.start(timeout=60)

    def _stopped(self) -> None:
        self._fault("SIGTERM")
        code = self.stack.vmproxy.stop(timeout=STOP_SECONDS)
        if code != 0:
            raise AssertionError(f"vmproxy ended with {code} after SIGTERM\n{self.stack.vmproxy.log_tail()}")
        self.stack.vmproxy.start(timeout=60)

    def _journal(self) -> None:
        """Nothing of it can be written, or nothing but the slot of capture gaps (bad_disk.py)."""
        kind = self._chance.choice([*ERRORS])
        self._fault(f"journal's disk {kind}")
        try:
            self.disk.spoil(kind)
            self._lasts()
        finally:
            self.disk.mend()
        self._alive(f"a journal's disk that is {kind}")

    def _point(self) -> None:
        vmproxy = self.stack.vmproxy
        point = self._chance.choice(self._points)
        able = [action for action in ACTIONS if action.split("=")[0] in point.actions]
        if not able:
            return self._kill()
        action, times = self._chance.choice(able), self._chance.randint(1, 3)
        met = False
        with contextlib.suppress(OSError):  # it is dead, or too busy to be told
            vmproxy.arm(f"{point.name}:{times}:{action}")
            self._lasts()
            met = self._hits(point.name) >= times
        self._disarm()
        if action == "kill" and not vmproxy.running and vmproxy.process.returncode == -signal.SIGKILL:
            met = True
            self._restarted()
        else:
            self._alive(f"{point.name}:{times}:{action}")
        if met:  # most points are passed in some state of the migration only
            self._fault(f"{action.split('=')[0]} at a fault point")
        return None

    def _hits(self, name: str) -> int:
        return next(point["hits"] for point in self.stack.vmproxy.get_json("/debug/faults")["points"] if point["name"] == name)

    def _network(self) -> None:
        link, direction, kind = self._chance.choice(LINKS), self._chance.choice(DIRECTIONS), self._chance.choice([*KINDS])
        self._fault(f"{link} link: {kind}")
        strike(self.stack.proxy, link, direction, kind)
        if kind not in ("reset", "half-close"):
            self._lasts()
            self.stack.proxy.clear(link)

    def _hang(self) -> None:
        side, server = self._chance.choice((("source", self.stack.chroma), ("target", self.stack.pgvector)))
        self._fault(f"{side} hangs")
        try:
            server.suspend()
            self._lasts()
        finally:
            server.resume()

    def _away(self) -> None:
        """Killed where a server bears it (rows/outages.py)."""
        source = self._chance.random() < 0.3
        self._fault(f"{'source' if source else 'target'} restarted")
        if source:
            self.stack.chroma.stop()
            self._lasts()
            self.stack.chroma.start()
        else:
            self.stack.pgvector.kill9()
            self._lasts()
            self.stack.pgvector.start()

    def _fault(self, kind: str) -> None:
        self.done += 1
        self.result.fault(kind)
        self.stack.note(f"fault {self.done}: {kind}")


def run(context, budget, seed):
    from faultproxy import FaultProxy
    program = context.program_with_faults()
    context.program("faultproxy")
    result = ROW.result(budget, seed)
    with BadDisk(context) as disk, Stack(context, ROW.name, seed, workload_class=WindowedWorkload, links=FaultProxy, program=program,
                                         data_dir=disk.path / "data", environment=disk.environment) as stack:
        stack.begin()
        stack.workload.open_window("everything at once", own_errors=True, lost_connections=True)
        nemesis = Nemesis(stack, disk, seed, result, budget.count).start()
        rounds = 0
        try:
            while not (nemesis.over or stack.workload.errors or stack.workload.violations) and budget.left() > 120:
                try:
                    rounds += stack.go_round(lambda: nemesis.over or budget.left() < 120, ROUND_STEP_SECONDS)
                except (AssertionError, CommandError, subprocess.TimeoutExpired) as error:
                    stack.note(f"the operator: {str(error)[:300]}")
                    # An operator with less patience than the faults have: a gap closes every gate until it is compared.
                    mend(stack)
        finally:
            try:
                nemesis.end()
            except (AssertionError, OSError) as error:
                nemesis.error = nemesis.error or str(error)
        result.done = nemesis.done
        if nemesis.error:
            result.anomaly(f"after fault {nemesis.done}: {nemesis.error}")
        else:
            afterwards(stack, result)
        for text in stack.workload.unexplained():
            result.anomaly(text)
        stack.check_whole(result)
        result.figure("whole rounds of the migration during faults", rounds, adds=True)
    return result


def mend(stack) -> None:
    """What the status tells an operator to do, as far as it goes while faults go on."""
    try:
        if stack.vmproxy.status()["gaps"]:
            close_gaps(stack.vmproxy, timeout=60)
    except (AssertionError, OSError, ValueError, subprocess.TimeoutExpired):
        pass


def afterwards(stack, result) -> None:
    """Nothing fails any more: all that was left uncertain comes to rest, and a whole round works."""
    vmproxy = stack.vmproxy
    try:
        stack.workload.wait_for(writes=20, reads=20, timeout=60, fail_fast=False)
        stack.workload.close_window()  # from now on requests have no excuse
        drive(vmproxy, lambda s: s["primary"] == "source", "rollback", "--reason", "the faults are over", timeout=300)
        stack.to_ready()
        close_gaps(vmproxy)
        status = vmproxy.status()
        if status["quarantined"]:
            result.anomaly(f"{status['quarantined']} records in quarantine, though every record is of a kind that both sides take: "
                           f"{vmproxy.run('quarantine', 'list').stdout[-1500:]}")
        vmproxy.wait(lambda s: s["lag"]["changes"] == 0, 180, "the target to have all that is known")
        # Writes whose end nobody knew may have been done since, where no bound is known to vmproxy: a comparison reads them again.
        vmproxy.command("validate", "--full", "--repair", timeout=300)
        if not stack.go_round(lambda: False, 300.0):
            result.anomaly("no whole round of the migration after the faults")
    except (AssertionError, CommandError, subprocess.TimeoutExpired) as error:
        result.anomaly(f"after the faults: {error}")


ROW = Row("mixed", "all kinds of faults in one run", "faults", None, (300, 1400), run, lane=STACKS)
