#!/usr/bin/env python3
"""Directly on Milvus Lite, no vmproxy: does a read show what was acknowledged just before? The figures of docs/decisions/0010.

  VMPROXY_SERVERS_DATA=/dev/shm lite_reads.py      its file in memory: on a disk a write takes longer than what is looked for
A tool, not a test: it shows Milvus Lite's defect."""
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from pymilvus import MilvusClient  # noqa: E402

from servers import create  # noqa: E402

RECORDS, SECONDS = 60, 1.5


def vector() -> list:
    return [0.0, 0.0, 1.0, 0.25]


with create("milvus-lite") as server:
    writer, reader = MilvusClient(server.url), MilvusClient(server.url)
    writer.create_collection("t", dimension=4, consistency_level="Strong")
    writer.insert("t", [{"id": key, "vector": vector(), "n": 0} for key in range(RECORDS)])
    by_keys = f"id in {list(range(RECORDS))}"
    reads = {"count": lambda: reader.query("t", filter="", output_fields=["count(*)"])[0]["count(*)"],
             "by keys": lambda: len(reader.query("t", filter=by_keys, output_fields=["id"]))}
    for name, read in reads.items():
        for wait in (0, 0.0005, 0.001, 0.002, 0.005):
            asked = wrong = again = 0
            end = time.perf_counter() + SECONDS
            while time.perf_counter() < end:
                writer.upsert("t", [{"id": asked % RECORDS, "vector": vector(), "n": asked}])
                answered = time.perf_counter()
                while time.perf_counter() < answered + wait:
                    pass
                asked += 1
                if read() != RECORDS:
                    wrong += 1
                    again += read() != RECORDS
            print(f"{name}, {wait * 1e3:g} ms after an upsert: {wrong} of {asked} wrong, {again} of them also when asked again")
