"""grpcio, an implementation that is not ours, on both ends of a proxy: every kind of call, in both directions.

    python grpc_peer.py PATH_OF_pass_through

Needs grpcio (tests/requirements.txt). Prints one line a check; exit code 1 when one failed.
"""
import concurrent.futures
import subprocess
import sys
import threading
import time

import grpc

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


def main(binary):
    options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(32), handlers=[Handler()], options=options)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    failed = 0
    for mode in ([], ["--hold"]):
        proxy = subprocess.Popen([binary, "0", f"http://127.0.0.1:{port}", *mode], stdout=subprocess.PIPE, text=True)
        address = "127.0.0.1:" + proxy.stdout.readline().split()[-1]
        for compression in (None, grpc.Compression.Gzip):
            channel = grpc.insecure_channel(address, options=options, compression=compression)
            for check in HELD_CHECKS if mode else CHECKS:
                begun = time.time()
                try:
                    check(channel)
                    outcome = "ok"
                except Exception as error:  # noqa: BLE001 - whatever it is, it is this check's failure
                    outcome, failed = f"FAILED {error!r}", failed + 1
                print(f"{'hold' if mode else 'pass'} {'gzip' if compression else 'plain'} {check.__name__}: {outcome} ({time.time() - begun:.2f} s)", flush=True)
            channel.close()
        proxy.terminate()
        proxy.wait(10)
    server.stop(0)
    return 1 if failed else 0


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
