"""grpcio, an implementation that is not ours, for both ends of a proxy: a server, and checks of every kind of call in both
directions. A check takes a channel to the proxy and raises when something did not come through as it was sent."""

import concurrent.futures
import contextlib
import threading
import time

import grpc

OPTIONS = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1), ("grpc.enable_http_proxy", 0),
           ("grpc.so_reuseport", 0)]
COMPRESSIONS = {"plain": None, "gzip": grpc.Compression.Gzip}
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
        over = threading.Event()
        context.add_callback(cancelled.set)
        context.add_callback(over.set)
        yield b"begun"
        over.wait(8)

    def many(self, request, context):
        for i in range(int(request)):
            yield b"%d" % i * 1000

    def collect(self, requests, context):
        return b"%d" % sum(len(r) for r in requests)

    def chat(self, requests, context):
        for request in requests:
            yield request.upper()


@contextlib.contextmanager
def serve():
    """The port of a server, while it lasts."""
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(32), handlers=[Handler()], options=OPTIONS)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield port
    finally:
        server.stop(0).wait()


def open_channel(port, compression):
    return grpc.insecure_channel(f"127.0.0.1:{port}", options=OPTIONS, compression=compression)


def method(channel, kind, name):
    return getattr(channel, kind)(f"/{SERVICE}/{name}")


def empty_and_small_and_large(channel):
    echo = method(channel, "unary_unary", "Echo")
    for size in (0, 1, 1000, 271828, 20_000_000):
        message = bytes(size)
        assert echo(message, timeout=30) == message


def metadata(channel):
    answer, call = method(channel, "unary_unary", "Echo").with_call(b"x", timeout=20, metadata=(("x-in", "v" * 5000), ("y-bin", b"\x00\x01")))
    assert dict(call.initial_metadata())["x-first"] == "1"
    trailers = dict(call.trailing_metadata())
    assert trailers["x-last"] == "v" * 5000 and trailers["x-bin"] == b"\x00\xff"


def status(channel):
    try:
        method(channel, "unary_unary", "Fail")(b"x", timeout=20)
    except grpc.RpcError as error:
        assert error.code() == grpc.StatusCode.NOT_FOUND and error.details() == "n\u00f6t here: 100%"
    else:
        raise AssertionError("no error")
    try:
        method(channel, "unary_unary", "Nothing")(b"x", timeout=20)
    except grpc.RpcError as error:
        assert error.code() == grpc.StatusCode.UNIMPLEMENTED
    else:
        raise AssertionError("no error")


def deadline(channel):
    begun = time.monotonic()
    try:
        method(channel, "unary_unary", "Slow")(b"x", timeout=0.3)
    except grpc.RpcError as error:
        assert error.code() == grpc.StatusCode.DEADLINE_EXCEEDED and time.monotonic() - begun < 1.8
    else:
        raise AssertionError("no error")


def cancel(channel):
    cancelled.clear()
    call = method(channel, "unary_stream", "Wait")(b"x", timeout=20)
    assert next(call) == b"begun"
    call.cancel()
    assert cancelled.wait(5), "the server was not told"  # by itself it ends later


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
# What also comes through a proxy that holds the whole request before it goes on, and the whole answer.
HELD_CHECKS = (empty_and_small_and_large, metadata, status, deadline, server_stream, client_stream, at_once)
