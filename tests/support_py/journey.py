"""The way of a live move, for any pair: there, back, there again, for good, with the source off.

The pair says how both sides are read: `records(side)` gives {key: (vector, document, metadata)} in
the source's terms.
"""

import sides
from history import now
from vmproxy import CommandError


class Journey:
    def __init__(self, vmproxy, workload, source, read_source, read_target, some, pause_max=None, reads_from=10):
        # From which percentage on a read must have reached the target: one that lags a second is seldom fresh at a low one.
        self.reads_from = reads_from
        self.vmproxy, self.workload, self.source = vmproxy, workload, source
        self.read_source, self.read_target = read_source, read_target
        self.some = some
        self.records = 0  # on each side, when they were compared
        self.pause_max = pause_max  # seconds that a write may wait in a promotion

    def assert_equal_sides(self) -> None:
        """Record by record, read directly from both databases, while no write is under way."""
        with self.workload.writers_paused():
            self.vmproxy.wait_drained()
            left, right = self.read_source(), self.read_target()
            status = self.vmproxy.status()
            unequal = sides.differences(left, right)
            wrong = sides.illegal_final(self.workload.history, left)
            assert not unequal and not wrong, "\n".join(
                ["the sides differ (left: source, right: target):", *unequal,
                 "the source against the acknowledged history:", *wrong,
                 "the target against it:", *sides.illegal_final(self.workload.history, right), str(status)])
            self.records = len(left)

    def go_on(self) -> None:
        self.workload.wait_for(**self.some)

    def run(self, preloaded: int) -> None:
        vmproxy = self.vmproxy
        self.workload.start()
        self.go_on()
        self.to_ready(preloaded)
        for percent in (10, 50, 100):
            self.move_reads(percent)
            assert vmproxy.status()["reads_percent"] == percent
            if percent >= self.reads_from:
                self.reads_reach_the_target()
            else:
                self.go_on()
        assert vmproxy.state() == "reads_moved"
        self.promote()
        self.assert_equal_sides()
        self.roll_back()
        self.assert_equal_sides()
        vmproxy.wait(lambda s: s["state"] == "ready", 120, "ready again after the rollback")
        self.move_reads(100)
        self.go_on()
        self.promote()
        self.assert_equal_sides()
        assert self.records > preloaded / 2, f"of {preloaded} records {self.records} are left to compare"
        self.finalize()
        unseen = [kind for kind in self.workload.kinds if not self.workload.counts[kind]]
        assert not unseen, f"no acknowledged write of these kinds: {unseen}"

    def when_near_enough(self, *command: str) -> float:
        """As its operator would: a target that is too far behind just now closes the gate `lag`, and is waited for. A promotion
        in which a database answers later than the fence may take is aborted without a change, and tried again; so is one whose
        target did not come near enough in its minute, writes going on; and one before which no read was tried on the target yet
        waits for the application. Returns for how long writes waited in the fence of the
        attempt that came through."""
        for _ in range(20):
            before = self.pauses()
            try:
                self.vmproxy.command(*command)
                return self.pauses() - before
            except CommandError as refused:
                if "reads is 0 tried" in str(refused):
                    self.go_on()
                    continue
                aborted = "aborted, nothing changed" in str(refused) or "the replica does not catch up" in str(refused)
                if "lag is" not in str(refused) and not aborted:
                    raise
                print(f"waiting: {refused}")
                if aborted:
                    continue
            self.vmproxy.wait(lambda s: s["lag"]["seconds"] < 2, 120, "the target to come nearer")
        raise AssertionError(f"the target is never near enough: {self.vmproxy.status()}")

    def move_reads(self, percent: int) -> None:
        self.when_near_enough("cutover", "--percent", str(percent))

    def reads_reach_the_target(self) -> None:
        """At a low percent and a high write rate few do: most are sent back, the target being behind."""
        before = self.vmproxy.metric("requests_total", side="target")
        for _ in range(20):
            self.go_on()
            if self.vmproxy.metric("requests_total", side="target") > before:
                return
        raise AssertionError(f"no read went to the target: {self.vmproxy.status()}")

    def to_ready(self, preloaded: int) -> None:
        self.vmproxy.command("start", timeout=900)
        status = self.vmproxy.status()
        assert status["state"] == "ready", status
        assert status["backfill"]["records"] >= preloaded * 0.5, status
        self.go_on()

    def promote(self) -> None:
        began = now()
        pause = self.when_near_enough("promote")
        took = now() - began
        status = self.vmproxy.status()
        assert (status["state"], status["primary"]) == ("promoted", "target"), status
        self.go_on()
        # A write that the fence held began shortly before it or in it.
        longest = self.workload.latencies.longest(kind="write", since=began - 1, until=began + took)
        print(f"promotion: {took:.2f} s, fence {pause * 1e3:.0f} ms, longest write meanwhile {longest * 1e3:.0f} ms")
        if self.pause_max is not None:
            assert pause <= self.pause_max, f"writes waited {pause:.3f} s in the fence"

    def pauses(self) -> float:
        return self.vmproxy.metric("promotion_pause_seconds_sum")

    def roll_back(self) -> None:
        self.vmproxy.command("rollback", "--reason", "a test of the way back")
        status = self.vmproxy.status()
        assert (status["primary"], status["reads_percent"]) == ("source", 0), status
        assert status["state"] in ("ready", "mirroring"), status
        self.go_on()

    def finalize(self) -> None:
        """The target is home; the source may be switched off, and is."""
        self.vmproxy.command("finalize")
        assert self.vmproxy.state() == "finalized"
        self.go_on()
        self.source.stop()
        self.go_on()
        self.workload.stop()
        self.workload.assert_clean()
        assert sides.illegal_final(self.workload.history, self.read_target()) == []
        latencies = self.workload.latencies
        print(f"writes p50 {latencies.percentile(0.5, kind='write') * 1e3:.1f} ms, "
              f"p99 {latencies.percentile(0.99, kind='write') * 1e3:.1f} ms, "
              f"longest {latencies.longest(kind='write') * 1e3:.0f} ms")
