"""Reads how far the persisters have read the topic of commits."""

import asyncio
from collections.abc import Mapping

from aiokafka import AIOKafkaConsumer, TopicPartition

from holdfast_runtime.kafka import COMMITS, PERSISTER_GROUP, KafkaConfig, stop
from inventory_service.adapters.kafka.clients import REQUEST_TIMEOUT_MS, kafka_errors, start


class KafkaPersisterOffsets:
    """Reads the offsets that the persisters' group has committed."""

    def __init__(self, config: KafkaConfig) -> None:
        self._config = config
        self._consumer: AIOKafkaConsumer | None = None
        self._starting = asyncio.Lock()

    async def end(self, shard: int) -> int:
        """The offset that the next record will get."""
        consumer, partition = await self._started(), TopicPartition(self._config.named(COMMITS), shard)
        with kafka_errors():
            ends: Mapping[TopicPartition, int] = await consumer.end_offsets([partition])
        return ends[partition]

    async def read_up_to(self, shard: int) -> int:
        """The offset of the first record that the group has not acknowledged.

        A committed offset beyond the end belongs to an earlier topic that was deleted: of this one nothing was read.
        """
        consumer, partition = await self._started(), TopicPartition(self._config.named(COMMITS), shard)
        with kafka_errors():
            async with asyncio.timeout(REQUEST_TIMEOUT_MS / 1000):
                committed: int | None = await consumer.committed(partition)
                beginnings: Mapping[TopicPartition, int] = await consumer.beginning_offsets([partition])
        if committed is None or committed > await self.end(shard):
            return beginnings[partition]
        return max(committed, beginnings[partition])

    async def close(self) -> None:
        if self._consumer is not None:
            await stop(self._consumer)

    async def _started(self) -> AIOKafkaConsumer:
        """A consumer that names the group and subscribes to nothing, so that it never becomes a member."""
        async with self._starting:
            if self._consumer is None:
                consumer = AIOKafkaConsumer(
                    **self._config.options(),
                    group_id=self._config.named(PERSISTER_GROUP),
                    enable_auto_commit=False,
                    request_timeout_ms=REQUEST_TIMEOUT_MS,
                )
                await start(consumer)
                self._consumer = consumer
            return self._consumer
