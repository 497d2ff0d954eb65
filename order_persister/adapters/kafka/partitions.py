"""Reads partitions of commits apart from Faust: joins no group, acknowledges nothing, and may begin anywhere."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from holdfast_runtime.connection_errors import TransientError
from holdfast_runtime.kafka import KafkaConfig, stop
from order_persister.adapters.kafka.producer import REQUEST_TIMEOUT_MS, kafka_errors
from order_persister.domain.chain import KafkaRecord

MAX_RECORDS = 256  # of a batch
FIRST_RECORD_MS = 1000
NEXT_RECORD_MS = 50  # a broker may send one record a fetch, and a transaction for each would take far longer


class Partitions:
    """The partitions of one topic. Every method raises `TransientError` while Kafka is unavailable."""

    def __init__(self, config: KafkaConfig, topic: str) -> None:
        self._config = config
        self._topic = topic
        self._lock = asyncio.Lock()
        self._kept: AIOKafkaConsumer | None = None  # for single records, which are asked for regularly

    async def end(self, shard: int) -> int:
        """The offset that the next record will get."""
        partition = TopicPartition(self._topic, shard)
        async with self._kept_consumer() as consumer:
            return int((await consumer.end_offsets([partition]))[partition])

    async def record_at(self, shard: int, offset: int) -> KafkaRecord | None:
        """One record; None if it was deleted, or does not exist yet."""
        partition = TopicPartition(self._topic, shard)
        async with self._kept_consumer() as consumer:
            first, end = await consumer.beginning_offsets([partition]), await consumer.end_offsets([partition])
            if not first[partition] <= offset < end[partition]:
                return None
            consumer.assign([partition])
            try:
                consumer.seek(partition, offset)
                found = await consumer.getone(partition)
            finally:
                consumer.unsubscribe()  # or it would go on reading
            return KafkaRecord(shard, found.offset, found.value or b"")

    async def close(self) -> None:
        """Close what is kept open."""
        kept, self._kept = self._kept, None
        if kept is not None:
            await stop(kept)

    async def records_from(self, shard: int, offset: int) -> AsyncGenerator[Sequence[KafkaRecord], None]:
        """Every record from an offset on that is not deleted, in order; ends where the partition ends by then."""
        async with self._consumer(shard) as (consumer, partition):
            consumer.seek(partition, max(offset, (await consumer.beginning_offsets([partition]))[partition]))
            while await consumer.position(partition) < (await consumer.end_offsets([partition]))[partition]:
                yield [
                    KafkaRecord(shard, one.offset, one.value or b"") for one in await _next_batch(consumer, partition)
                ]

    @asynccontextmanager
    async def _kept_consumer(self) -> AsyncIterator[AIOKafkaConsumer]:
        """A consumer that stays connected, for one caller at a time, and not for long."""
        async with self._lock:
            try:
                with kafka_errors():
                    async with asyncio.timeout(REQUEST_TIMEOUT_MS / 1000):
                        if self._kept is None:
                            self._kept = await self._started()
                        yield self._kept
            except TransientError:
                await self.close()  # if it has stopped fetching, it never returns a record
                raise

    async def _started(self) -> AIOKafkaConsumer:
        consumer = self._new_consumer()
        try:
            await consumer.start()
        except BaseException:  # it has tasks and connections already, also if this is cancelled
            await stop(consumer)
            raise
        return consumer

    @asynccontextmanager
    async def _consumer(self, shard: int) -> AsyncIterator[tuple[AIOKafkaConsumer, TopicPartition]]:
        consumer = self._new_consumer()
        try:
            with kafka_errors():
                await consumer.start()
                partition = TopicPartition(self._topic, shard)
                consumer.assign([partition])
                yield consumer, partition
        finally:
            await stop(consumer)

    def _new_consumer(self) -> AIOKafkaConsumer:
        return AIOKafkaConsumer(
            **self._config.options(),
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            request_timeout_ms=REQUEST_TIMEOUT_MS,
        )


async def _next_batch(consumer: AIOKafkaConsumer, partition: TopicPartition) -> Sequence[ConsumerRecord]:
    """What comes within `FIRST_RECORD_MS`, and what follows without a pause."""
    batch: list[ConsumerRecord] = []
    while len(batch) < MAX_RECORDS:
        timeout_ms, most = NEXT_RECORD_MS if batch else FIRST_RECORD_MS, MAX_RECORDS - len(batch)
        fetched = (await consumer.getmany(partition, timeout_ms=timeout_ms, max_records=most)).get(partition)
        if not fetched:
            break
        batch += fetched
    return batch
