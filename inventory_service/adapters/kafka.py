"""Speaks to Kafka: commits out, progress and compensations in, and how far the persisters have read.

Everything may arrive twice: the ledger drops commits that it has, a report is a statement of state, and the compensate
script gives back once.
"""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import suppress

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code
from google.protobuf.message import DecodeError
from holdfast.inventory.v1 import events_pb2

from inventory_service.adapters.commits import runs_from_commits
from inventory_service.adapters.kafka_access import KafkaAccess
from inventory_service.adapters.kafka_clients import REQUEST_MS, next_record, reaching_broker, start, stop
from inventory_service.domain.requests import Compensate, Position, SaleKey
from inventory_service.domain.shards import BrokerUnreachable, Commit, Report, TopicPlan

COMMITS = "holdfast.commits.v1"
PROGRESS = "holdfast.ledger-progress.v1"
COMPENSATIONS = "holdfast.compensations.v1"
ORDERS = "holdfast.orders.v1"
PERSISTER_GROUP = "holdfast-persister"
COMPENSATOR_GROUP = "holdfast-compensator"

PUBLISH_S = 15.0
LOOK_AROUND_MS = 5_000  # only by looking a group's member sees that a topic is back; aiokafka's own is five minutes
LARGEST_RECORD = 8 * 1024 * 1024  # a run is 256 KiB, but a single commit is never cut


class Commits:
    """Publishes runs of commits; each is confirmed by every replica in sync before `publish` returns.

    A producer that failed is thrown away, for an idempotent one may have lost its place for good.
    """

    def __init__(self, access: KafkaAccess, idempotent: bool = True) -> None:
        self._access = access
        self._idempotent = idempotent
        self._producer: AIOKafkaProducer | None = None
        self._starting = asyncio.Lock()

    async def publish(self, shard: int, commits: Sequence[Commit]) -> None:
        producer, key = await self._started(), str(shard).encode()
        try:
            with reaching_broker():
                async with asyncio.timeout(PUBLISH_S):
                    sent = [
                        await producer.send(COMMITS, run.value, key=key, partition=shard)
                        for run in runs_from_commits(shard, commits)
                    ]
                    await asyncio.gather(*sent)
        except BrokerUnreachable:
            await self._discard(producer)
            raise

    async def close(self) -> None:
        if self._producer is not None:
            await self._discard(self._producer)

    async def _started(self) -> AIOKafkaProducer:
        async with self._starting:
            if self._producer is None:
                producer = AIOKafkaProducer(
                    **self._access.options(),
                    acks="all",
                    enable_idempotence=self._idempotent,
                    linger_ms=0,
                    max_request_size=LARGEST_RECORD,
                    request_timeout_ms=REQUEST_MS,
                )
                await start(producer)
                self._producer = producer
            return self._producer

    async def _discard(self, producer: AIOKafkaProducer) -> None:
        if self._producer is producer:
            self._producer = None
            await stop(producer)


class Progress:
    """What persisters report from now on, of all shards. No consumer group, for every relay hears every report."""

    def __init__(self, access: KafkaAccess, shards: int) -> None:
        self._access = access
        self._partitions = [TopicPartition(PROGRESS, shard) for shard in range(shards)]

    async def reports(self) -> AsyncGenerator[Report, None]:
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


class Compensations:
    """What the ledger refused, handled by one compensator of the group; acknowledged after it is handled."""

    def __init__(self, access: KafkaAccess, session_timeout_s: float = 10) -> None:
        self._access = access
        self._session_timeout_s = session_timeout_s

    async def compensations(self) -> AsyncGenerator[Compensate | None, None]:
        """Never ends. Asking for the next acknowledges the last; None stands for one that cannot be read."""
        consumer = AIOKafkaConsumer(
            COMPENSATIONS,
            **self._access.options(),
            group_id=COMPENSATOR_GROUP,
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


class Reading:
    """How far the persisters have read the commits, by what their group has committed."""

    def __init__(self, access: KafkaAccess) -> None:
        self._access = access
        self._consumer: AIOKafkaConsumer | None = None
        self._starting = asyncio.Lock()

    async def end(self, shard: int) -> int:
        """The offset that the next record will get."""
        consumer, partition = await self._started(), TopicPartition(COMMITS, shard)
        with reaching_broker():
            ends: Mapping[TopicPartition, int] = await consumer.end_offsets([partition])
        return ends[partition]

    async def read_up_to(self, shard: int) -> int:
        """The offset of the first record there is that the group has not acknowledged.

        An acknowledgement beyond the end is of another topic, which was wiped: of this one nothing was read.
        """
        consumer, partition = await self._started(), TopicPartition(COMMITS, shard)
        with reaching_broker():
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
                    group_id=PERSISTER_GROUP,
                    enable_auto_commit=False,
                    request_timeout_ms=REQUEST_MS,
                )
                await start(consumer)
                self._consumer = consumer
            return self._consumer


class Topics:
    """The topics themselves."""

    def __init__(self, access: KafkaAccess) -> None:
        self._access = access

    async def partitions(self) -> Mapping[str, int]:
        """Partitions of every topic there is. All topics are asked for, for asking for one by name may make it."""
        client = AIOKafkaClient(**self._access.options(), request_timeout_ms=REQUEST_MS)
        try:
            with reaching_broker():
                await client.bootstrap()
                cluster = await client.fetch_all_metadata()
            return {topic: len(cluster.partitions_for_topic(topic) or ()) for topic in cluster.topics()}
        finally:
            await client.close()

    async def create(self, plan: TopicPlan) -> None:
        """Make one topic that takes our largest records; somebody else may be making it too, which is fine."""
        admin = AIOKafkaAdminClient(**self._access.options(), request_timeout_ms=REQUEST_MS)
        settings = {**plan.settings, "max.message.bytes": str(LARGEST_RECORD)}
        topic = NewTopic(plan.name, plan.partitions, plan.replication, topic_configs=settings)
        with reaching_broker():
            try:
                await admin.start()
                answer = await admin.create_topics([topic])
                for _, code, *_ in answer.topic_errors:
                    if code and for_code(code) is not TopicAlreadyExistsError:
                        raise for_code(code)(f"while making {plan.name}")
            finally:
                await admin.close()


def report_from_record(partition: int, value: bytes) -> Report | None:
    """None for what no persister wrote: bytes that do not decode, or no report of the partition's own shard."""
    try:
        said = events_pb2.LedgerProgress.FromString(value)
    except DecodeError:
        return None
    if said.shard != partition or not said.epoch:
        return None
    return Report(
        shard=said.shard,
        epoch=said.epoch,
        seq=said.seq,
        hash=said.hash.decode(errors="replace"),
        settled_epoch=said.settled_epoch,
        settled_seq=said.settled_seq,
        resend=said.resend_from_seq > 0,
        frozen_reason=said.frozen_reason,
    )


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
