"""What all servers share: a process tree that can be started, stopped, killed and suspended."""

import atexit
import functools
import os
import pathlib
import random
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import time

HOST = "127.0.0.1"


class ServerError(RuntimeError):
    pass


def cache_dir() -> pathlib.Path:
    home = os.environ.get("HOME", "/root")
    return pathlib.Path(os.environ.get("VMPROXY_CACHE") or f"{home}/.cache/vmproxy")


def data_place(default=None):
    """Where temporary servers keep their data: what VMPROXY_SERVERS_DATA says (scripts/test: in memory), else the default."""
    return os.environ.get("VMPROXY_SERVERS_DATA") or default


def read_authorities_once() -> None:
    """Each client reads all of the system's authorities, also one of plain HTTP: 50 ms of a processor. All of this process share them."""
    ssl.create_default_context = functools.cache(ssl.create_default_context)


def environment_python(name: str) -> str:
    python = cache_dir() / "venv" / name / "bin" / "python"
    if not python.exists():
        raise ServerError(f"{name} is not installed: run scripts/bootstrap")
    return str(python)


_port_random = random.SystemRandom()


def free_port(count: int = 1) -> int:
    """The first of `count` consecutive ports that nobody listens on.

    Below the ephemeral range, so that no outgoing connection takes the port while its
    owner is down between a kill and a restart.
    """
    for _ in range(1000):
        first = _port_random.randrange(12000, 32000 - count)
        if all(_is_free(port) for port in range(first, first + count)):
            return first
    raise ServerError("no free port found")


def _is_free(port: int) -> bool:
    for host in (HOST, "0.0.0.0"):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError:
                return False
    return True


def process_tree(root: int) -> list:
    """The process and all its living descendants, parents first."""
    children = {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            with open(f"/proc/{entry}/stat", encoding="latin-1") as stat:
                fields = stat.read().rpartition(")")[2].split()
        except OSError:
            continue
        if fields[0] != "Z":
            children.setdefault(int(fields[1]), []).append(int(entry))
    found = [root]
    for pid in found:
        found.extend(children.get(pid, []))
    return found


def send_signal(pids, number) -> None:
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            pass


def process_stands(pid: int) -> bool:
    """Every thread of it has stopped, or it is gone."""
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/stat", encoding="latin-1") as stat:
                if stat.read().rpartition(")")[2].split()[0] not in "TtZX":
                    return False
    except OSError:
        pass
    return True


def process_exists(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", encoding="latin-1") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_until(condition, timeout: float, what: str, interval: float = 0.02):
    """Polls until the condition is true and returns its value; ServerError after the timeout."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise ServerError(f"timed out after {timeout:.0f} s: {what}")
        time.sleep(interval)


class Server:
    """One real database on loopback. Subclasses say how it starts and when it is ready."""

    name = ""
    port_count = 1
    ready_timeout = 60.0
    stop_signal = signal.SIGTERM
    stop_timeout = 30.0

    def __init__(self, data_dir=None, port=None):
        self.temporary = data_dir is None
        self.data_dir = pathlib.Path(data_dir or self.make_data_dir()).absolute()
        self.port = port or free_port(self.port_count)
        self.process = None
        self.log_path = self.data_dir / "server.log"

    # What a subclass provides.
    def make_data_dir(self) -> str:
        return tempfile.mkdtemp(prefix=f"vmproxy-{self.name}-", dir=data_place())

    def prepare(self) -> None:
        """Once before each start: files, initial database."""

    def command(self) -> list:
        raise NotImplementedError

    def popen_options(self) -> dict:
        return {}

    def probe(self) -> bool:
        """True when the server answers a real request of its protocol."""
        raise NotImplementedError

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    # What every server can do.
    def start(self) -> "Server":
        if self.running:
            raise ServerError(f"{self.name} is running already")
        self.data_dir.mkdir(parents=True, exist_ok=True)
        self.prepare()
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                self.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True, **self.popen_options())
        atexit.register(self._kill_quietly)
        try:
            self.wait_ready()
        except BaseException:
            self._kill_quietly()
            raise
        return self

    def wait_ready(self, timeout=None) -> None:
        def ready():
            if self.process.poll() is not None:
                raise ServerError(f"{self.name} ended with code {self.process.returncode}")
            return self.probe()
        try:
            wait_until(ready, timeout or self.ready_timeout, f"{self.name} to be ready")
        except ServerError as error:
            raise ServerError(f"{error}\n{self.log_tail()}") from None

    def stop(self) -> None:
        """A clean stop; a no-op when it does not run."""
        if not self.running:
            return
        tree = process_tree(self.process.pid)
        send_signal(tree, signal.SIGCONT)  # a suspended process could not stop
        send_signal([self.process.pid], self.stop_signal)
        try:
            self.process.wait(self.stop_timeout)
        except subprocess.TimeoutExpired:
            self.kill9()
            return
        self._end(tree)

    def end_clients(self) -> None:
        """Ends what the server still does for clients that are gone. Most servers notice by themselves."""

    def kill9(self) -> None:
        """What a crash or a lost machine looks like: no goodbye, for the whole tree."""
        if self.process is None:
            return
        self._end(process_tree(self.process.pid))

    def suspend(self) -> None:
        """The server is there but does not answer (SIGSTOP)."""
        def all_stand():
            tree = process_tree(self.process.pid)
            running = [pid for pid in tree if not process_stands(pid)]
            send_signal(running, signal.SIGSTOP)  # children that came since the last look, too
            return not running
        wait_until(all_stand, 10, f"{self.name} to stand still")

    def resume(self) -> None:
        send_signal(reversed(process_tree(self.process.pid)), signal.SIGCONT)

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def log_tail(self, lines: int = 30) -> str:
        try:
            text = self.log_path.read_text(errors="replace")
        except OSError:
            return ""
        return f"--- end of {self.log_path}\n" + "\n".join(text.splitlines()[-lines:])

    def discard(self) -> None:
        """Ends the server and removes its data."""
        self.kill9()
        shutil.rmtree(self.data_dir, ignore_errors=True)

    def _end(self, tree) -> None:
        send_signal(tree, signal.SIGKILL)
        self.process.wait()
        wait_until(lambda: not any(process_exists(pid) for pid in tree), 10,
                   f"the processes of {self.name} to end")
        atexit.unregister(self._kill_quietly)

    def _kill_quietly(self) -> None:
        try:
            self.kill9()
        except Exception:  # at exit there is nobody left to tell
            pass

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        if self.temporary:
            self.discard()  # nobody will read what a clean stop would save
        else:
            self.stop()
