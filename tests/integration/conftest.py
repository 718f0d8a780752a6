"""Fixtures of the integration tests: real databases, a real vmproxy, the size of the tests.

VMPROXY_TEST_SCALE=0.05 runs everything small; 1 (the default) is what issue 3 asks for.
VMPROXY_TEST_SEED fixes the random choices; each failure prints the seed it had.
"""

import fcntl
import logging
import os
import pickle
import random
import tempfile

import pytest

pytest.register_assert_rewrite("journey", "chaos", "workload")
# gRPC's own handlers run in every child between fork and exec, and now and then end it there (a server that "ended with code -7").
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")

import corpus as corpus_module
from directly import ask
from servers import create
from servers.base import read_authorities_once
from vmproxy import Vmproxy, databases
from workload import Workload, separate_client


class Scale:
    def __init__(self, factor: float):
        self.factor = factor

    def __call__(self, full: int, least: int = 1) -> int:
        return max(least, int(full * self.factor))


def pytest_addoption(parser):
    parser.addoption("--points", default="1/1", metavar="I/N",
                     help="of the fault points only each Nth, beginning with the Ith, or none (pytest -m faults)")
    parser.addoption("--points-also", default="", metavar="NAMES", help="and these, by comma")


def pytest_configure(config):
    read_authorities_once()
    config.figures = []  # of tests that have one; its last line is what a run shows


def pytest_unconfigure(config):
    for figure in config.figures:
        print(figure)


def pytest_collection_modifyitems(items):
    def rank(item):
        live, long = (item.get_closest_marker(mark) for mark in ("live", "long"))
        # xdist gives two in a row to each worker at first: so each has one of the two longest live moves.
        return live is None, live is not None and live.kwargs.get("last", False), long is None
    items.sort(key=rank)


@pytest.fixture(autouse=True)
def quiet_sdks():
    """It logs each of the tests' deliberate errors."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.fixture(scope="session")
def scale() -> Scale:
    return Scale(float(os.environ.get("VMPROXY_TEST_SCALE", "1")))


@pytest.fixture(scope="session")
def once(tmp_path_factory):
    """once(name, work): what work() returned to the first of all test processes that asked."""
    directory = tmp_path_factory.getbasetemp()
    if os.environ.get("PYTEST_XDIST_WORKER"):
        directory = directory.parent  # all workers' own

    def answer(name, work):
        kept = directory / f"{name}.pickle"
        with open(directory / f"{name}.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not kept.exists():
                kept.write_bytes(pickle.dumps(work()))
            return pickle.loads(kept.read_bytes())

    return answer


@pytest.fixture(scope="session")
def answered_directly(once):
    """answered_directly(script, system): its answers, asked for once in the whole run."""
    return lambda script, system: once(script.__name__, lambda: ask(script, system))


@pytest.fixture
def seed() -> int:
    chosen = int(os.environ.get("VMPROXY_TEST_SEED") or random.SystemRandom().randrange(1 << 32))
    print(f"seed {chosen} (repeat with VMPROXY_TEST_SEED={chosen})")
    return chosen


@pytest.fixture(scope="session")
def corpus(scale):
    return corpus_module.load(scale(20_000, least=800))


def _server(name):
    server = create(name)
    try:
        yield server.start()
    finally:
        server.discard()


@pytest.fixture
def chroma():
    yield from _server("chroma")


@pytest.fixture
def milvus():
    yield from _server("milvus")


@pytest.fixture
def pgvector():
    yield from _server("pgvector")


@pytest.fixture
def make_vmproxy(request):
    """make_vmproxy(source, target, **options) starts one; all end with the test."""
    made = []

    def make(source, target, start=True, **options):
        directory = tempfile.mkdtemp(prefix="vmproxy-test-")
        vmproxy = Vmproxy(directory, source, target, **options)
        made.append(vmproxy)
        return vmproxy.start() if start else vmproxy

    yield make
    failed = getattr(request.node, "call_failed", True)
    for vmproxy in made:
        if failed:
            print(vmproxy.log_tail())
            print(f"kept for a look: {vmproxy.directory}")
        reported = True
        try:
            vmproxy.stop()
            reported = vmproxy.sanitizer_reports()
            assert not reported, f"a sanitizer reported (kept: {vmproxy.directory}):\n{reported}"
        finally:
            vmproxy.kill9()
            if not failed and not reported:
                import shutil
                shutil.rmtree(vmproxy.directory, ignore_errors=True)


@pytest.fixture
def vmproxy(make_vmproxy, chroma, pgvector):
    """Serving, Chroma to pgvector, nothing started yet."""
    return make_vmproxy(*databases(chroma, pgvector))


@pytest.fixture
def make_workload(corpus, seed):
    made = []

    def make(port, client=None, **options):
        workload = Workload(lambda: separate_client("127.0.0.1", port, **client or {}), corpus, seed=seed, **options)
        made.append(workload)
        return workload

    yield make
    for workload in made:
        workload.stop()
        print(workload.summary())


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    if report.when == "call":
        item.call_failed = report.failed
