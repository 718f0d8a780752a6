#!/usr/bin/env python3
"""grpcio, an implementation that is not ours, on both ends of a proxy: every kind of call, in both directions.

    grpc_peer.py PATH_OF_pass_through

Prints one line a check; exit code 1 when one failed.
"""
import concurrent.futures
import os
import pathlib
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time

CLIENT = pathlib.Path(os.environ.get("VMPROXY_CACHE", pathlib.Path.home() / ".cache/vmproxy")) / "venv/client/bin/python"

if CLIENT.exists() and pathlib.Path(sys.executable) != CLIENT:
    os.execv(CLIENT, [str(CLIENT), *sys.argv])  # grpcio is installed there

import grpc  # noqa: E402

SERVICE = "peer.Test"
cancelled = threading.Event()


class Handler(grpc.GenericRpcHandler):
    def service(self, details):
        method = details.method.rsplit("/", 1)[1]
        kinds = {
            "Echo": grpc.unary_unary_rpc_method_handler(self.echo),
            "Fail": grpc.unary_unary_rpc_method_handler(self.fail),
            "Slow": grpc.unary_unary_rpc_method_handler(self.slow),
            "Wait": grpc.unary_stream_rpc_method_handler(self.wait),
            "Many": grpc.unary_stream_rpc_method_handler(self.many),
            "Collect": grpc.stream_unary_rpc_method_handler(self.collect),
            "Chat": grpc.stream_stream_rpc_method_handler(self.chat),
        }
        return kinds.get(method)

    def echo(self, request, context):
        context.send_initial_metadata((("x-first", "1"),))
        seen = dict(context.invocation_metadata())
        context.set_trailing_metadata((("x-last", seen.get("x-in", "")), ("x-bin", b"\x00\xff")))
        return request

    def fail(self, request, context):
        context.abort(grpc.StatusCode.NOT_FOUND, "n\u00f6t here: 100%")

    def slow(self, request, context):
        time.sleep(2)
        return request

    def wait(self, request, context):
        context.add_callback(cancelled.set)
        yield b"begun"
        time.sleep(5)

    def many(self, request, context):
        for i in range(int(request)):
            yield b"%d" % i * 1000

    def collect(self, requests, context):
        return b"%d" % sum(len(r) for r in requests)

    def chat(self, requests, context):
        for request in requests:
            yield request.upper()


class Proxy:
    """pass_through in front of a server; every option as its first lines say."""

    def __init__(self, binary, url, *options, ca=None):
        environment = {**os.environ, **({"CA_FILE": str(ca)} if ca else {})}
        self.process = subprocess.Popen([binary, "0", url, *map(str, options)], stdout=subprocess.PIPE, text=True, env=environment)
        self.port = int(self.process.stdout.readline().split()[-1])

    def end(self):
        self.process.terminate()
        self.process.wait(10)


class Report:
    failed = 0

    def run(self, mode, check, *arguments):
        begun = time.time()
        try:
            check(*arguments)
            outcome = "ok"
        except Exception as error:  # noqa: BLE001 - whatever it is, it is this check's failure
            outcome, self.failed = f"FAILED {error!r}", self.failed + 1
        print(f"{mode} {check.__name__}: {outcome} ({time.time() - begun:.2f} s)", flush=True)


def make_certificate(directory):
    certificate, key = pathlib.Path(directory) / "cert.pem", pathlib.Path(directory) / "key.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext",
                    "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", key, "-out", certificate], check=True, stderr=subprocess.DEVNULL)
    return certificate, key


def main(binary):
    options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(32), handlers=[Handler()], options=options)
    report = Report()
    with tempfile.TemporaryDirectory() as directory:
        certificate, key = make_certificate(directory)
        root, secret = certificate.read_bytes(), key.read_bytes()
        plain = server.add_insecure_port("127.0.0.1:0")
        secure = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([(secret, root)]))
        server.start()
        for mode, checks in (([], CHECKS), (["--hold"], HELD_CHECKS)):
            for tls in (False, True):
                url = f"https://localhost:{secure}" if tls else f"http://127.0.0.1:{plain}"
                proxy = Proxy(binary, url, *mode, *(("--cert", certificate, "--key", key) if tls else ()), ca=certificate)
                for compression in (None, grpc.Compression.Gzip):
                    channel = open_channel(proxy.port, root if tls else None, options, compression)
                    name = " ".join(("hold" if mode else "pass", "gzip" if compression else "plain", "TLS" if tls else "clear"))
                    for check in checks:
                        report.run(name, check, channel)
                    channel.close()
                if tls:
                    report.run(name, protocol_is_negotiated, proxy.port, certificate)
                    report.run(name, unknown_authority_is_refused, proxy.port, directory)
                proxy.end()
        report.run("upstream", server_name_is_sent, binary, certificate, key)
    server.stop(0)
    return 1 if report.failed else 0


def open_channel(port, root, options, compression=None):
    if root is None:
        return grpc.insecure_channel(f"127.0.0.1:{port}", options=options, compression=compression)
    return grpc.secure_channel(f"localhost:{port}", grpc.ssl_channel_credentials(root), options=options, compression=compression)


