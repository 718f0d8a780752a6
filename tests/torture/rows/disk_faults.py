"""The journal's disk full, failing (EIO) or read-only while the application writes: the configured policy, no crash."""

import urllib.error
import urllib.request

from history import now
from servers.base import ServerError, wait_until
from torture.bad_disk import BadDisk
from torture.row import Row
from torture.stack import Stack
from torture.windows import WindowedWorkload
from vmproxy import CommandError

KINDS = ("full", "EIO", "read-only")
POLICIES = ("pass_and_mark", "refuse")
UNIT_SECONDS = 12.0
RECOVERY_MAX = 5.0
GAP_SECONDS = 20.0  # until the journal's failure must have shown


def run(context, budget, seed):
    result = ROW.result(budget, seed)
    slowest = 0.0
    for number, policy in enumerate(POLICIES):
        goal = budget.count * (number + 1) // len(POLICIES)
        with BadDisk(context) as disk, Stack(context, ROW.name, seed + number, data_dir=disk.path / "data",
                                             settings={"journal": {"capture_failure": policy}},
                                             workload_class=WindowedWorkload, environment=disk.environment, direct=True) as stack:
            stack.begin()
            while result.done < goal and budget.left() > UNIT_SECONDS and not result.anomaly_count:
                kind = KINDS[result.done % len(KINDS)]
                slowest = max(slowest, cycle(stack, disk, kind, policy, result))
                result.done += 1
            for text in stack.workload.unexplained():
                result.anomaly(text)
            stack.check_whole(result)
    result.figure("recording again after the disk was well", slowest, "s", at_most=RECOVERY_MAX)
    return result


def cycle(stack, disk, kind: str, policy: str, result) -> float:
    """Returns for how long after the disk's recovery the journal still could not be written."""
    vmproxy, workload = stack.vmproxy, stack.workload
    where = f"{kind}, {policy}"
    # Where the gap cannot be recorded either, the write is refused (H49): only a full disk lets the slot be overwritten.
    refuses = policy == "refuse" or kind != "full"
    if refuses:
        workload.open_window(f"journal {kind}", own_errors=True)
    result.fault(f"journal's disk {kind}")

    def noticed() -> bool:
        disk.spoil(kind)  # again: what the store has deleted meanwhile was space, too
        if not vmproxy.running:
            return True
        try:
            return not recording(vmproxy) and (not ready(vmproxy) if policy == "refuse"
                                               else refuses or vmproxy.metric("capture_gaps") > 0)
        except OSError:
            return not vmproxy.running  # it ended just now
    try:
        if not until(noticed, GAP_SECONDS):
            result.anomaly(f"{where}: the disk was bad for {GAP_SECONDS} s and nothing said so")
        if not vmproxy.running:
            result.anomaly(f"{where}: vmproxy ended\n{vmproxy.log_tail(8)}")
            return 0.0
        if not refuses:
            workload.wait_for(writes=5, reads=5, timeout=30, fail_fast=False)  # it goes on
            refused_to_promote(stack, where, result)
        if not vmproxy.running:
            result.anomaly(f"{where}: vmproxy ended\n{vmproxy.log_tail()}")
    finally:
        disk.mend()
    mended = now()
    if not until(lambda: recording(vmproxy) and (policy != "refuse" or ready(vmproxy)), 60):
        result.anomaly(f"{where}: still not recording after a minute\n{vmproxy.log_tail()}")
    took = now() - mended
    if refuses:
        workload.close_window()
    workload.wait_for(writes=3, reads=3, timeout=60, fail_fast=False)
    # What passed uncaptured is found and repaired, and only then may anything move.
    try:
        vmproxy.command("validate", "--full", "--repair", timeout=180)
        vmproxy.command("validate", "--full", timeout=180)
    except CommandError as error:
        if error.code != 4:
            result.anomaly(f"{where}: {error}")
    if stack.status()["gaps"] and policy == "pass_and_mark":
        result.anomaly(f"{where}: a clean validation left {stack.status()['gaps']} gaps")
    return took


def refused_to_promote(stack, where, result) -> None:
    try:
        stack.vmproxy.command("promote", timeout=60)
        result.anomaly(f"{where}: promoted although writes passed uncaptured")
    except CommandError as error:
        if error.code not in (3, 1):
            result.anomaly(f"{where}: promote was refused with {error}")


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


ROW = Row("disk_faults", "disk full, EIO and a read-only journal, both policies", "cycles", (9, 120), (100, 1500), run)
