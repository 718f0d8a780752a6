"""Chroma 1.5.9: the official Rust server, which travels inside the Python package."""

import json
import urllib.error
import urllib.request

from .base import HOST, Server, environment_python


class Chroma(Server):
    name = "chroma"

    def command(self):
        arguments = ["chroma", "run", "--host", HOST, "--port", str(self.port),
                     "--path", str(self.data_dir / "data")]
        program = f"import chromadb_rust_bindings as b; b.cli({arguments!r})"
        return [environment_python("chroma"), "-c", program]

    def popen_options(self):
        return {"cwd": self.data_dir}

    def probe(self):
        try:
            with urllib.request.urlopen(f"{self.url}/api/v2/heartbeat", timeout=2) as answer:
                return "nanosecond heartbeat" in json.load(answer)
        except (urllib.error.URLError, OSError, ValueError):
            return False

    def client(self):
        import chromadb
        from chromadb.config import Settings
        return chromadb.HttpClient(HOST, self.port, settings=Settings(anonymized_telemetry=False))
