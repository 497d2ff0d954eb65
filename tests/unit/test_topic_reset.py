"""When a persister believes that a topic was wiped under it."""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any, cast

import faust
import pytest
from aiokafka.errors import NodeNotReadyError
from faust.types import TP

from holdfast_runtime.connection_errors import TransientError
from order_persister.adapters.kafka import topic_reset

PARTITION = TP("commits", 3)


class FakeConsumer:
    """What Faust's consumer is asked; `reads` is how much more is read while Kafka is asked for the end."""

    def __init__(self, read: int | None, end: int, reads: int = 0) -> None:
        self._read_offset: dict[TP, int | None] = defaultdict(lambda: None, {PARTITION: read})
        self._committed_offset: dict[TP, int | None] = defaultdict(lambda: None)
        self._end = end
        self._reads = reads
        self.acknowledged: dict[TP, int] = {}

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
def begun_anew(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The apps whose process was to begin anew."""
    apps: list[Any] = []
    monkeypatch.setattr(topic_reset, "_restart", apps.append)
    return apps


async def look(consumer: FakeConsumer) -> None:
    await topic_reset.restart_if_topic_was_reset(cast(faust.App, FakeApp(consumer)), [PARTITION])


async def test_an_end_below_what_was_read_is_a_wipe(begun_anew: list[Any]) -> None:
    """Kafka is told that nothing was read, so that whoever comes next begins at the beginning."""
    consumer = FakeConsumer(read=100, end=7)

    await look(consumer)

    assert len(begun_anew) == 1
    assert consumer.acknowledged == {PARTITION: 0}


@pytest.mark.parametrize("read", [None, 0, 99])
async def test_what_was_read_to_the_end_was_not_wiped(begun_anew: list[Any], read: int | None) -> None:
    """The end is the offset of the next record, so it lies above everything that was read."""
    await look(FakeConsumer(read=read, end=100))

    assert begun_anew == []


async def test_records_that_come_while_the_end_is_asked_for_are_no_wipe(begun_anew: list[Any]) -> None:
    """Under load more has been read by the time the answer is here than there was when Kafka gave it."""
    consumer = FakeConsumer(read=99, end=100, reads=50)

    await look(consumer)

    assert begun_anew == []
    assert consumer.acknowledged == {}


async def test_a_kafka_that_is_away_tells_of_no_wipe(begun_anew: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """It is waited for, as everywhere: said once and counted."""

    async def away(consumer: FakeConsumer, *partitions: TP) -> Mapping[TP, int]:
        raise NodeNotReadyError("no broker")

    monkeypatch.setattr(FakeConsumer, "highwaters", away)

    with pytest.raises(TransientError, match="NodeNotReadyError"):
        await look(FakeConsumer(read=100, end=7))

    assert begun_anew == []
