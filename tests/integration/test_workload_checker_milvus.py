"""The checker of the live tests, for the application on Milvus: content with a real one."""

import milvus_workload
import sides
from servers import create


def test_clean_against_a_real_milvus(corpus, seed, scale):
    with create("milvus") as server:
        client = milvus_workload.separate_client("127.0.0.1", server.port)
        workload = milvus_workload.MilvusWorkload(
            lambda: milvus_workload.separate_client("127.0.0.1", server.port), corpus, seed=seed)
        workload.preload(client)
        workload.start()
        try:
            workload.wait_for(writes=scale(2000, 200), reads=scale(200, 40))
        finally:
            workload.stop()
        print(workload.summary())
        workload.assert_clean()
        assert sides.illegal_final(workload.history, milvus_workload.milvus_records(client, "packages")) == []
