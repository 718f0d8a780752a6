"""The relay that reads along: requests are found whatever the pieces they come in; a lost answer is of what was done."""

import http.client
import http.server
import threading

import pytest

from request_relay import RequestReader, RequestRelay

PLAIN = b"POST /a/b/upsert?x=1 HTTP/1.1\r\nHost: h\r\nUser-Agent: sdk\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = b"POST /add HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n"
BARE = b"GET /heartbeat HTTP/1.1\r\nHost: h\r\n\r\n"


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_requests_are_found_in_any_pieces(size):
    reader, stream = RequestReader(), PLAIN + CHUNKED + BARE + PLAIN
    found = [request for first in range(0, len(stream), size) for request in reader.feed(stream[first:first + size])]
    assert [(r.method, r.operation, r.body) for r in found] == [
        ("POST", "upsert", b"hello"), ("POST", "add", b"abcde"), ("GET", "heartbeat", b""), ("POST", "upsert", b"hello")]
    assert found[0].identity() == found[3].identity() != found[1].identity()
    assert found[0].headers["user-agent"] == "sdk" and "user-agent" not in found[1].headers


class Echo(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.executed.append(body)
        self.send_response(201)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def test_what_passed_is_told_and_a_lost_answer_was_executed():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    server.executed = []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    passed, answered = [], []
    relay = RequestRelay(server.server_address[1], passed.append, answered.append,
                         lambda request: request.body == b"lost")
    try:
        for body in (b"one", b"lost", b"two"):
            connection = http.client.HTTPConnection("127.0.0.1", relay.port, timeout=20)
            connection.request("POST", "/x/upsert", body)
            if body == b"lost":
                with pytest.raises((http.client.RemoteDisconnected, ConnectionError)):
                    connection.getresponse()
            else:
                assert connection.getresponse().read() == body
            connection.close()
    finally:
        relay.close()
        server.shutdown()
        server.server_close()
    assert server.executed == [b"one", b"lost", b"two"] == [request.body for request in passed]
    assert [(request.body, request.status) for request in answered] == [(b"one", 201), (b"two", 201)]
    assert all(request.began <= request.passed <= request.answered for request in answered)
