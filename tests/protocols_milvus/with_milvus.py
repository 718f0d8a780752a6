#!/usr/bin/env python3
"""with_milvus.py NAME COMMAND...: starts a real server of tests/servers (milvus, milvus-lite), sets
VMPROXY_TEST_MILVUS to its address and VMPROXY_TEST_MILVUS_NAME to its name, runs the command.
With VMPROXY_TEST_MILVUS set already that server is used."""

import os
import pathlib
import subprocess
import sys

TESTS = pathlib.Path(__file__).resolve().parents[1]
CLIENT = pathlib.Path(os.environ.get("VMPROXY_CACHE", pathlib.Path.home() / ".cache/vmproxy")) / "venv/client/bin/python"

if CLIENT.exists() and pathlib.Path(sys.executable) != CLIENT:
    os.execv(CLIENT, [str(CLIENT), *sys.argv])  # the readiness probe is a call of the vendor's SDK

sys.path.insert(0, str(TESTS))
from servers import create  # noqa: E402

name, command = sys.argv[1], sys.argv[2:]
if command[0].endswith(".py"):
    command = [sys.executable, *command]
environment = {**os.environ, "VMPROXY_TEST_MILVUS_NAME": name}
if "VMPROXY_TEST_MILVUS" in environment:
    sys.exit(subprocess.call(command, env=environment))
with create(name) as server:
    sys.exit(subprocess.call(command, env={**environment, "VMPROXY_TEST_MILVUS": server.url}))
