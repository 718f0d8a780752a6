"""One vmproxy under test: its configuration (contract.md), its process, its commands."""

import json
import os
import pathlib
import re
import signal
import subprocess
import urllib.error
import urllib.request

import yaml

from servers.base import HOST, free_port, wait_until

ROOT = pathlib.Path(__file__).resolve().parents[2]
# The first words of a report of ASan, LSan, TSan and UBSan.
SANITIZER = re.compile(r"(ERROR|WARNING): \w+Sanitizer|:\d+:\d+: runtime error: ")
DESTRUCTIVE = {"promote", "rollback", "finalize", "abandon"}
STATES = ("created", "mirroring", "backfilling", "validating", "ready", "canary", "reads_moved",
          "promoted", "finalized")


def binary() -> str:
    chosen = os.environ.get("VMPROXY_BIN")
    candidates = [chosen] if chosen else [ROOT / "build" / preset / "bin" / "vmproxy" for preset in ("release", "dev")]
    for candidate in candidates:
        if os.access(candidate, os.X_OK):
            return str(candidate)
    raise RuntimeError(f"no vmproxy at {', '.join(map(str, candidates))}: run scripts/build release")


class CommandError(AssertionError):
    def __init__(self, arguments, result):
        self.code, self.stdout, self.stderr = result.returncode, result.stdout, result.stderr
        super().__init__(f"vmproxy {' '.join(arguments)}: exit code {self.code}\n"
                         f"stdout: {self.stdout[-3000:]}\nstderr: {self.stderr[-3000:]}")


