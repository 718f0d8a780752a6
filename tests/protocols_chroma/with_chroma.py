#!/usr/bin/env python3
"""with_chroma.py COMMAND...: starts a real Chroma, sets VMPROXY_TEST_CHROMA to its address, runs the command."""

import os
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from servers import create  # noqa: E402

with create("chroma") as server:
    sys.exit(subprocess.call(sys.argv[1:], env={**os.environ, "VMPROXY_TEST_CHROMA": server.url}))
