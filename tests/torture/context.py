"""What rows share: where things are, the programs, and how an outside program's run becomes a row."""

import contextlib
import os
import pathlib
import re
import signal
import subprocess

import corpus as corpus_module
import vmproxy as vmproxy_module
from torture.row import NotRun

ENDS_WITHIN = 20.0  # seconds
ROOT = pathlib.Path(__file__).resolve().parents[2]


class Context:
    def __init__(self, logs: pathlib.Path, say):
        self.logs, self.say = logs, say
        self._corpora = {}

    def corpus(self, count: int):
        if count not in self._corpora:
            self._corpora[count] = corpus_module.load(count)
        return self._corpora[count]

    def program(self, name: str, *presets: str) -> str:
        """One of our own: beside the vmproxy under test, else of the named builds."""
        folders = [pathlib.Path(vmproxy_module.binary()).parent]
        folders += [ROOT / "build" / preset / "bin" for preset in (presets or ("release", "dev"))]
        for folder in folders:
            if os.access(folder / name, os.X_OK):
                return str(folder / name)
        raise NotRun(f"the program {name} (scripts/build {presets[0] if presets else 'release'} --target {name})")

    def program_with_faults(self) -> str:
        """A vmproxy that has fault points; scripts/test names the one that it has built."""
        program = os.environ.get("VMPROXY_FAULTS_BIN") or str(ROOT / "build" / "torture" / "bin" / "vmproxy")
        if not os.access(program, os.X_OK):
            raise NotRun("a vmproxy with fault points (scripts/build torture, or VMPROXY_FAULTS_BIN)")
        return program

    def needs_file(self, name: str) -> pathlib.Path:
        if not (ROOT / name).exists():
            raise NotRun(f"{name}, which is not in this tree")
        return ROOT / name

    def run(self, log: str, command: list, timeout: float, environment=None, folder=None) -> tuple:
        """(exit code or None when it took too long, its lines); all of them are kept in the logs."""
        file = self.logs / f"{log}.log"
        with open(file, "ab") as out:
            out.write(f"$ {' '.join(map(str, command))}\n".encode())
            out.flush()
            start = out.tell()
            process = subprocess.Popen(
                [*map(str, command)], stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, cwd=folder or ROOT,
                env={**os.environ, **(environment or {})}, start_new_session=True)
            try:
                code = process.wait(timeout)
            except subprocess.TimeoutExpired:
                code = None
            finally:
                end(process)
        return code, file.read_bytes()[start:].decode(errors="replace").splitlines()


def end(process) -> None:
    """With all that it started; pytest ends its servers, which are in sessions of their own, when it is interrupted."""
    if process.poll() is not None:
        return
    os.killpg(process.pid, signal.SIGINT)
    try:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(ENDS_WITHIN)
    finally:  # also when the run is ended just now
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def last_match(pattern: str, lines: list):
    """The match in the last line that has one."""
    for line in reversed(lines):
        if match := re.search(pattern, line):
            return match
    return None
