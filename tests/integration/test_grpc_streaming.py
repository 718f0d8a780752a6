"""gRPC through `vmproxy serve` that passes on what it gets: every kind of call of grpcio, which is not ours, on both ends."""

import tempfile

import pytest

import grpc_peer
from vmproxy import Vmproxy


@pytest.fixture(scope="module")
def proxy():
    """Nothing has begun to move; grpcio's server stands where Milvus would, and nobody where the target would."""
    with grpc_peer.serve() as server, tempfile.TemporaryDirectory(prefix="vmproxy-grpc-") as directory:
        vmproxy = Vmproxy(directory, {"system": "milvus", "url": f"http://127.0.0.1:{server}"},
                          {"system": "pgvector", "url": "postgresql://postgres@127.0.0.1:1/app"}, dialect="milvus")
        try:
            yield vmproxy.start()
            assert vmproxy.starts == 1 and vmproxy.stop() == 0
            assert not vmproxy.sanitizer_reports(), vmproxy.sanitizer_reports()
        finally:
            print(vmproxy.log_tail())
            vmproxy.kill9()


@pytest.mark.parametrize("compression", grpc_peer.COMPRESSIONS)
@pytest.mark.parametrize("check", grpc_peer.CHECKS, ids=lambda check: check.__name__)
def test_every_kind_of_call(proxy, check, compression):
    with grpc_peer.open_channel(proxy.port, grpc_peer.COMPRESSIONS[compression]) as channel:
        check(channel)
