"""The Node SDK's script (tests/node), run as a program; its answers as those of milvus_script.py."""

import json
import os
import pathlib
import subprocess

from servers.base import cache_dir

SCRIPTS = pathlib.Path(__file__).resolve().parents[1] / "node"


def run(host: str, port: int, timeout: float = 300.0) -> list:
    result = subprocess.run(["node", str(SCRIPTS / "milvus_script.js"), f"{host}:{port}"], capture_output=True, text=True,
                            timeout=timeout, check=False, env={**os.environ, "NODE_PATH": str(cache_dir() / "node" / "node_modules")})
    assert result.returncode == 0, result.stderr[-3000:]
    return [tuple(pair) for pair in json.loads(result.stdout)]
