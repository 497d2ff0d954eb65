"""Hears what persisters report; each report is a statement of state, so any may come twice or be missed."""

from collections.abc import AsyncGenerator

from aiokafka import AIOKafkaConsumer, TopicPartition
from google.protobuf.message import DecodeError
from holdfast.inventory.v1 import events_pb2

from inventory_service.adapters.kafka.access import KafkaAccess
from inventory_service.adapters.kafka.clients import REQUEST_MS, next_record, start, stop
from inventory_service.adapters.kafka.names import PROGRESS
from inventory_service.domain.shards import LedgerProgress


class KafkaProgress:
    """What persisters report from now on, of all shards. No consumer group, for every relay hears every report."""

    def __init__(self, access: KafkaAccess, shards: int) -> None:
        self._access = access
        self._partitions = [TopicPartition(access.named(PROGRESS), shard) for shard in range(shards)]

    async def reports(self) -> AsyncGenerator[LedgerProgress, None]:
        """Never ends; one that cannot be read is skipped, for the next says the same."""
        consumer = AIOKafkaConsumer(**self._access.options(), auto_offset_reset="latest", request_timeout_ms=REQUEST_MS)
        await start(consumer)
        try:
            consumer.assign(self._partitions)
            while True:
                record = await next_record(consumer)
                report = report_from_record(record.partition, record.value or b"")
                if report is not None:
                    yield report
        finally:
            await stop(consumer)


def report_from_record(partition: int, value: bytes) -> LedgerProgress | None:
    """None for what no persister wrote: bytes that do not decode, or no report of the partition's own shard."""
    try:
        said = events_pb2.LedgerProgress.FromString(value)
    except DecodeError:
        return None
    if said.shard != partition or not said.epoch:
        return None
    return LedgerProgress(
        shard=said.shard,
        epoch=said.epoch,
        seq=said.seq,
        hash=said.hash.decode(errors="replace"),
        settled_epoch=said.settled_epoch,
        settled_seq=said.settled_seq,
        resend=said.resend_from_seq > 0,
        frozen_reason=said.frozen_reason,
    )
