"""The notifier goes on when a partition is taken from it between what it tells and its commit."""

import importlib.util
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError
from holdfast.inventory.v1.events_pb2 import ReservationFact
from holdfast.inventory.v1.reservation_pb2 import Position

FILE = Path(__file__).resolve().parents[3] / "clients" / "examples" / "notifier.py"
PARTITION = TopicPartition("facts", 0)


def notifier_module() -> Any:
    """The example, which no package has."""
    spec = importlib.util.spec_from_file_location("notifier", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Ended(BaseException):
    """Raised in the place of more records."""


class Consumer:
    """Has two facts, one after the other, of a partition that another one gets after the first."""

    def __init__(self, error: Exception) -> None:
        self._error = error
        self.fetched = 0
        self.committed: list[int] = []

    async def getmany(self, **_: int) -> dict[TopicPartition, list[SimpleNamespace]]:
        self.fetched += 1
        if self.fetched > 2:
            raise Ended
        fact = ReservationFact(position=Position(epoch=1, seq=self.fetched))
        return {PARTITION: [SimpleNamespace(offset=self.fetched, value=fact.SerializeToString())]}

    async def commit(self, offsets: dict[TopicPartition, Any]) -> None:
        if self.fetched == 1:
            raise self._error
        self.committed += [offset.offset for offset in offsets.values()]


@pytest.mark.parametrize("error", [CommitFailedError(), IllegalStateError("the partition is not assigned")])
async def test_a_partition_that_was_taken_away_is_not_committed(error: Exception) -> None:
    """Whichever of the two errors says so: before aiokafka asks, or by the broker's answer."""
    consumer = Consumer(error)

    with pytest.raises(Ended):
        await notifier_module().Notifier(consumer, None, "group").run()

    assert consumer.committed == [3]
