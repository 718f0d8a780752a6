"""The processes of a measurement: pinned, their CPU seconds and memory read from /proc."""

import contextlib
import json
import os
import pathlib
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "support_py")]

from servers.base import HOST, free_port, process_tree, wait_until  # noqa: E402
from vmproxy import Vmproxy  # noqa: E402

BIN = pathlib.Path(os.environ.get("VMPROXY_BENCH_BIN", ROOT / "build" / "release" / "bin"))
os.environ.setdefault("VMPROXY_BIN", str(BIN / "vmproxy"))
PROXY_CORE = 0
LOAD_CORES = sorted(set(os.sched_getaffinity(0)) - {PROXY_CORE}) or [PROXY_CORE]
COLLECTION = "/api/v2/tenants/default_tenant/databases/default_database/collections/00000000-0000-4000-8000-000000000001"
TICK = os.sysconf("SC_CLK_TCK")


def pin(pid: int, cores) -> None:
    """All threads of the process; those that it starts later inherit it."""
    for thread in os.listdir(f"/proc/{pid}/task"):
        with contextlib.suppress(ProcessLookupError, FileNotFoundError):
            os.sched_setaffinity(int(thread), cores)


def cpu_seconds(root: int) -> float:
    total = 0
    for pid in process_tree(root):
        with contextlib.suppress(OSError), open(f"/proc/{pid}/stat", encoding="latin-1") as stat:
            fields = stat.read().rpartition(")")[2].split()
            total += int(fields[11]) + int(fields[12])
    return total / TICK


def memory_mb(root: int, field: str = "VmRSS") -> float:
    """Of the whole tree; VmHWM is the highest of each process."""
    total = 0
    for pid in process_tree(root):
        with contextlib.suppress(OSError), open(f"/proc/{pid}/status", encoding="latin-1") as status:
            total += sum(int(line.split()[1]) for line in status if line.startswith(field + ":"))
    return total / 1024


def busy_by_core() -> dict:
    """{core: (busy, all) ticks} since boot."""
    found = {}
    with open("/proc/stat", encoding="latin-1") as stat:
        for line in stat:
            name, *numbers = line.split()
            if name.startswith("cpu") and name != "cpu":
                numbers = [int(n) for n in numbers[:8]]
                found[int(name[3:])] = (sum(numbers) - numbers[3] - numbers[4], sum(numbers))
    return found


def fsync_median_ms(directory, count: int = 40, size: int = 8192) -> float:
    """What the disk needs now for an appended, synced write of a small request."""
    times = []
    with tempfile.NamedTemporaryFile(dir=directory) as file:
        data = os.urandom(size)
        for _ in range(count):
            begun = time.perf_counter()
            os.write(file.fileno(), data)
            os.fdatasync(file.fileno())
            times.append(time.perf_counter() - begun)
    return statistics.median(times) * 1e3