def protocol_is_negotiated(port, certificate):
    """ALPN, by an implementation that is neither OpenSSL's test of ours nor grpcio: HTTP/2 whenever it is offered."""
    for offered, chosen in ((["h2"], "h2"), (["http/1.1", "h2"], "h2"), (["http/1.1"], "http/1.1"), (["other"], None), ([], None)):
        context = ssl.create_default_context(cafile=certificate)
        if offered:
            context.set_alpn_protocols(offered)
        with socket.create_connection(("127.0.0.1", port), 5) as raw, context.wrap_socket(raw, server_hostname="localhost") as connection:
            assert connection.selected_alpn_protocol() == chosen, f"{offered}: {connection.selected_alpn_protocol()}"


def unknown_authority_is_refused(port, directory):
    other = pathlib.Path(directory) / "other"
    other.mkdir(exist_ok=True)
    with open_channel(port, make_certificate(other)[0].read_bytes(), []) as channel:
        try:
            method(channel, "unary_unary", "Echo")(b"x", timeout=5)
        except grpc.RpcError as error:
            assert error.code() == grpc.StatusCode.UNAVAILABLE
        else:
            raise AssertionError("no error")


def server_name_is_sent(binary, certificate, key):
    """What the proxy says to a TLS server of a database: its name, and h2 alone for a call of gRPC."""
    seen = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    context.set_alpn_protocols(["h2", "http/1.1"])
    context.sni_callback = lambda connection, name, _: seen.append(name)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(10)
        proxy = Proxy(binary, f"https://localhost:{listener.getsockname()[1]}", ca=certificate)
        channel = open_channel(proxy.port, None, [])
        call = method(channel, "unary_unary", "Echo").future(b"x", timeout=5)
        raw, _ = listener.accept()
        with context.wrap_socket(raw, server_side=True) as connection:
            chosen = connection.selected_alpn_protocol()
        call.cancel()
        channel.close()
        proxy.end()
    assert seen[0] == "localhost" and chosen == "h2", f"{seen} {chosen}"


def method(channel, kind, name):
    return getattr(channel, kind)(f"/{SERVICE}/{name}")


def empty_and_small_and_large(channel):
    echo = method(channel, "unary_unary", "Echo")
    for size in (0, 1, 1000, 271828, 20_000_000):
        message = bytes(size)
        assert echo(message, timeout=30) == message


def metadata(channel):
    answer, call = method(channel, "unary_unary", "Echo").with_call(b"x", timeout=5, metadata=(("x-in", "v" * 5000), ("y-bin", b"\x00\x01")))
    assert dict(call.initial_metadata())["x-first"] == "1"
    trailers = dict(call.trailing_metadata())
    assert trailers["x-last"] == "v" * 5000 and trailers["x-bin"] == b"\x00\xff"


def status(channel):
    try:
        method(channel, "unary_unary", "Fail")(b"x", timeout=5)
    except grpc.RpcError as error:
        assert error.code() == grpc.StatusCode.NOT_FOUND and error.details() == "n\u00f6t here: 100%"
    else:
        raise AssertionError("no error")
    try:
        method(channel, "unary_unary", "Nothing")(b"x", timeout=5)
    except grpc.RpcError as error:
        assert error.code() == grpc.StatusCode.UNIMPLEMENTED
    else:
        raise AssertionError("no error")


def deadline(channel):
    begun = time.time()
    try:
        method(channel, "unary_unary", "Slow")(b"x", timeout=0.3)
    except grpc.RpcError as error:
        assert error.code() == grpc.StatusCode.DEADLINE_EXCEEDED and time.time() - begun < 1
    else:
        raise AssertionError("no error")


def cancel(channel):
    cancelled.clear()
    call = method(channel, "unary_stream", "Wait")(b"x", timeout=10)
    assert next(call) == b"begun"
    call.cancel()
    begun = time.time()
    assert cancelled.wait(2) and time.time() - begun < 0.2


def server_stream(channel):
    got = list(method(channel, "unary_stream", "Many")(b"2000", timeout=20))
    assert len(got) == 2000 and got[1999] == b"1999" * 1000


def client_stream(channel):
    assert method(channel, "stream_unary", "Collect")((bytes(10000) for _ in range(2000)), timeout=20) == b"20000000"


def both_streams(channel):
    turn = threading.Semaphore(1)

    def messages():
        for i in range(200):
            turn.acquire()
            yield b"m%d" % i

    got = 0
    for answer in method(channel, "stream_stream", "Chat")(messages(), timeout=20):
        assert answer == b"M%d" % got
        got += 1
        turn.release()
    assert got == 200


def at_once(channel):
    echo = method(channel, "unary_unary", "Echo")
    calls = [echo.future(b"%d" % i * 500, timeout=20) for i in range(500)]
    assert [c.result() for c in calls] == [b"%d" % i * 500 for i in range(500)]


CHECKS = (empty_and_small_and_large, metadata, status, deadline, cancel, server_stream, client_stream, both_streams, at_once)
HELD_CHECKS = (empty_and_small_and_large, metadata, status, deadline, server_stream, client_stream, at_once)

if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
