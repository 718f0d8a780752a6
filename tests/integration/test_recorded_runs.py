"""Real runs in which several writers share their keys, judged by history_check. scripts/planted runs some on bugs."""

import random

import pytest

from recorded_run import RecordedRun, WritesHeldUp

ALWAYS = ("linearizability", "resurrection", "set_lost", "sides_differ", "illegal_final", "request_not_seen",
          "request_not_sent")


@pytest.fixture
def record(tmp_path, chroma, pgvector, make_vmproxy, seed):
    runs = []

    def begin(**how):
        run = RecordedRun(tmp_path, chroma, pgvector, make_vmproxy, seed, **how)
        runs.append(run)
        run.begin()
        return run

    yield begin
    for run in runs:
        run.writers.stop()
        run.close()


def test_there_and_back_and_there(record, scale):
    run = record()
    some = {"writes": scale(400, 100), "reads": scale(400, 100)}
    run.vmproxy.command("start", timeout=300)
    run.writers.go_on(**some)
    for percent in (50, 100):
        run.reads(percent)
        run.writers.go_on(**some)
    run.promote()
    run.writers.go_on(**some)
    run.roll_back()
    run.writers.go_on(**some)
    run.vmproxy.wait(lambda s: s["state"] == "ready", 120, "ready again after the rollback")
    run.reads(100)
    run.promote()
    run.writers.go_on(**some)
    run.end()
    report = run.judge(*ALWAYS, "two_primaries", "epoch_backwards", "read_your_writes", "monotone_reads")
    assert report["counts"]["executions"] > 0 and report["counts"]["scans"] > 0
    run.judge_mixed(scale(150, 40))


def test_behind_a_slow_target(record, scale):
    """What is acknowledged reaches the target late, again and again; reads never show that."""
    run = record()
    run.vmproxy.command("start", timeout=300)
    run.reads(100)
    before = run.vmproxy.metric("requests_total", side="target")
    # Longer than any write takes, or a read that lacks one could be one that came a moment too early.
    with WritesHeldUp(run.pgvector, run.writers.collection_name, seconds=1.5, pause=0.5) as held_up:
        while held_up.times < scale(8, 3):
            run.writers.go_on(writes=50, reads=50)
    assert run.vmproxy.metric("requests_total", side="target") > before, "no read was the target's to answer"
    returned = run.vmproxy.metric("reads_returned_total", reason="stale")
    run.end()
    run.judge(*ALWAYS)  # first: with the bug that calls all fresh, nothing is returned
    assert returned > 0, "the target was never behind"


def test_behind_a_slow_source(record, scale, seed):
    """Writes reach the source late, or its answers come late, so that others overtake them. Either side answers reads."""
    run = record(keys=16)
    run.vmproxy.command("start", timeout=300)
    chance = random.Random(seed)
    for percent in (50, 100):
        run.reads(percent)
        run.hold = lambda _: 0.3 if chance.random() < 0.1 else 0.0
        run.hold_answer = lambda _: 0.3 if chance.random() < 0.1 else 0.0
        run.writers.go_on(writes=scale(400, 200), reads=scale(400, 200))
        run.hold = run.hold_answer = lambda _: 0.0
        for n in range(3):
            if percent == 50:
                run.read_before_it_is_answered(f"looked at/{n}")
            else:
                run.overtake(f"overtaken/{n}")
    run.end()
    run.judge(*ALWAYS)
    run.judge_mixed(scale(120, 50))
    assert run.held > 20


def test_changes_of_the_primary_meet_writes(record, scale, seed):
    """Writes are under way at the old primary, and changes on their way to the new one, while the primary is changed."""
    run = record(keys=48, groups=8)
    run.vmproxy.command("start", timeout=300)
    run.reads(100)
    chance = random.Random(seed)

    def slowly(_) -> float:
        return 0.9 if chance.random() < 0.5 else 0.0  # the fence waits for 2 s

    for _ in range(scale(3, 2)):
        run.hold = slowly
        with WritesHeldUp(run.pgvector, run.writers.collection_name, seconds=0.6, pause=0.3):
            run.writers.go_on(writes=10)
            run.promote()
        run.hold = lambda _: 0.0
        run.writers.go_on(writes=scale(100, 40), reads=scale(300, 100))
        run.hold_mirror = slowly
        run.writers.go_on(writes=10)
        run.roll_back()
        run.hold_mirror = lambda _: 0.0
        run.writers.go_on(writes=scale(100, 40), reads=scale(100, 40))
        run.vmproxy.wait(lambda s: s["state"] == "ready", 120, "ready again after the rollback")
        run.reads(100)
    run.end()
    run.judge(*ALWAYS, "two_primaries", "epoch_backwards")
    assert run.held > 10


def test_writers_that_add(record, scale):
    """After the promotion, at a target whose answers take their time: several add one key at once, the first has it."""
    run = record(keys=8, groups=2)
    run.vmproxy.command("start", timeout=300)
    run.reads(100)
    run.promote()
    run.writers.kinds = {"add": 60, "delete": 40}
    run.target.delay = 0.01
    run.writers.go_on(writes=scale(400, 150), reads=scale(400, 150))
    run.target.delay = 0.0
    run.end()
    run.judge(*ALWAYS)


def test_lost_answers(record, scale, seed):
    """The source executes writes, and their answers get lost: each is asked for once, and shows as one error. Either side
    answers reads."""
    run = record(keys=96, groups=16)
    run.vmproxy.command("start", timeout=300)
    run.reads(50)
    run.writers.expects_errors = True
    chance = random.Random(seed)
    run.lose = lambda _: chance.random() < 0.1
    run.writers.go_on(writes=scale(600, 200))
    run.lose = lambda _: False
    run.end()
    run.judge(*ALWAYS)
    run.judge_mixed(scale(100, 20))
    assert run.lost > 5
    assert len(run.writers.tolerated) == run.lost, run.writers.tolerated[:5]


@pytest.mark.long
def test_kills(record, scale, seed):
    """Killed (-9) while the source is the primary and while the target is."""
    run = record()
    run.vmproxy.command("start", timeout=300)
    run.writers.expects_errors = True
    for _ in range(scale(3, 1)):
        run.writers.go_on(writes=scale(150, 60))
        run.kill9()
    run.vmproxy.wait_drained()
    run.reads(100)
    run.promote()
    for _ in range(scale(3, 1)):
        run.writers.go_on(writes=scale(150, 60))
        run.kill9()
    run.writers.go_on(writes=scale(150, 60))
    run.end()
    run.judge(*ALWAYS, "two_primaries")
