"""The relay's consumer of progress reports yields every valid one, whatever other records are in the topic."""

import asyncio
from contextlib import aclosing

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.consumer.fetcher import Fetcher
from holdfast.inventory.v1 import events_pb2

from holdfast_runtime.kafka import PROGRESS
from inventory_service.adapters.kafka import clients
from inventory_service.adapters.kafka.progress import KafkaProgress
from inventory_service.domain.shards import KafkaUnavailable, LedgerProgress
from tests.shared_kafka import Kafka

SHARDS = 2
ARRIVES_S = 20.0
FORGED = b"\xff" * 40
GOOD = events_pb2.LedgerProgress(
    shard=1, epoch=1, seq=7, hash=b"a" * 40, settled_epoch=1, settled_seq=6
).SerializeToString()
BAD_HASH = events_pb2.LedgerProgress(shard=1, epoch=1, seq=8, hash=FORGED).SerializeToString()
ELSEWHERE = events_pb2.LedgerProgress(shard=4000, epoch=1, seq=8).SerializeToString()


async def test_an_unreadable_report_does_not_stop_the_next(kafka: Kafka) -> None:
    """A relay that ends at a record would read it again after a restart, or miss reports while it starts."""
    producer = AIOKafkaProducer(bootstrap_servers=kafka.address)
    await producer.start()
    sending = asyncio.create_task(
        send_again_and_again(producer, kafka, (None, b"", b"\xff\xff", ELSEWHERE, GOOD, BAD_HASH))
    )
    async with (
        asyncio.timeout(ARRIVES_S),
        aclosing(KafkaProgress(kafka.config, SHARDS).reports(lambda: None)) as reports,
    ):
        received = {await anext(reports) for _ in range(4)}
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)
    await producer.stop()

    assert received == {
        LedgerProgress(1, 1, 7, "a" * 40, 1, 6, resend=False, frozen_reason=""),
        LedgerProgress(1, 1, 8, "\ufffd" * 40, 0, 0, resend=False, frozen_reason=""),
    }


async def test_a_consumer_that_has_stopped_fetching_is_replaced(kafka: Kafka, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error that aiokafka does not expect ends its fetching; it would wait for the next record for ever."""

    async def fail(*_: object) -> bool:
        raise LookupError("a bug")

    monkeypatch.setattr(clients, "LIVENESS_CHECK_S", 0.1)
    monkeypatch.setattr(Fetcher, "_proc_fetch_request", fail)

    async with asyncio.timeout(ARRIVES_S):
        with pytest.raises(KafkaUnavailable, match="Unexpected error during data retrieval"):
            await anext(KafkaProgress(kafka.config, SHARDS).reports(lambda: None))


async def send_again_and_again(producer: AIOKafkaProducer, kafka: Kafka, values: tuple[bytes | None, ...]) -> None:
    """The consumer starts at the end of the topic, so records sent before it is ready are missed."""
    while True:
        for value in values:
            await producer.send_and_wait(kafka.named(PROGRESS), value, key=b"1", partition=1)
