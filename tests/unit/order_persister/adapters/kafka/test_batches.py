"""How records of Faust's stream become batches, with a queue that the test fills."""

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import cast

import pytest

from order_persister.adapters.kafka.batches import batches

LIMIT, PAUSE_S, NEVER_S = 5, 0.01, 600.0


class FakeStream:
    """Yields what is put into its queue."""

    enable_acks = True

    def __init__(self) -> None:
        self.queue: asyncio.Queue[int] = asyncio.Queue()
        self.channel = SimpleNamespace(queue=self.queue)

    def put(self, *events: int) -> None:
        for event in events:
            self.queue.put_nowait(event)

    async def events(self) -> AsyncIterator[int]:
        while True:
            yield await self.queue.get()


@pytest.fixture
def stream() -> FakeStream:
    return FakeStream()


def numbers(stream: FakeStream, pause_s: float) -> AsyncIterator[list[int]]:
    """The batches of a stream whose events are numbers."""
    return cast(AsyncIterator[list[int]], batches(stream, LIMIT, pause_s))


async def test_a_record_that_comes_alone_does_not_wait(stream: FakeStream) -> None:
    """After a quiet while nothing is to be gathered: the lag of a lone reservation is short."""
    taken = numbers(stream, NEVER_S)
    first = asyncio.ensure_future(anext(taken))
    await asyncio.sleep(0)
    stream.put(1)

    assert await first == [1]
    assert not stream.enable_acks


async def test_records_that_come_during_a_batch_and_the_pause_are_one_batch(stream: FakeStream) -> None:
    """A transaction has a fixed cost, so many records share it."""
    stream.put(1)
    taken = numbers(stream, PAUSE_S)
    assert await anext(taken) == [1]

    stream.put(2)
    second = asyncio.ensure_future(anext(taken))
    await asyncio.sleep(0)
    stream.put(3)

    assert await second == [2, 3]


async def test_a_backlog_is_taken_in_batches_of_the_limit_without_a_pause(stream: FakeStream) -> None:
    """Behind one batch the next one waits already."""
    stream.put(*range(2 * LIMIT + 1))
    taken = numbers(stream, NEVER_S)

    assert [await anext(taken), await anext(taken)] == [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9]]
