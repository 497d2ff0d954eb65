"""The benchmark of Holdfast's own Python: what it makes in place of Redis is what the scripts reply."""

import asyncio

import pytest
from holdfast.inventory.v1.inventory_service_pb2 import ReserveResponse

from bench.own_cost import CALLS, calls_of, requests


@pytest.mark.parametrize(("accepted", "outcome"), [(True, "reservation"), (False, "rejection")])
async def test_every_request_of_a_call_is_answered_alike(accepted: bool, outcome: str) -> None:
    """A reply that the adapter cannot parse would have the benchmark measure failures. The first request goes alone."""
    call = calls_of(accepted=accepted)

    answers = [ReserveResponse.FromString(raw) for raw in await asyncio.gather(*map(call, requests()))]

    assert [answer.WhichOneof("outcome") for answer in answers] == [outcome] * CALLS
    assert not accepted or [answer.reservation.position.index for answer in answers] == [0, *range(CALLS - 1)]
