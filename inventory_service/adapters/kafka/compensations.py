"""Hears which orders the ledger refused; any may come twice, for the compensate script gives back once."""

from collections.abc import AsyncGenerator
from contextlib import suppress

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError
from google.protobuf.message import DecodeError
from holdfast.inventory.v1 import events_pb2

from inventory_service.adapters.kafka.access import KafkaAccess
from inventory_service.adapters.kafka.clients import REQUEST_MS, next_record, start, stop
from inventory_service.adapters.kafka.names import COMPENSATIONS, COMPENSATOR_GROUP
from inventory_service.domain.requests import Compensate, Position, SaleKey

LOOK_AROUND_MS = 5_000  # only by looking a group's member sees that a topic is back; aiokafka's own is five minutes


class KafkaCompensations:
    """What the ledger refused, handled by one compensator of the group; acknowledged after it is handled."""

    def __init__(self, access: KafkaAccess, session_timeout_s: float = 10) -> None:
        self._access = access
        self._session_timeout_s = session_timeout_s

    async def compensations(self) -> AsyncGenerator[Compensate | None, None]:
        """Never ends. Asking for the next acknowledges the last; None stands for one that cannot be read."""
        consumer = AIOKafkaConsumer(
            self._access.named(COMPENSATIONS),
            **self._access.options(),
            group_id=self._access.named(COMPENSATOR_GROUP),
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            session_timeout_ms=int(self._session_timeout_s * 1000),
            heartbeat_interval_ms=int(self._session_timeout_s * 1000 / 3),
            metadata_max_age_ms=LOOK_AROUND_MS,
            request_timeout_ms=REQUEST_MS,
        )
        await start(consumer)
        try:
            while True:
                record = await next_record(consumer)
                yield compensation_from_record(record.value or b"")
                await _acknowledge(consumer, record)
        finally:
            await stop(consumer)


def compensation_from_record(value: bytes) -> Compensate | None:
    """None for what no ledger wrote: bytes that do not decode, or that do not name a reservation and its making."""
    try:
        said = events_pb2.Compensation.FromString(value)
    except DecodeError:
        return None
    if not (said.tenant and said.sale_id and said.reservation_id and said.created.epoch):
        return None
    created = Position(said.created.shard, said.created.epoch, said.created.seq, said.created.index)
    sale = SaleKey(said.tenant, said.sale_id)
    return Compensate(sale, said.reservation_id, created, int(said.reason), said.detail)


async def _acknowledge(consumer: AIOKafkaConsumer, record: ConsumerRecord) -> None:
    """Failing is harmless: it comes again, and the script gives back once."""
    with suppress(KafkaError):
        await consumer.commit({TopicPartition(record.topic, record.partition): record.offset + 1})
