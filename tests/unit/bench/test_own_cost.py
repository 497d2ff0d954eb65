"""The loops over Holdfast's own Python: each case gets the answer that it is named by, so none measures an error."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
from holdfast.inventory.v1 import inventory_service_pb2 as calls

from bench.own_cost import (
    BATCH_CASES,
    CALLS,
    CASES,
    Messages,
    batch_of,
    calls_of,
    handler_of,
    requests,
    stream_messages,
)
from tests.unit.simulated_time import simulate_time


@pytest.mark.parametrize("name", CASES)
async def test_a_call_is_answered_as_its_case_says(name: str) -> None:
    """The script's reply is made by the benchmark, and a change of the script's arguments would make it another."""
    response = calls.ReserveResponse.FromString(await calls_of(enough=1, **CASES[name])(requests()[0]))

    assert response.WhichOneof("outcome") == outcome(CASES[name])


@pytest.mark.parametrize("name", CASES)
async def test_every_request_of_a_script_call_is_answered_alike(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first goes alone, and the others together."""
    simulate_time(monkeypatch)
    answers = await asyncio.gather(*map(calls_of(**CASES[name]), requests()))

    found = [calls.ReserveResponse.FromString(raw) for raw in answers]
    assert [one.WhichOneof("outcome") for one in found] == [outcome(CASES[name])] * CALLS
    if outcome(CASES[name]) == "reservation":
        assert [one.reservation.position.index for one in found] == [0, *range(CALLS - 1)]


@pytest.mark.parametrize("name", BATCH_CASES)
async def test_every_request_of_a_batch_is_answered(name: str) -> None:
    """Each as if it had come alone."""
    batch = batch_of(100)
    response = calls.BatchReserveResponse.FromString(await calls_of("BatchReserve", **BATCH_CASES[name])(batch))

    assert [one.response.WhichOneof("outcome") for one in response.results] == [outcome(BATCH_CASES[name])] * 100


async def test_every_message_of_a_stream_is_answered() -> None:
    """The answers are counted and dropped."""
    handler = handler_of("StreamReserve")
    stream = Messages(stream_messages(), handler.request_deserializer)

    await handler.stream_stream(stream, stream)

    assert stream.written == len(stream_messages())


def outcome(options: Mapping[str, Any]) -> str:
    """What the response has."""
    return "reservation" if options.get("accepted", True) else "rejection"
