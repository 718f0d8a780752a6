"""The copy of a million records of 128 dimensions from pgvector into Milvus, and of a hundred thousand: memory stays
below 500 MB at either size. Long: run by scripts/test --full (pytest -m million)."""

import os
import re
import subprocess
import time

import pytest

from servers import create
from vmproxy import binary

pytestmark = [pytest.mark.million, pytest.mark.timeout(3600)]
RESIDENT_MAX = 500 << 20


def fill(server, table: str, records: int) -> None:
    with server.client() as connection:
        connection.execute("create extension if not exists vector")
        connection.execute(f"create table {table} (id bigint primary key, document text, metadata jsonb, embedding vector(128))")
        connection.execute(f"""
            insert into {table}
            select i, 'text of ' || i, jsonb_build_object('n', i, 'group', i % 100),
                   (select array_agg(random())::vector from generate_series(1, 128) where i = i)
            from generate_series(1, {records}) i""")


def copy(source, target, table: str, directory):
    """Output, seconds, peak resident bytes of `vmproxy from`."""
    began = time.monotonic()
    process = subprocess.Popen(
        [binary(), "from", "pgvector", "--url", source.url, "--to", "milvus", "--url", target.url, "--collection", table],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=directory)
    peak = 0
    with open(f"/proc/{process.pid}/status") as status:
        while process.poll() is None:
            status.seek(0)
            found = re.search(r"VmHWM:\s+(\d+) kB", status.read())
            peak = max(peak, int(found[1]) * 1024 if found else 0)
            time.sleep(0.2)
    return process.communicate()[0], process.returncode, time.monotonic() - began, peak


@pytest.mark.parametrize("records", [100_000, 1_000_000])
def test_memory_stays_bounded_at_any_size(records, pgvector, tmp_path):
    records = int(records * float(os.environ.get("VMPROXY_MILLION_SCALE", "1")))
    fill(pgvector, "big", records)
    with create("milvus") as milvus:
        output, code, seconds, peak = copy(pgvector, milvus, "big", tmp_path)
        print(output)
        print(f"{records} x 128 copied and compared in {seconds:.0f} s, {records / seconds:.0f}/s in all, "
              f"peak resident {peak / 2**20:.0f} MiB")
        assert code == 0, output
        assert re.search(r"0 differ", output)
        assert peak < RESIDENT_MAX
