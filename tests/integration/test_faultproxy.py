"""The fault proxy as a process: one request of each kind. What each fault does is tested in tests/faultproxy."""

import http.server
import threading
import time
import urllib.error
import urllib.request
import zlib

import pytest

from faultproxy import FaultProxy


class Echo(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def echo():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()


@pytest.fixture
def proxy(echo):
    with FaultProxy({"echo": echo}, seed=7) as proxy:
        yield proxy


def post(proxy, body=b"hello"):
    with urllib.request.urlopen(f"http://127.0.0.1:{proxy.ports['echo']}/path", data=body, timeout=20) as answer:
        return answer.read()


def test_faults_come_and_go(proxy):
    assert post(proxy) == b"hello"
    proxy.set("echo", "to_client", latency_ms=300)
    began = time.monotonic()
    assert post(proxy) == b"hello"
    assert time.monotonic() - began >= 0.3
    proxy.set("echo", "to_client", cut_after=0, cut="reset")
    with pytest.raises(OSError):
        post(proxy)
    proxy.clear("echo")
    proxy.refuse("echo")
    with pytest.raises(urllib.error.URLError) as refused:
        post(proxy)
    assert isinstance(refused.value.reason, ConnectionRefusedError)
    proxy.refuse("echo", False)
    proxy.clear()
    assert post(proxy) == b"hello"
    counts = proxy.counts("echo")
    assert counts["accepted"] == 4 and counts["cut"] == 1


def test_the_log_tells_what_arrived_and_what_passed(proxy):
    proxy.duplicate("echo", after_ms=50)
    assert post(proxy, b"twice") == b"twice"
    deadline = time.monotonic() + 20
    while len(proxy.requests()) < 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    entries = proxy.requests()
    assert [entry["stage"] for entry in entries] == ["arrived", "passed", "duplicate"]
    for entry in entries:
        assert (entry["protocol"], entry["method"], entry["target"], entry["complete"]) == ("http1", "POST", "/path", True)
        assert (entry["body_bytes"], entry["body_crc32"]) == (5, zlib.crc32(b"twice"))
    proxy.forget()
    assert proxy.requests() == []


def test_what_is_wrong_is_said(proxy):
    with pytest.raises(ValueError, match="no link 'other'"):
        proxy.reset("other")
    with pytest.raises(ValueError, match="unknown field 'delay'"):
        proxy.set("echo", "to_client", delay=1)
