"""Reads and writes Kafka's topics from outside: commits, and the ledger's progress reports."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Self

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from holdfast.inventory.v1.events_pb2 import CommitRun, LedgerProgress

COMMITS, PROGRESS = "holdfast.commits.v1", "holdfast.ledger-progress.v1"
POLL_MS = 100


class Topics:
    """A consumer without a group, which takes no partition from a process of the stack, and a producer."""

    def __init__(self, consumer: AIOKafkaConsumer, producer: AIOKafkaProducer) -> None:
        self._consumer = consumer
        self._producer = producer

    @classmethod
    @asynccontextmanager
    async def of(cls, brokers: str) -> AsyncIterator[Self]:
        """Connect to a broker."""
        async with (
            # "latest", the default, can win against a seek to the beginning, and then nothing is read.
            AIOKafkaConsumer(bootstrap_servers=brokers, auto_offset_reset="earliest") as consumer,
            AIOKafkaProducer(bootstrap_servers=brokers, acks="all") as producer,
        ):
            yield cls(consumer, producer)

    async def runs(self, shard: int) -> Sequence[CommitRun]:
        """Every run of commits that a shard's partition holds now."""
        return [CommitRun.FromString(value) for value in await self._read(TopicPartition(COMMITS, shard))]

    async def reports(self, shard: int) -> Sequence[LedgerProgress]:
        """Every progress report of a shard, in order."""
        return [LedgerProgress.FromString(value) for value in await self._read(TopicPartition(PROGRESS, shard))]

    async def send(self, shard: int, run: CommitRun) -> None:
        """Put a record into a shard's partition of the commits, as its relay would."""
        await self._producer.send_and_wait(COMMITS, run.SerializeToString(), key=str(shard).encode(), partition=shard)

    async def _read(self, partition: TopicPartition) -> Sequence[bytes]:
        """Read from the first record to the last one that is there when this begins."""
        self._consumer.assign([partition])
        ends = await self._consumer.end_offsets([partition])
        await self._consumer.seek_to_beginning(partition)
        values: list[bytes] = []
        while await self._consumer.position(partition) < ends[partition]:
            fetched = await self._consumer.getmany(partition, timeout_ms=POLL_MS)
            values += [record.value for record in fetched.get(partition, ())]
        return values