class Stage:
    """Starts what is needed, ends it all."""

    def __init__(self):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="vmproxy-bench-"))
        self.processes = []
        self.vmproxies = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for vmproxy in self.vmproxies:
            vmproxy.kill9()
        for process in self.processes:
            process.send_signal(signal.SIGTERM)
        for process in self.processes:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(2)
            process.kill()
            process.wait()
        subprocess.run(["rm", "-rf", str(self.directory)], check=False)

    def run(self, name: str, command, cores, port: int) -> subprocess.Popen:
        log = open(self.directory / f"{name}.log", "wb")
        process = subprocess.Popen(["taskset", "-c", ",".join(map(str, cores)), *map(str, command)],
                                   stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.processes.append(process)

        def there():
            if process.poll() is not None:
                raise RuntimeError(f"{name} ended: {(self.directory / (name + '.log')).read_text()[-2000:]}")
            import socket
            with socket.socket() as probe:
                return probe.connect_ex((HOST, port)) == 0
        wait_until(there, 10, f"{name} to listen")
        return process

    def backend(self, name: str, *collection) -> int:
        port = free_port()
        self.run(name, [BIN / "bench_backend", port, *collection], LOAD_CORES, port)
        return port

    def grpc_backend(self) -> int:
        port = free_port()
        self.run("grpc_backend", [BIN / "pass_through", port, "answer"], LOAD_CORES, port)
        return port

    def grpc_pass_through(self, upstream: int):
        port = free_port()
        return port, self.run("pass_through", [BIN / "pass_through", port, f"{HOST}:{upstream}"], [PROXY_CORE], port).pid

    def nginx(self, name: str, body: str, port: int, http2: bool = False):
        directory = self.directory / name
        directory.mkdir()
        config = directory / "nginx.conf"
        config.write_text(f"""
worker_processes 1; daemon off; pid {directory}/pid; error_log {directory}/error.log error;
events {{ worker_connections 8192; }}
http {{
  access_log off; tcp_nodelay on; keepalive_requests 100000000; keepalive_timeout 600s;
  client_max_body_size 64m; client_body_temp_path {directory}/body; proxy_temp_path {directory}/proxy;
  fastcgi_temp_path {directory}/f; uwsgi_temp_path {directory}/u; scgi_temp_path {directory}/s;
  http2_max_requests 100000000; http2_max_concurrent_streams 1024;
  {body}
}}
""".replace("LISTEN", f"{HOST}:{port}{' http2' if http2 else ''}"))
        return port, self.run(name, ["nginx", "-p", directory, "-c", config], [PROXY_CORE], port).pid

    def nginx_pass(self, backend: int):
        return self.nginx("nginx", f"""
  upstream source {{ server {HOST}:{backend}; keepalive 1024; keepalive_requests 100000000; }}
  server {{
    listen LISTEN; client_body_buffer_size 64k;
    location / {{ proxy_pass http://source; proxy_http_version 1.1; proxy_set_header Connection "";
                 proxy_request_buffering off; }}
  }}""", free_port())

    def nginx_mirror(self, source: int, replica: int):
        return self.nginx("nginx_mirror", f"""
  upstream source {{ server {HOST}:{source}; keepalive 1024; keepalive_requests 100000000; }}
  upstream replica {{ server {HOST}:{replica}; keepalive 1024; keepalive_requests 100000000; }}
  server {{
    listen LISTEN; client_body_buffer_size 1100k;
    location / {{ mirror /mirror; proxy_pass http://source; proxy_http_version 1.1; proxy_set_header Connection ""; }}
    location = /mirror {{ internal; proxy_pass http://replica$request_uri; proxy_http_version 1.1;
                         proxy_set_header Connection ""; }}
  }}""", free_port())

    def nginx_grpc(self, backend: int):
        return self.nginx("nginx_grpc", f"""
  upstream source {{ server {HOST}:{backend}; keepalive 1024; keepalive_requests 100000000; }}
  server {{ listen LISTEN; client_body_buffer_size 1100k; location / {{ grpc_pass grpc://source; }} }}""", free_port(), http2=True)

    def haproxy(self, backend: int, http2: bool = False):
        """`http2`: with prior knowledge on both sides, in a window that a body of 1 MB fits in."""
        port = free_port()
        config = self.directory / "haproxy.cfg"
        protocol = " proto h2" if http2 else ""
        config.write_text(f"""
global
  nbthread 1
  maxconn 8192
  tune.bufsize 32768
  {"tune.h2.initial-window-size 1048576" if http2 else ""}
defaults
  mode http
  option http-keep-alive
  http-reuse always
  timeout connect 5s
  timeout client 60s
  timeout server 60s
frontend f
  bind {HOST}:{port}{protocol}
  default_backend b
backend b
  server s {HOST}:{backend}{protocol}
""")
        return port, self.run("haproxy", ["haproxy", "-f", config, "-db"], [PROXY_CORE], port).pid

    def vmproxy(self, name: str, source: int, target: int, durability: str = "fsync", settings=None) -> Vmproxy:
        """The real `vmproxy serve`, one worker, on the proxies' core. Its migration is created, nothing more."""
        return self.serve(name, {"system": "chroma", "url": f"http://{HOST}:{source}"},
                          {"system": "chroma", "url": f"http://{HOST}:{target}"}, durability=durability, settings=settings)

    def vmproxy_grpc(self, backend: int):
        """None while vmproxy has no gRPC dialect in its list of systems."""
        address = {"system": "milvus", "url": f"http://{HOST}:{backend}"}
        try:
            return self.serve("grpc", address, {"system": "chroma", "url": f"http://{HOST}:1"}, dialect="milvus")
        except AssertionError as error:
            if "milvus" in str(error) and "system" in str(error):
                return None
            raise

    def serve(self, name, source: dict, target: dict, durability="fsync", settings=None, dialect="chroma", pinned=True) -> Vmproxy:
        made = Vmproxy(self.directory / name, source, target, dialect=dialect,
                       settings={"journal": {"durability": durability}, "workers": 1, "log": {"level": "warn"}, **(settings or {})})
        self.vmproxies.append(made)
        before = os.sched_getaffinity(0)
        if pinned:
            os.sched_setaffinity(0, {PROXY_CORE})  # inherited
        try:
            made.start()
        finally:
            os.sched_setaffinity(0, before)
        return made


def http_get(port: int, path: str):
    with urllib.request.urlopen(f"http://{HOST}:{port}{path}", timeout=30) as answer:
        return json.loads(answer.read() or b"null")
