"""When a persister restarts because a topic was reset."""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any, cast

import faust
import pytest
from aiokafka.errors import NodeNotReadyError
from faust.types import TP

from holdfast_runtime.connection_errors import TransientError
from order_persister.adapters.kafka import topic_reset
from order_persister.adapters.kafka.agent import partition_states

PARTITION = TP("commits", 3)


class FakeConsumer:
    """Faust's consumer; it reads `reads` more records while Kafka is asked for the end."""

    def __init__(self, read: int | None, end: int, reads: int = 0) -> None:
        self._read_offset: dict[TP, int | None] = defaultdict(lambda: None, {PARTITION: read})
        self._committed_offset: dict[TP, int | None] = defaultdict(lambda: None)
        self._end = end
        self._reads = reads
        self.acknowledged: dict[TP, int] = {}

    def assignment(self) -> set[TP]:
        return {PARTITION}

    async def highwaters(self, *partitions: TP) -> Mapping[TP, int]:
        self._read_offset[PARTITION] = (self._read_offset[PARTITION] or 0) + self._reads
        return dict.fromkeys(partitions, self._end)

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        self.acknowledged.update(offsets)
        return True


class FakeApp:
    """An app with nothing but a consumer."""

    def __init__(self, consumer: FakeConsumer) -> None:
        self.consumer = consumer


@pytest.fixture
def restarted(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The apps whose process was restarted."""
    apps: list[Any] = []
    monkeypatch.setattr(topic_reset, "restart_process", apps.append)
    return apps


async def check(consumer: FakeConsumer) -> None:
    app = cast(faust.App, FakeApp(consumer))
    await topic_reset.restart_if_topic_was_reset(app, PARTITION.topic, await partition_states(app, PARTITION.topic))


async def test_an_end_below_the_last_offset_is_a_reset(restarted: list[Any]) -> None:
    """Offset 0 is committed, so that the next process begins at the beginning."""
    consumer = FakeConsumer(read=100, end=7)

    await check(consumer)

    assert len(restarted) == 1
    assert consumer.acknowledged == {PARTITION: 0}


@pytest.mark.parametrize("read", [None, 0, 99])
async def test_a_topic_that_was_read_to_its_end_was_not_reset(restarted: list[Any], read: int | None) -> None:
    """The end is the offset of the next record, so it is above all that was read."""
    await check(FakeConsumer(read=read, end=100))

    assert restarted == []


async def test_records_that_are_read_while_the_end_is_asked_for_are_no_reset(restarted: list[Any]) -> None:
    """Under load the process has read beyond the end by the time that Kafka's answer arrives."""
    consumer = FakeConsumer(read=99, end=100, reads=50)

    await check(consumer)

    assert restarted == []
    assert consumer.acknowledged == {}


async def test_an_unavailable_kafka_is_no_reset(restarted: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """The error is transient, so the caller retries."""

    async def unavailable(consumer: FakeConsumer, *partitions: TP) -> Mapping[TP, int]:
        raise NodeNotReadyError("no broker")

    monkeypatch.setattr(FakeConsumer, "highwaters", unavailable)

    with pytest.raises(TransientError, match="NodeNotReadyError"):
        await check(FakeConsumer(read=100, end=7))

    assert restarted == []
