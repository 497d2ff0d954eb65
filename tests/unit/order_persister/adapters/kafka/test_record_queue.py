"""The queue before the agent, which is bounded by bytes too."""

from types import SimpleNamespace
from typing import cast

import pytest
from faust.types import EventT
from mode.utils.queues import FlowControlEvent

from order_persister.adapters.kafka import record_queue
from order_persister.adapters.kafka.record_queue import RecordQueue

BIG = 250_000


def event(size: int) -> EventT[bytes]:
    return cast(EventT[bytes], SimpleNamespace(message=SimpleNamespace(value=b"x" * size)))


@pytest.fixture
async def queue(monkeypatch: pytest.MonkeyPatch) -> RecordQueue:
    """One of a hundred records and four big ones."""
    monkeypatch.setattr(record_queue, "MAX_BYTES", 4 * BIG)
    return RecordQueue(100, flow_control=FlowControlEvent(initially_suspended=False))


async def test_it_is_full_at_so_many_small_records(queue: RecordQueue) -> None:
    """They take no more memory than a few big ones."""
    for _ in range(99):
        queue.put_nowait(event(200))
    assert not queue.full()

    queue.put_nowait(event(200))

    assert queue.full()


async def test_it_is_full_at_so_many_bytes(queue: RecordQueue) -> None:
    """The big records of a busy sale must not take gigabytes."""
    for _ in range(3):
        queue.put_nowait(event(BIG))
    assert not queue.full()

    queue.put_nowait(event(BIG))

    assert queue.full()


async def test_it_has_room_again_for_what_was_taken(queue: RecordQueue) -> None:
    """It is emptied at a rebalance too."""
    for size in (200, BIG, BIG, 0):
        queue.put_nowait(event(size))
    while not queue.empty():
        queue.get_nowait()
    assert queue.qsize() == 0

    queue.put_nowait(event(BIG))
    queue.clear()

    assert queue.qsize() == 0
    assert queue.empty()
