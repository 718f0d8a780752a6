"""S2: an application that never stops moves from Chroma to pgvector, back, and there for good."""

import pytest

import sides
from journey import Journey


@pytest.fixture
def journey(chroma, pgvector, vmproxy, make_workload, scale):
    workload = make_workload(vmproxy.port)
    return Journey(vmproxy, workload, chroma, lambda: sides.chroma_records(chroma, "packages"),
                   lambda: sides.pgvector_records(pgvector, "packages"),
                   {"writes": scale(400, 40), "reads": scale(400, 40)})


@pytest.mark.live(last=True)
def test_live_move_and_back_and_again(journey, chroma):
    journey.run(journey.workload.preload(chroma.client()))
