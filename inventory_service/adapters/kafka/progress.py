"""Consumes the persisters' progress reports; each is a whole state, so a duplicate or a lost one is harmless."""

from collections.abc import AsyncGenerator, Callable

from aiokafka import AIOKafkaConsumer, TopicPartition
from google.protobuf.message import DecodeError
from holdfast.inventory.v1 import events_pb2

from holdfast_runtime.kafka import PROGRESS, KafkaConfig, stop
from inventory_service.adapters.kafka.clients import REQUEST_TIMEOUT_MS, next_record, start
from inventory_service.domain.shards import LedgerProgress


class KafkaProgress:
    """New reports of all shards. Without a consumer group, because every relay needs every report."""

    def __init__(self, config: KafkaConfig, shards: int) -> None:
        self._config = config
        self._partitions = [TopicPartition(config.named(PROGRESS), shard) for shard in range(shards)]

    async def reports(self, connected: Callable[[], None]) -> AsyncGenerator[LedgerProgress, None]:
        """Never ends; an unreadable report is skipped, because the next one replaces it."""
        consumer = AIOKafkaConsumer(
            **self._config.options(), auto_offset_reset="latest", request_timeout_ms=REQUEST_TIMEOUT_MS
        )
        await start(consumer)
        try:
            consumer.assign(self._partitions)
            while True:
                record = await next_record(consumer, connected)
                report = report_from_record(record.partition, record.value or b"")
                if report is not None:
                    yield report
        finally:
            await stop(consumer)


def report_from_record(partition: int, value: bytes) -> LedgerProgress | None:
    """None for a record that no persister wrote: one that does not decode, or is not about the partition's shard."""
    try:
        message = events_pb2.LedgerProgress.FromString(value)
    except DecodeError:
        return None
    if message.shard != partition or not message.epoch:
        return None
    return LedgerProgress(
        shard=message.shard,
        epoch=message.epoch,
        seq=message.seq,
        hash=message.hash.decode(errors="replace"),
        settled_epoch=message.settled_epoch,
        settled_seq=message.settled_seq,
        resend=message.resend_from_seq > 0,
        frozen_reason=message.frozen_reason,
    )
