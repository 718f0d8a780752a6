#!/usr/bin/env python3
"""sdk_test.py BRIDGE: the vendor's SDK runs its script of more than a hundred calls twice, against a real Milvus 2.3.5 and
against the dialect in front of a database in memory. Every difference that docs/mapping.md does not list fails the test."""

import concurrent.futures
import os
import pathlib
import struct
import subprocess
import sys
import threading
import urllib.parse

TESTS = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS), str(TESTS / "support_py")]

import documented  # noqa: E402
import grpc  # noqa: E402
import milvus_script  # noqa: E402

class Bridge(grpc.GenericRpcHandler):
    def __init__(self, program):
        self.process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.lock = threading.Lock()

    def _read(self):
        length = struct.unpack("<I", self.process.stdout.read(4))[0]
        return self.process.stdout.read(length)

    def call(self, path, database, message):
        body = b"\0" + struct.pack(">I", len(message)) + message
        with self.lock:
            for block in (path.encode(), database.encode(), body):
                self.process.stdin.write(struct.pack("<I", len(block)) + block)
            self.process.stdin.flush()
            return int(self._read()), urllib.parse.unquote(self._read().decode()), self._read()

    def service(self, details):
        def handle(message, context):
            metadata = dict(context.invocation_metadata())
            status, text, body = self.call(details.method, metadata.get("dbname", ""), message)
            if status != 0:
                context.abort(next(code for code in grpc.StatusCode if code.value[0] == status), text)
            return body[5:]
        return grpc.unary_unary_rpc_method_handler(handle)


def serve(program):
    bridge = Bridge(program)
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(4), options=[("grpc.so_reuseport", 0)])
    server.add_generic_rpc_handlers((bridge,))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    return bridge, server, port


def main():
    real = urllib.parse.urlparse(os.environ["VMPROXY_TEST_MILVUS"])
    bridge, server, port = serve(sys.argv[1])
    served = milvus_script.run("127.0.0.1", port)
    server.stop(None)
    bridge.process.stdin.close()
    crashed = bridge.process.wait()
    direct = milvus_script.run(real.hostname, real.port)
    found = milvus_script.differences(direct, served, exact=False)
    known = documented.calls(documented.MILVUS)
    failures = [f"{name}: {difference}" for name, difference in found.items() if name not in known]
    print(f"{len(direct)} calls, {len(failures)} unexpected differences, the dialect ended with {crashed}")
    for failure in failures:
        print("-", failure)
    sys.exit(1 if failures or crashed else 0)


if __name__ == "__main__":
    main()
