"""Milvus Lite 2.5.1: the official C++ core behind gRPC over TCP."""

import os
import pathlib

from .base import HOST, Server, ServerError, cache_dir, environment_python
from .milvus import milvus_answers


class MilvusLite(Server):
    name = "milvus-lite"

    def _library(self) -> pathlib.Path:
        environment_python(self.name)
        found = list((cache_dir() / "venv" / self.name).glob(
            "lib/python3*/site-packages/milvus_lite/lib/milvus"))
        if not found:
            raise ServerError("milvus-lite is not installed: run scripts/bootstrap")
        return found[0].parent

    def command(self):
        # As the package's own Server class starts it, without its Python process around.
        return [str(self._library() / "milvus"), str(self.data_dir / "milvus.db"),
                f"{HOST}:{self.port}", "ERROR"]

    def popen_options(self):
        return {"cwd": self.data_dir,
                "env": {**os.environ, "LD_LIBRARY_PATH": str(self._library())}}

    def probe(self):
        return milvus_answers(self.port)

    def client(self):
        from pymilvus import MilvusClient
        return MilvusClient(self.url)
