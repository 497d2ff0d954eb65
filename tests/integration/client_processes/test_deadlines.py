"""Deadlines of calls that share a batch, and of a stream whose server falls silent, in real time."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace

import pytest
from holdfast import errors
from holdfast.client import Client
from holdfast.inventory.v1.inventory_service_pb2 import ReserveRequest, StreamReserveRequest
from holdfast.retry import RetryPolicy

from tests.unit.clients.fake_inventory import FakeInventory, Step
from tests.unit.clients.reserve_streams import PATIENT, hold_all, replied
from tests.unit.clients.results import answer, requests
from tests.unit.clients.test_coalescing import reserve, shapes
from tests.unit.clients.test_reserve_streams import all_answers
from tests.waiting import LONG_S


async def test_a_server_that_falls_silent_is_left(
    fake: FakeInventory, hanging: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that hangs keeps its connections. An idle stream is no silence."""
    monkeypatch.setattr("holdfast.bulk.streams.GRACE_S", 0.0)
    policy = RetryPolicy(overall_s=LONG_S, attempt_s=1.5, ledger_attempt_s=1.5, first_delay_s=0.001)

    def silent(messages: Iterator[StreamReserveRequest]) -> Iterator[Step]:
        yield replied(next(messages))
        read.append(next(messages).request.reservation_id)
        yield hanging

    async def rarely() -> AsyncIterator[ReserveRequest]:
        first, second = requests("r-1", "r-2")
        yield first
        await asyncio.sleep(2.0)
        yield second

    read: list[str] = []
    fake.will_answer("StreamReserve", silent, hold_all)

    assert await all_answers(fake, rarely(), policy) == {"r-1": answer("r-1"), "r-2": answer("r-2")}
    assert read == ["r-2"], "it came on the stream that had been idle"


async def test_the_longest_deadline_is_that_of_the_batch_and_each_call_leaves_at_its_own(
    fake: FakeInventory, hanging: threading.Event
) -> None:
    """A caller in a hurry neither waits for the others nor hurries them."""
    fake.will_answer("BatchReserve", hanging)

    async with Client(fake.address, retry=replace(PATIENT, overall_s=20, attempt_s=20), coalesce=True) as client:
        hurried = client.with_options(retry=replace(PATIENT, overall_s=20, attempt_s=1.5, first_delay_s=60))
        others = asyncio.ensure_future(reserve(client, "r-1", "r-2"))
        begun_s = time.monotonic()
        [late] = await reserve(hurried, "r-3")

        assert time.monotonic() - begun_s < 10
        assert isinstance(late, errors.NoAnswer)
        assert late.outcome_unknown
        assert not others.done()
        assert not fake.ended
        others.cancel()

    assert shapes(fake) == [3]
    assert fake.deadlines_s[0] > 15
