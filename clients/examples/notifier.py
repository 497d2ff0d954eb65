"""Tells buyers what became of their orders, from the facts: a consumer that may be killed at any moment."""

import asyncio
import json
import os
import signal
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, OffsetAndMetadata, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import CommitFailedError, IllegalStateError
from holdfast.inventory.v1.events_pb2 import ReservationFact
from holdfast.inventory.v1.reservation_pb2 import CompensationReason, LedgerState, ReservationState

FACTS, GROUP = "holdfast.orders.v1", "notifier"
POLL_MS = 500
MAX_RECORDS = 100  # of which a process that dies tells some again: their offsets are committed at once
CONFIRMED, COMPENSATED = ReservationState.RESERVATION_STATE_CONFIRMED, ReservationState.RESERVATION_STATE_COMPENSATED
RECORDED = LedgerState.LEDGER_STATE_RECORDED

Place = tuple[int, ...]  # epoch, seq and index of a fact's position, which compare in this order


class Notifier(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka has no types
    """Reads facts, tells, and commits the offset with the position of the last fact: one record of Kafka's own."""

    def __init__(self, consumer: AIOKafkaConsumer, admin: AIOKafkaAdminClient, group: str) -> None:
        self._consumer, self._admin, self._group = consumer, admin, group
        self._done: dict[TopicPartition, Place] = {}

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Another one has them now: what is done of them is committed already."""

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Go on behind the last fact that was told, by whichever notifier."""
        committed = await self._admin.list_consumer_group_offsets(self._group, partitions=list(assigned))
        self._done = {partition: place_from(found.metadata) for partition, found in committed.items()}

    async def run(self) -> None:
        """Never ends, but by an exception: a value that is no fact, or one that cannot be told."""
        while True:
            fetched = await self._consumer.getmany(timeout_ms=POLL_MS, max_records=MAX_RECORDS)
            for partition, records in fetched.items():
                for record in records:
                    await self._take(partition, ReservationFact.FromString(record.value))
                place = ".".join(map(str, self._done[partition]))
                with suppress(
                    CommitFailedError, IllegalStateError
                ):  # another one has the partition now, and tells these again
                    await self._consumer.commit({partition: OffsetAndMetadata(records[-1].offset + 1, place)})

    async def _take(self, partition: TopicPartition, fact: ReservationFact) -> None:
        """Tell of a fact, unless it is a repeat: those are not above the position of the fact before."""
        place = (fact.position.epoch, fact.position.seq, fact.position.index)
        if place > self._done.get(partition, ()):
            if (notice := notice_from(fact)) is not None:
                await tell(notice)
            self._done[partition] = place


def place_from(metadata: str | None) -> Place:
    """What was committed with an offset; nothing before the first commit."""
    return tuple(map(int, metadata.split("."))) if metadata else ()


def notice_from(fact: ReservationFact) -> Mapping[str, Any] | None:
    """What a buyer is told of a fact, if anything. Its `id` is the same each time: send it on, to drop repeats by."""
    order, position = fact.reservation, fact.position
    if order.state == CONFIRMED != fact.previous_state and order.ledger_state == RECORDED:
        news = {"news": "confirmed", "units": {line.sku: line.confirmed_quantity for line in order.lines}}
    elif order.state == COMPENSATED != fact.previous_state:
        news = {"news": "refused", "reason": CompensationReason.Name(order.compensation_reason)}
    else:
        return None
    return {
        "id": f"{position.shard}.{position.epoch}.{position.seq}.{position.index}",
        "tenant": fact.tenant,
        "sale": order.sale_id,
        "reservation": order.reservation_id,
        "buyer": order.buyer_id,
        **news,
    }


async def tell(notice: Mapping[str, Any]) -> None:
    """Yours: send a mail, with the notice's id as the key by which repeats are dropped. Here it is a line."""
    print(json.dumps(notice), flush=True)


async def notify(environment: Mapping[str, str]) -> None:
    """Run beside a Holdfast that these variables describe, as its own processes read them, until it is cancelled."""
    prefix = environment.get("HOLDFAST_KAFKA_PREFIX", "")
    brokers = environment.get("HOLDFAST_KAFKA_BROKERS", "127.0.0.1:9092")
    session_ms = int(float(environment.get("HOLDFAST_KAFKA_SESSION_TIMEOUT_S", "10")) * 1000)
    consumer = AIOKafkaConsumer(
        bootstrap_servers=brokers,
        group_id=prefix + GROUP,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        session_timeout_ms=session_ms,
        heartbeat_interval_ms=session_ms // 3,
    )
    admin = AIOKafkaAdminClient(bootstrap_servers=brokers)
    notifier = Notifier(consumer, admin, prefix + GROUP)
    consumer.subscribe([prefix + FACTS], listener=notifier)
    try:
        await admin.start()
        await consumer.start()
        await notifier.run()
    finally:
        await consumer.stop()
        await admin.close()


async def main() -> None:
    """Run until SIGTERM or SIGINT."""
    running = asyncio.ensure_future(notify(os.environ))
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, running.cancel)
    with suppress(asyncio.CancelledError):
        await running


if __name__ == "__main__":
    asyncio.run(main())
