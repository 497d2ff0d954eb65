"""Asks how far the persisters have read the commits."""

import asyncio
from collections.abc import Mapping

from aiokafka import AIOKafkaConsumer, TopicPartition

from inventory_service.adapters.kafka.access import KafkaAccess
from inventory_service.adapters.kafka.clients import REQUEST_MS, kafka_errors, start, stop
from inventory_service.adapters.kafka.names import COMMITS, PERSISTER_GROUP


class KafkaPersisterOffsets:
    """By what their group has committed."""

    def __init__(self, access: KafkaAccess) -> None:
        self._access = access
        self._consumer: AIOKafkaConsumer | None = None
        self._starting = asyncio.Lock()

    async def end(self, shard: int) -> int:
        """The offset that the next record will get."""
        consumer, partition = await self._started(), TopicPartition(self._access.named(COMMITS), shard)
        with kafka_errors():
            ends: Mapping[TopicPartition, int] = await consumer.end_offsets([partition])
        return ends[partition]

    async def read_up_to(self, shard: int) -> int:
        """The offset of the first record there is that the group has not acknowledged.

        An acknowledgement beyond the end is of another topic, which was wiped: of this one nothing was read.
        """
        consumer, partition = await self._started(), TopicPartition(self._access.named(COMMITS), shard)
        with kafka_errors():
            async with asyncio.timeout(REQUEST_MS / 1000):
                committed: int | None = await consumer.committed(partition)
                begins: Mapping[TopicPartition, int] = await consumer.beginning_offsets([partition])
        if committed is None or committed > await self.end(shard):
            return begins[partition]
        return max(committed, begins[partition])

    async def close(self) -> None:
        if self._consumer is not None:
            await stop(self._consumer)

    async def _started(self) -> AIOKafkaConsumer:
        """A consumer that names the group and subscribes to nothing, so that it asks and never takes part."""
        async with self._starting:
            if self._consumer is None:
                consumer = AIOKafkaConsumer(
                    **self._access.options(),
                    group_id=self._access.named(PERSISTER_GROUP),
                    enable_auto_commit=False,
                    request_timeout_ms=REQUEST_MS,
                )
                await start(consumer)
                self._consumer = consumer
            return self._consumer
