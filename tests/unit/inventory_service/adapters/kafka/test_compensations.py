"""How compensations are taken from their topic."""

from collections.abc import Mapping
from contextlib import aclosing
from types import SimpleNamespace

import pytest
from aiokafka import TopicPartition
from holdfast.inventory.v1.events_pb2 import Compensation
from holdfast.inventory.v1.reservation_pb2 import Position

from holdfast_runtime.kafka import KafkaConfig
from inventory_service.adapters.kafka import compensations


class FakeConsumer:
    """A partition whose records have all been fetched; it keeps what is committed."""

    def __init__(self, values: list[bytes]) -> None:
        self.records = [SimpleNamespace(topic="t", partition=0, offset=at, value=one) for at, one in enumerate(values)]
        self.committed: list[Mapping[TopicPartition, int]] = []

    async def getone(self) -> SimpleNamespace:
        return self.records.pop(0)

    async def getmany(self, max_records: int) -> Mapping[TopicPartition, list[SimpleNamespace]]:
        found, self.records = self.records[:max_records], self.records[max_records:]
        return {TopicPartition("t", 0): found}

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        self.committed.append(offsets)

    async def start(self) -> None: ...

    async def stop(self) -> None: ...


async def test_repeats_that_have_arrived_together_are_one_and_are_committed_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """After an outage most are repeats; one by one, new ones would come after hours of them."""
    values = [_compensation(f"r-{number}") for number in range(10)]
    consumer = FakeConsumer([*values * 30, _compensation("next")])
    monkeypatch.setattr(compensations, "AIOKafkaConsumer", lambda *_, **__: consumer)
    monkeypatch.setattr(compensations, "MAX_RECORDS", 299)
    taken = []

    async with aclosing(compensations.KafkaCompensations(KafkaConfig("")).compensations(lambda: None)) as found:
        async for one in found:
            assert one is not None
            taken.append(one.reservation_id)
            if one.reservation_id == "next":
                break

    assert taken == [*(f"r-{number}" for number in range(10)), "next"]
    assert consumer.committed == [{TopicPartition("t", 0): 300}]


def _compensation(reservation_id: str) -> bytes:
    created = Position(epoch=1, seq=1)
    return Compensation(
        tenant="default", sale_id="lamps", reservation_id=reservation_id, created=created
    ).SerializeToString()
