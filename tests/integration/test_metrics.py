"""Every metric of the contract is there, under its name and with its labels, once what it tells of has happened."""

import urllib.error
import urllib.request

import pytest

from workload import separate_client

# name: labels. Histograms by their count.
CONTRACT = {
    "requests_total": {"listener", "operation", "side", "outcome"},
    "request_seconds_count": {"listener", "operation", "side"},
    "overhead_seconds_count": set(),
    "mirror_lag_seconds": set(),
    "mirror_lag_changes": set(),
    "mirror_applied_total": {"kind"},
    "dirty_keys": set(),
    "suspect_keys": set(),
    "quarantined_changes": set(),
    "capture_gaps": set(),
    "unknown_requests_total": {"operation"},
    "unsupported_reads_total": {"code"},
    "backfill_records_total": set(),
    "backfill_batch_seconds_count": set(),
    "reads_percent": set(),
    "reads_returned_total": {"reason"},
    "promotion_pause_seconds_count": set(),
    "journal_bytes": {"migration"},
    "journal_sync_seconds_count": set(),
    "validation_different": {"migration"},
    "build_info": {"version"},
}


def unknown(vmproxy):
    """A request that the dialect does not know and that may change data."""
    request = urllib.request.Request(f"{vmproxy.url}/api/v2/something-new", data=b"{}", method="POST")
    with pytest.raises(urllib.error.HTTPError):
        urllib.request.urlopen(request, timeout=10)


def test_every_metric_of_the_contract(chroma, pgvector, vmproxy, corpus):
    collection = chroma.client().create_collection("packages", embedding_function=None)
    collection.add(ids=corpus.ids[:200], embeddings=list(corpus.embeddings[:200]), documents=corpus.texts[:200])
    vmproxy.command("start", timeout=300)
    application = separate_client("127.0.0.1", vmproxy.port).get_collection("packages", embedding_function=None)
    application.upsert(ids=corpus.ids[:3], embeddings=list(corpus.embeddings[:3]), documents=["new"] * 3)
    vmproxy.wait_drained()
    vmproxy.command("cutover", "--percent", "100")
    for _ in range(20):
        application.get(ids=corpus.ids[:3])
    application.get(where_document={"$regex": "\\An.w"}, limit=1)  # \\A: docs/mapping.md, refused, so Chroma answers
    unknown(vmproxy)
    vmproxy.command("validate", "--full")
    vmproxy.command("promote", "--force", "reads,unknown_requests")

    metrics = vmproxy.metrics()
    missing = {name for name in CONTRACT if name not in metrics}
    assert not missing
    for name, labels in CONTRACT.items():
        for series in metrics[name]:
            assert labels <= {label for label, _ in series}, name
    served = {series: count for series, count in metrics["request_seconds_count"].items() if ("side", "target") in series}
    assert sum(served.values()) == sum(count for series, count in metrics["requests_total"].items() if ("side", "target") in series)
