"""Consumes compensations; a duplicate is harmless, because the compensate script gives units back once."""

from collections.abc import AsyncGenerator, Callable
from contextlib import suppress

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError
from google.protobuf.message import DecodeError
from holdfast.inventory.v1 import events_pb2

from holdfast_runtime.kafka import COMPENSATIONS, COMPENSATOR_GROUP, KafkaConfig, stop
from inventory_service.adapters.kafka.clients import REQUEST_TIMEOUT_MS, next_record, start
from inventory_service.domain.keys import Position, SaleKey
from inventory_service.domain.moves import Compensate

METADATA_MAX_AGE_MS = (
    5_000  # a group's member sees a recreated topic only in fresh metadata; aiokafka's default is 5 min
)


class KafkaCompensations:
    """Compensations, each for one compensator of the consumer group; its offset is committed after it is handled."""

    def __init__(self, config: KafkaConfig, session_timeout_s: float = 10) -> None:
        self._config = config
        self._session_timeout_s = session_timeout_s

    async def compensations(self, connected: Callable[[], None]) -> AsyncGenerator[Compensate | None, None]:
        """Never ends. A request for the next one commits the offset of the last; an unreadable one is None."""
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
                record = await next_record(consumer, connected)
                yield compensation_from_record(record.value or b"")
                await _commit_offset(consumer, record)
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


async def _commit_offset(consumer: AIOKafkaConsumer, record: ConsumerRecord) -> None:
    """A failure is harmless: the compensation is delivered again, and the script gives units back once."""
    with suppress(KafkaError):
        await consumer.commit({TopicPartition(record.topic, record.partition): record.offset + 1})
