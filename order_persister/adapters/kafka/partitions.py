"""Reads partitions of commits apart from Faust: joins no group, acknowledges nothing, and may begin anywhere."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaConsumer, TopicPartition

from holdfast_runtime.kafka import KafkaConfig, stop
from order_persister.adapters.kafka.producer import REQUEST_TIMEOUT_MS, kafka_errors
from order_persister.domain.chain import KafkaRecord

MAX_RECORDS = 32


class Partitions:
    """The partitions of one topic. Every method raises `TransientError` while Kafka is unavailable."""

    def __init__(self, config: KafkaConfig, topic: str, group: str) -> None:
        self._config = config
        self._topic = topic
        self._group = group

    async def last_acknowledged(self, shard: int) -> KafkaRecord | None:
        """The last record that the group has acknowledged; None if there is none, or it was deleted."""
        async with self._consumer(shard) as (consumer, partition), asyncio.timeout(REQUEST_TIMEOUT_MS / 1000):
            acknowledged = await consumer.committed(partition) or 0
            first, end = await consumer.beginning_offsets([partition]), await consumer.end_offsets([partition])
            if not first[partition] < acknowledged <= end[partition]:
                return None
            consumer.seek(partition, acknowledged - 1)
            found = await consumer.getone(partition)
            return KafkaRecord(shard, found.offset, found.value or b"")

    async def all_records(self, shard: int) -> AsyncGenerator[Sequence[KafkaRecord], None]:
        """Every record that a partition holds now, in order; it ends also if the topic is reset meanwhile."""
        async with self._consumer(shard) as (consumer, partition):
            await consumer.seek_to_beginning(partition)
            end = (await consumer.end_offsets([partition]))[partition]
            while await consumer.position(partition) < min(end, (await consumer.end_offsets([partition]))[partition]):
                fetched = await consumer.getmany(partition, timeout_ms=1000, max_records=MAX_RECORDS)
                yield [KafkaRecord(shard, one.offset, one.value or b"") for one in fetched.get(partition, ())]

    @asynccontextmanager
    async def _consumer(self, shard: int) -> AsyncIterator[tuple[AIOKafkaConsumer, TopicPartition]]:
        """A consumer with the group's id, which it needs to read the group's offsets, and without a subscription."""
        consumer = AIOKafkaConsumer(
            **self._config.options(),
            group_id=self._group,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            request_timeout_ms=REQUEST_TIMEOUT_MS,
        )
        try:
            with kafka_errors():
                await consumer.start()
                partition = TopicPartition(self._topic, shard)
                consumer.assign([partition])
                yield consumer, partition
        finally:
            await stop(consumer)
