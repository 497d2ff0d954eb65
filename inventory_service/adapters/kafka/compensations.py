"""Consumes compensations; a duplicate is harmless, because the compensate script gives units back once.

The ledger repeats each until it has the end of its order, so after an outage most records are repeats.
"""

from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import suppress

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError
from google.protobuf.message import DecodeError
from holdfast.inventory.v1 import events_pb2

from holdfast_runtime.kafka import COMPENSATIONS, COMPENSATOR_GROUP, KafkaConfig, stop
from inventory_service.adapters.kafka.clients import REQUEST_TIMEOUT_MS, kafka_errors, next_record, start
from inventory_service.domain.keys import Position, SaleKey
from inventory_service.domain.moves import Compensate

# A group's member sees a topic that was made anew only in fresh metadata; aiokafka's default is 5 min.
METADATA_MAX_AGE_MS = 5_000
MAX_RECORDS = 500  # whose offsets are committed at once


class KafkaCompensations:
    """Compensations, each for one compensator of the consumer group; offsets are committed after they are handled."""

    def __init__(self, config: KafkaConfig, session_timeout_s: float = 10) -> None:
        self._config = config
        self._session_timeout_s = session_timeout_s

    async def compensations(self, connected: Callable[[], None]) -> AsyncGenerator[Compensate | None, None]:
        """Never ends. An unreadable one is None; equal records that have arrived together are one."""
        consumer = AIOKafkaConsumer(
            self._config.named(COMPENSATIONS),
            **self._config.options(),
            group_id=self._config.named(COMPENSATOR_GROUP),
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            session_timeout_ms=int(self._session_timeout_s * 1000),
            heartbeat_interval_ms=int(self._session_timeout_s * 1000 / 3),
            metadata_max_age_ms=METADATA_MAX_AGE_MS,
            request_timeout_ms=REQUEST_TIMEOUT_MS,
        )
        await start(consumer)
        try:
            while True:
                records = [await next_record(consumer, connected), *await _fetched(consumer)]
                for value in dict.fromkeys(record.value or b"" for record in records):
                    yield compensation_from_record(value)
                await _commit_offsets(consumer, records)
        finally:
            await stop(consumer)


def compensation_from_record(value: bytes) -> Compensate | None:
    """None for a record that no persister wrote: one that does not decode, or lacks the reservation or its position."""
    try:
        message = events_pb2.Compensation.FromString(value)
    except DecodeError:
        return None
    if not (message.tenant and message.sale_id and message.reservation_id and message.created.epoch):
        return None
    created = Position(message.created.shard, message.created.epoch, message.created.seq, message.created.index)
    sale = SaleKey(message.tenant, message.sale_id)
    return Compensate(sale, message.reservation_id, created, int(message.reason), message.detail)


async def _fetched(consumer: AIOKafkaConsumer) -> list[ConsumerRecord]:
    """The records that have been fetched already."""
    with kafka_errors():
        found = await consumer.getmany(max_records=MAX_RECORDS)
    return [record for records in found.values() for record in records]


async def _commit_offsets(consumer: AIOKafkaConsumer, records: Iterable[ConsumerRecord]) -> None:
    """A failure is harmless: the compensations are delivered again, and the script gives units back once."""
    with suppress(KafkaError):
        await consumer.commit({TopicPartition(one.topic, one.partition): one.offset + 1 for one in records})
