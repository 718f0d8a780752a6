"""Milvus 2.3.5: the official standalone (embedded etcd, local storage) from PyPI.

gRPC and REST v1 share `port`; the twelve ports after it are for its own components.
Milvus binds some of them to all interfaces.
"""

import os
import pathlib
import shutil
import subprocess
import tempfile

from .base import HOST, Server, environment_python

_COMPONENTS = ("proxy", "proxy-internal", "root-coord", "query-coord", "query-node",
               "index-coord", "index-node", "data-coord", "data-node", "etcd")
_ETCD_PEER, _METRICS = 10, 11


def _programs() -> pathlib.Path:
    """The server's programs, unpacked once: by itself the package unpacks 250 MB into every new data directory."""
    python = environment_python("milvus")
    unpacked = pathlib.Path(python).parents[1] / "programs"  # it goes with the environment
    if not unpacked.exists():
        fresh = pathlib.Path(tempfile.mkdtemp(prefix="programs-", dir=unpacked.parent))
        subprocess.run([python, "-I", "-c", "import sys, milvus; milvus._initialize_data_files(sys.argv[1])", str(fresh)],
                       check=True)
        try:
            fresh.rename(unpacked)
        except OSError:  # somebody else was first
            shutil.rmtree(fresh)
    return unpacked / "bin"


def milvus_answers(port: int) -> bool:
    """True when a server on the port answers ListCollections-like calls of the real SDK, or asks who we are."""
    import grpc
    from pymilvus.grpc_gen import milvus_pb2, milvus_pb2_grpc
    channel = grpc.insecure_channel(f"{HOST}:{port}", options=[("grpc.enable_http_proxy", 0)])
    try:
        stub = milvus_pb2_grpc.MilvusServiceStub(channel)
        answer = stub.ShowCollections(milvus_pb2.ShowCollectionsRequest(), timeout=3)
        return answer.status.code == 0 and answer.status.error_code == 0
    except grpc.RpcError as error:
        return error.code() == grpc.StatusCode.UNAUTHENTICATED
    finally:
        channel.close()


class Milvus(Server):
    name = "milvus"
    port_count = 13
    ready_timeout = 120.0

    def __init__(self, data_dir=None, port=None, settings=None):
        """settings: names of Milvus' own configuration, as in {"common.security.authorizationEnabled": "true"}."""
        super().__init__(data_dir, port)
        self.settings = dict(settings or {})

    def prepare(self):
        (self.data_dir / "data").mkdir(exist_ok=True)
        programs = self.data_dir / "bin"
        if programs.is_symlink():
            programs.unlink()  # of a cache that may be gone
        if not programs.exists():
            programs.symlink_to(_programs())  # the package compares their sums at each start
        etcd, peer = self.port + _COMPONENTS.index("etcd"), self.port + _ETCD_PEER
        (self.data_dir / "etcd.yaml").write_text(
            f"name: default\n"
            f"data-dir: {self.data_dir}/data/etcd.data\n"
            f"listen-client-urls: http://{HOST}:{etcd}\n"
            f"advertise-client-urls: http://{HOST}:{etcd}\n"
            f"listen-peer-urls: http://{HOST}:{peer}\n"
            f"initial-advertise-peer-urls: http://{HOST}:{peer}\n"
            f"initial-cluster: default=http://{HOST}:{peer}\n"
            f"log-level: warn\n")

    def command(self):
        launcher = pathlib.Path(__file__).with_name("milvus_launcher.py")
        ports = [word for offset, name in enumerate(_COMPONENTS)
                 for word in (f"--{name}-port", str(self.port + offset))]
        # -I: this folder has a milvus.py of its own.
        return [environment_python("milvus"), "-I", str(launcher), str(self.port + _METRICS),
                "--debug", "--data", str(self.data_dir), *ports]

    def popen_options(self):
        names = ("ROOTCOORD", "PROXY", "QUERYCOORD", "QUERYNODE", "INDEXNODE", "DATACOORD", "DATANODE")
        return {"cwd": self.data_dir,
                "env": {**os.environ, "ETCD_CONFIG_PATH": str(self.data_dir / "etcd.yaml"),
                        **{f"{name}_IP": HOST for name in names},
                        **{name.upper().replace(".", "_"): value for name, value in self.settings.items()}}}

    def probe(self):
        return milvus_answers(self.port)

    def client(self):
        from pymilvus import MilvusClient
        return MilvusClient(self.url)
