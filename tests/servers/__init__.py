"""Real databases for tests, by name: installed in the cache, started on loopback.

    from servers import create
    with create("chroma", data_dir) as server:
        print(server.url)

From a shell: `scripts/server chroma --port 8000 --data DIR`.
"""

from .base import Server, ServerError, free_port
from .chroma import Chroma
from .milvus import Milvus
from .milvus_lite import MilvusLite
from .pgvector import Pgvector

SERVERS = {kind.name: kind for kind in (Chroma, Pgvector, Milvus, MilvusLite)}


def create(name, data_dir=None, port=None, **options) -> Server:
    """The server of that name, not started yet."""
    if name not in SERVERS:
        raise ServerError(f"unknown server {name!r}; known: {', '.join(sorted(SERVERS))}")
    return SERVERS[name](data_dir=data_dir, port=port, **options)


__all__ = ["SERVERS", "Server", "ServerError", "create", "free_port",
           "Chroma", "Milvus", "MilvusLite", "Pgvector"]
