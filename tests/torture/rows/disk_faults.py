"""The journal's disk full, failing (EIO) or read-only while the application writes: the configured policy, no crash.

refuse: no write is acknowledged that is not recorded. pass_and_mark: writes pass and the gap is durable before the first of them;
where the gap cannot be recorded either (nothing of the disk can be written), they are refused as well (H49). Reads go on
whatever happens, and no promotion begins.
"""

import subprocess
import threading
import time
import urllib.error
import urllib.request

from chaos import close_gaps
from history import now
from servers.base import ServerError, wait_until
from torture.bad_disk import BadDisk, slot_works
from torture.row import STACKS, Row
from torture.stack import Stack
from torture.windows import WindowedWorkload
from vmproxy import CommandError

KINDS = {"pass_and_mark": ("full", "EIO beside the slot", "EIO", "read-only"), "refuse": ("full", "EIO", "read-only")}
UNIT_SECONDS = 12.0
GAP_SECONDS = 20.0  # until the journal's failure must have shown
BAD_SECONDS = 1.0   # so long it is looked at what becomes of writes


def run(context, budget, seed):
    result = ROW.result(budget, seed)
    slowest = 0.0
    kinds_of_all = sum(len(kinds) for kinds in KINDS.values())
    goal = 0
    for number, (policy, kinds) in enumerate(KINDS.items()):
        goal = budget.count if number + 1 == len(KINDS) else budget.count * len(kinds) // kinds_of_all
        first, until = result.done, time.monotonic() + budget.left() * (goal - result.done) / max(1, budget.count - result.done)
        with BadDisk(context) as disk, Stack(context, ROW.name, seed + number, data_dir=disk.path / "data",
                                             settings={"journal": {"capture_failure": policy}},
                                             workload_class=WindowedWorkload, environment=disk.environment, direct=True) as stack:
            stack.begin()
            while result.done < goal and time.monotonic() + UNIT_SECONDS < until and not result.anomaly_count:
                kind = kinds[(result.done - first) % len(kinds)]
                slowest = max(slowest, cycle(stack, disk, kind, policy, result))
                result.done += 1
            for text in stack.workload.unexplained():
                result.anomaly(text)
            stack.check_whole(result)
    result.figure("recording again after the disk was well", slowest, "s", at_most=budget.limit(5.0, short=10.0))
    return result


def cycle(stack, disk, kind: str, policy: str, result) -> float:
    """Returns for how long after the disk's recovery the journal still could not be written."""
    vmproxy, workload = stack.vmproxy, stack.workload
    where = f"{kind}, {policy}"
    marks = policy == "pass_and_mark" and slot_works(kind)
    if not marks:
        workload.open_window(f"journal {kind}", own_errors=True, reads_too=False)
    result.fault(f"journal's disk {kind}")

    def noticed() -> bool:
        disk.spoil(kind)  # again: what the store has deleted meanwhile was space, too
        if not vmproxy.running:
            return True
        try:
            return not recording(vmproxy) and (not ready(vmproxy) if policy == "refuse" else not marks or gaps(vmproxy) > 0)
        except OSError:
            return not vmproxy.running  # it ended just now
    try:
        if not until(noticed, GAP_SECONDS):
            result.anomaly(f"{where}: the disk was bad for {GAP_SECONDS} s and nothing said so\n{vmproxy.log_tail(8)}")
        if vmproxy.running:
            while_bad(stack, where, marks, policy, result)
        if not vmproxy.running:
            result.anomaly(f"{where}: vmproxy ended\n{vmproxy.log_tail(8)}")
            return 0.0
    finally:
        disk.mend()
    mended = now()
    if not until(lambda: recording(vmproxy) and (policy != "refuse" or ready(vmproxy)), 60):
        result.anomaly(f"{where}: still not recording after a minute\n{vmproxy.log_tail()}")
    took = now() - mended
    if not marks:
        workload.close_window()
    workload.wait_for(writes=3, reads=3, timeout=60, fail_fast=False)
    # What passed uncaptured is found and repaired, and only then may anything move. What passed unmarked nobody repairs here:
    # the comparison at the end finds it.
    try:
        close_gaps(vmproxy)
    except AssertionError as error:
        result.anomaly(f"{where}: gaps that no validation closes: {error}")
    return took


def while_bad(stack, where: str, marks: bool, policy: str, result) -> None:
    """What becomes of the application's requests, and of an order to promote."""
    vmproxy, workload = stack.vmproxy, stack.workload
    workload.wait_for(reads=5, writes=5 if marks else 0, timeout=30, fail_fast=False)
    began = now()  # what was on its way before may be durable
    threading.Event().wait(BAD_SECONDS)
    passed = len(workload.latencies.seconds(kind="write", since=began))
    if passed and policy == "refuse":
        result.anomaly(f"{where}: {passed} writes were acknowledged while the journal could not be written")
    if passed and not gaps(vmproxy):
        result.anomaly(f"{where}: {passed} writes passed and no gap says so")
    refused_to_promote(stack, where, result)


def refused_to_promote(stack, where, result) -> None:
    try:
        stack.vmproxy.command("promote", "--force", "reads", timeout=60)
        result.anomaly(f"{where}: promoted although the journal could not be written")
    except subprocess.TimeoutExpired:
        result.anomaly(f"{where}: promote had no answer within a minute")
    except CommandError as error:
        if error.code not in (3, 1):
            result.anomaly(f"{where}: promote was refused with {error}")


def gaps(vmproxy) -> float:
    return vmproxy.metric("capture_gaps")


def recording(vmproxy) -> bool:
    """What its log said last of the journal."""
    text = vmproxy.log_path.read_text(errors="replace")
    return text.rfind("journal: recording again") >= text.rfind("journal: cannot record")


def ready(vmproxy) -> bool:
    try:
        with urllib.request.urlopen(f"{vmproxy.admin_url}/readyz", timeout=5) as answer:
            return answer.status == 200
    except urllib.error.HTTPError:
        return False


def until(condition, seconds: float) -> bool:
    try:
        wait_until(condition, seconds, "it")
        return True
    except ServerError:
        return False


ROW = Row("disk_faults", "disk full, EIO and a read-only journal, both policies", "cycles", (12, 240), (100, 900), run,
          lane=STACKS)
