#!/usr/bin/env python3
"""grpc_peer_test.py PASS_THROUGH: grpcio's calls of every kind through the smallest proxy that net/ makes, streamed and held.
Prints one line a check; exit code 1 when one failed."""

import os
import pathlib
import subprocess
import sys
import time

TESTS = pathlib.Path(__file__).resolve().parents[1]
CLIENT = pathlib.Path(os.environ.get("VMPROXY_CACHE", pathlib.Path.home() / ".cache/vmproxy")) / "venv/client/bin/python"

if CLIENT.exists() and pathlib.Path(sys.executable) != CLIENT:
    os.execv(CLIENT, [str(CLIENT), *sys.argv])  # grpcio is there

sys.path.insert(0, str(TESTS / "support_py"))
import grpc_peer  # noqa: E402


def failures(port: int, checks, name: str, compression) -> int:
    failed = 0
    with grpc_peer.open_channel(port, compression) as channel:
        for check in checks:
            begun = time.monotonic()
            try:
                check(channel)
                outcome = "ok"
            except Exception as error:  # noqa: BLE001 - whatever it is, it is this check's failure
                outcome, failed = f"FAILED {error!r}", failed + 1
            print(f"{name} {check.__name__}: {outcome} ({time.monotonic() - begun:.2f} s)", flush=True)
    return failed


def main(program: str) -> int:
    failed = 0
    with grpc_peer.serve() as server:
        for mode, checks in (("pass", grpc_peer.CHECKS), ("hold", grpc_peer.HELD_CHECKS)):
            options = ["--hold"] if mode == "hold" else []
            with subprocess.Popen([program, "0", f"http://127.0.0.1:{server}", *options], stdout=subprocess.PIPE,
                                  text=True) as proxy:
                port = int(proxy.stdout.readline().split()[-1])
                for name, compression in grpc_peer.COMPRESSIONS.items():
                    failed += failures(port, checks, f"{mode} {name}", compression)
                proxy.terminate()
                ended = proxy.wait(20)
            if ended != 0:  # a sanitizer's report, for one
                print(f"{mode}: the proxy ended with code {ended}")
                failed += 1
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