class Vmproxy:
    """`databases` and `listeners` as in the configuration; ports of the listeners are chosen here."""

    def __init__(self, directory, source: dict, target: dict, *, dialect="chroma", collections=("*",), settings=None,
                 environment=None, program=None):
        """program: another one than all tests have."""
        self.program = str(program or binary())
        self.directory = pathlib.Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.port, self.admin_port = free_port(), free_port()
        self.config_path = self.directory / "vmproxy.yaml"
        self.log_path = self.directory / "vmproxy.log"
        self.process = None
        self.environment = environment  # what the process has beside that of the tests
        self.starts = 0
        self.config = {
            "data_dir": str(self.directory / "data"),
            "admin": {"listen": f"{HOST}:{self.admin_port}"},
            "databases": {"old": source, "new": target},
            "listeners": [{"listen": f"{HOST}:{self.port}", "dialect": dialect, "migration": "m"}],
            "migrations": {"m": {"source": "old", "target": "new", "collections": list(collections)}},
            **(settings or {}),
        }
        self.write_config()

    def write_config(self) -> None:
        self.config_path.write_text(yaml.safe_dump(self.config, sort_keys=False))

    # The process.
    def start(self, timeout: float = 30.0) -> "Vmproxy":
        self.launch()
        self.wait_serving(timeout)
        return self

    def launch(self, faults: str = "") -> None:
        """Begins the process, with these fault points armed (builds that have them; docs/reliability.md)."""
        environment = {**os.environ, **(self.environment or {}), **({"VMPROXY_FAULTS": faults} if faults else {})}
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen([self.program, "serve", "-c", str(self.config_path)], env=environment,
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.starts += 1

    def wait_serving(self, timeout: float = 30.0) -> None:
        def serving():
            if self.process.poll() is not None:
                raise AssertionError(f"vmproxy ended with code {self.process.returncode}\n{self.log_tail()}")
            try:
                with urllib.request.urlopen(f"{self.admin_url}/readyz", timeout=2) as answer:
                    return answer.status == 200
            except (urllib.error.URLError, OSError):
                return False
        try:
            wait_until(serving, timeout, "vmproxy to serve")
        except Exception as error:
            raise AssertionError(f"{error}\n{self.log_tail()}") from None

    def stop(self, timeout: float = 30.0) -> int:
        """A clean stop; returns the exit code."""
        if self.process is None:
            return 0
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"vmproxy did not stop within {timeout} s\n{self.log_tail()}") from None
        self.process = None
        return code

    def kill9(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    @property
    def admin_url(self) -> str:
        return f"http://{HOST}:{self.admin_port}"

    def log_tail(self, lines: int = 40) -> str:
        text = self.log_path.read_text(errors="replace") if self.log_path.exists() else ""
        return f"--- end of {self.log_path}\n" + "\n".join(text.splitlines()[-lines:])

    def sanitizer_reports(self) -> str:
        """What the sanitizers said of the process; empty without any (scripts/test --full builds with them)."""
        text = self.log_path.read_text(errors="replace") if self.log_path.exists() else ""
        first = SANITIZER.search(text)
        return text[first.start():][:20_000] if first else ""

    # Commands.
    def run(self, *arguments, timeout: float = 300.0, stdin=None):
        """Any command with this configuration; the completed process, whatever its exit code."""
        done = subprocess.run([self.program, "-c", str(self.config_path), *arguments], text=True, input=stdin,
                              stdin=None if stdin is not None else subprocess.DEVNULL,
                              capture_output=True, timeout=timeout, check=False)
        assert not SANITIZER.search(done.stderr), done.stderr
        return done

    def command(self, *arguments, timeout: float = 300.0) -> str:
        """A command that must succeed; its standard output."""
        words = list(arguments)
        if words[0] in DESTRUCTIVE and "--yes" not in words:
            words.append("--yes")
        result = self.run(*words, timeout=timeout)
        if result.returncode != 0:
            raise CommandError(words, result)
        return result.stdout

    def status(self) -> dict:
        return migration_of(json.loads(self.command("status", "-o", "json", timeout=60)))

    def state(self) -> str:
        return self.status()["state"]

    def wait(self, condition, timeout: float, what: str) -> dict:
        """Polls the status until the condition holds for it."""
        last = {}

        def holds():
            nonlocal last
            last = self.status()
            return condition(last)
        try:
            wait_until(holds, timeout, what, interval=0.1)
        except Exception as error:
            raise AssertionError(f"{error}; status: {json.dumps(last)}\n{self.log_tail()}") from None
        return last

    def wait_drained(self, timeout: float = 240.0) -> dict:
        """Nothing is owed to the replica any more."""
        return self.wait(lambda s: s["lag"]["changes"] == 0 and s["dirty"] == 0, timeout, "the mirror to catch up")

    # HTTP.
    def get_json(self, path: str):
        with urllib.request.urlopen(f"{self.admin_url}{path}", timeout=10) as answer:
            return json.load(answer)

    def arm(self, faults: str) -> None:
        """Fault points of the running process, instead of those that were armed."""
        request = urllib.request.Request(f"{self.admin_url}/debug/faults", json.dumps({"set": faults}).encode(),
                                         {"content-type": "application/json"}, method="POST")
        with urllib.request.urlopen(request, timeout=10) as answer:
            assert json.load(answer)["armed"] == faults

    def metrics(self) -> dict:
        """{name: {frozenset of (label, value): number}} without the vmproxy_ prefix."""
        with urllib.request.urlopen(f"{self.admin_url}/metrics", timeout=10) as answer:
            return parse_metrics(answer.read().decode())

    def metric(self, name: str, **labels) -> float:
        """The sum over all series of that name that carry these labels."""
        wanted = set(labels.items())
        return sum(value for series, value in self.metrics().get(name, {}).items() if wanted <= set(series))


def migration_of(answer) -> dict:
    """The one migration in a status answer."""
    if isinstance(answer, dict) and "state" in answer:
        return answer
    if isinstance(answer, dict) and "migrations" in answer:
        answer = answer["migrations"]
    if isinstance(answer, dict):
        answer = list(answer.values())
    if len(answer) != 1:
        raise AssertionError(f"one migration expected: {answer}")
    return answer[0]


def parse_metrics(text: str) -> dict:
    metrics = {}
    for line in text.splitlines():
        match = re.match(r"vmproxy_(\w+)(?:\{(.*)\})? (\S+)", line)
        if match:
            name, labels, value = match.groups()
            series = frozenset(re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', labels or ""))
            metrics.setdefault(name, {})[series] = float(value)
    return metrics


def databases(chroma, pgvector) -> tuple:
    """The configuration of the pair Chroma to pgvector."""
    return ({"system": "chroma", "url": chroma.url}, {"system": "pgvector", "url": pgvector.url})


def milvus_to_pgvector(milvus, pgvector) -> tuple:
    """The configuration of the pair Milvus to pgvector."""
    return ({"system": "milvus", "url": milvus.url}, {"system": "pgvector", "url": pgvector.url})


__all__ = ["CommandError", "Vmproxy", "binary", "databases", "milvus_to_pgvector", "migration_of", "parse_metrics", "STATES"]
