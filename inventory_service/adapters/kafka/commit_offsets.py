"""Reads where the partitions of the topic of commits begin and end, and recognizes a topic that was made anew."""

import asyncio
from collections.abc import Mapping
from hashlib import sha256

from aiokafka import AIOKafkaConsumer, TopicPartition
from google.protobuf.message import DecodeError
from holdfast.inventory.v1.events_pb2 import CommitRun

from holdfast_runtime.kafka import COMMITS, KafkaConfig, stop
from inventory_service.adapters.kafka.clients import REQUEST_TIMEOUT_MS, kafka_errors, start
from inventory_service.domain.shards import KafkaUnavailable, Offsets


class KafkaCommitOffsets:
    """Reads apart from the persisters: joins no group, acknowledges nothing."""

    def __init__(self, config: KafkaConfig) -> None:
        self._config = config
        self._consumer: AIOKafkaConsumer | None = None
        self._starting = asyncio.Lock()
        self._reading = asyncio.Lock()

    async def offsets(self, shard: int) -> Offsets:
        """The offset of the first record that is not deleted, and the one that the next record will get."""
        consumer, partition = await self._started(), self._partition(shard)
        with kafka_errors():
            beginnings: Mapping[TopicPartition, int] = await consumer.beginning_offsets([partition])
            ends: Mapping[TopicPartition, int] = await consumer.end_offsets([partition])
        return Offsets(beginnings[partition], ends[partition])

    async def digest_at(self, shard: int, offset: int) -> bytes:
        """The digest of one record, as the persister computes it; the record must be there."""
        return sha256(await self._record_at(shard, offset)).digest()

    async def last_epoch(self, shard: int) -> int:
        """The epoch of the last record; 0 if there is none, or it is no run of commits."""
        beginning, end = await self.offsets(shard)
        try:
            return CommitRun.FromString(await self._record_at(shard, end - 1)).epoch if end > beginning else 0
        except DecodeError:
            return 0

    async def _record_at(self, shard: int, offset: int) -> bytes:
        async with self._reading:
            consumer = await self._started()
            try:
                with kafka_errors():
                    return await _record_of(consumer, self._partition(shard), offset)
            except KafkaUnavailable:
                await self.close()  # if it has stopped fetching, it never returns a record
                raise

    async def close(self) -> None:
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await stop(consumer)

    def _partition(self, shard: int) -> TopicPartition:
        return TopicPartition(self._config.named(COMMITS), shard)

    async def _started(self) -> AIOKafkaConsumer:
        async with self._starting:
            if self._consumer is None:
                consumer = AIOKafkaConsumer(**self._config.options(), request_timeout_ms=REQUEST_TIMEOUT_MS)
                await start(consumer)
                self._consumer = consumer
            return self._consumer


async def _record_of(consumer: AIOKafkaConsumer, partition: TopicPartition, offset: int) -> bytes:
    try:
        consumer.assign([partition])
        consumer.seek(partition, offset)
        async with asyncio.timeout(REQUEST_TIMEOUT_MS / 1000):
            record = await consumer.getone(partition)
    finally:
        consumer.unsubscribe()
    return record.value or b""
