"""The Faust app and its agent; the ledger's watermark says what was applied, and Faust's acknowledgements do not."""

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import faust
import structlog
from aiokafka.errors import KafkaError
from faust.exceptions import ConsumerNotStarted
from faust.types import TP, EventT

from holdfast_runtime.kafka import PERSISTER_GROUP, KafkaConfig
from holdfast_runtime.settings import SharedSettings
from order_persister.adapters.kafka.batches import batches
from order_persister.adapters.kafka.faust_options import faust_options
from order_persister.adapters.kafka.fetch_wait import adapt_fetch_wait
from order_persister.adapters.kafka.group_rejoin import rejoin_after_errors
from order_persister.adapters.kafka.process_restart import restart_process
from order_persister.adapters.kafka.record_queue import PersisterApp
from order_persister.adapters.kafka.topic_reset import faust_errors
from order_persister.domain.chain import KafkaRecord
from order_persister.domain.shards import PartitionState
from order_persister.service.apply import LedgerWriter
from order_persister.service.publisher import Publisher

# A batch costs a few transactions a shard, so many small records must go together; how many bytes wait for the agent,
# and so how many a batch has, `RecordQueue` limits. Small records must not fill the buffer, because Faust then reads
# only the other partitions, for up to a second each time.
MAX_RECORDS = 1024
PAUSE_S = 0.05  # between two batches, in which records gather
STREAM_BUFFER = 4096
REQUEST_TIMEOUT_S = 40.0
METADATA_MAX_AGE_MS = 5_000  # only by new metadata does a member find that a topic is back; aiokafka's default: 5 min

log = structlog.get_logger()


def new_app(config: KafkaConfig, settings: SharedSettings) -> faust.App:
    """A Faust app without an agent; it connects when it is started."""
    return PersisterApp(config.named(PERSISTER_GROUP), **faust_options(config), **_faust_settings(settings))


def add_agent(app: faust.App, topic: str, ledger: LedgerWriter, publisher: Publisher) -> None:
    """Have the app persist a topic of commits."""
    commits = app.topic(topic, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")

    @app.agent(commits, name="persist", concurrency=1)  # one at a time: the order of commits within a shard matters
    async def persist(stream: Any) -> None:  # Faust types it as a stream of values, and it yields events
        await persist_all(stream, ledger, publisher)


def repeat(app: faust.App, interval_s: float, step: Callable[[], Awaitable[None]]) -> None:
    """Repeat a step beside the agent while the app runs; an unhandled exception ends the process."""

    @app.task  # type: ignore[untyped-decorator]
    async def run() -> None:
        while not app.should_stop:
            async with exit_on_unhandled_exception():
                await step()
            await app.sleep(interval_s)


async def persist_all(stream: Any, ledger: LedgerWriter, publisher: Publisher) -> None:
    """Apply each commit once; on an unhandled exception, end the process before anything more is acknowledged.

    Faust acknowledges when an agent's body raises and may commit past an event left behind, so no exception leaves
    this loop, and the relay resends what was acknowledged too early.
    """
    async with exit_on_unhandled_exception():
        async for events in batches(stream, MAX_RECORDS, PAUSE_S):
            # Retries transient errors, and returns when Kafka has confirmed progress, compensations and facts.
            await ledger.apply(map(_record, events), publisher.publish)
            for event in events:
                await stream.ack(event)


async def start(app: faust.App) -> None:
    """Start the app; returns once it has joined its group.

    Faust gives up if a broker refuses its first connection, although Kafka answered just before: the process restarts.
    It requires a folder for tables, of which there are none, and gets a temporary one.
    """
    with TemporaryDirectory(prefix="holdfast-persister-") as folder:
        app.conf.datadir = Path(folder)
        app.add_future(rejoin_after_errors(app))
        app.add_future(adapt_fetch_wait(app))
        try:
            await app.start()
        except KafkaError as error:
            log.warning("server_unavailable", server="Kafka", why=f"{type(error).__name__}: {error}")
            restart_process(app)


@asynccontextmanager
async def exit_on_unhandled_exception() -> AsyncIterator[None]:
    """End the process at once on any exception, so that nothing more is acknowledged."""
    try:
        yield
    except Exception:
        log.exception("unhandled_exception")
        os._exit(1)


def assigned_partitions(app: faust.App, topic: str) -> set[TP]:
    """The partitions of a topic that are assigned to this process; none before the consumer has started."""
    try:
        return {tp for tp in app.consumer.assignment() if tp.topic == topic}
    except ConsumerNotStarted:
        return set()


def assigned_shards(app: faust.App, topic: str) -> list[int]:
    """The shards of the assigned partitions."""
    return [tp.partition for tp in assigned_partitions(app, topic)]


async def partition_states(app: faust.App, topic: str) -> dict[int, PartitionState]:
    """The assigned partitions, by shard. Raises `TransientError` while Kafka is unavailable."""
    assigned = assigned_partitions(app, topic)
    if not assigned:
        return {}
    consumer: Any = app.consumer
    # Read before the ends are, because all of them rise meanwhile.
    acknowledged = {tp: consumer._committed_offset[tp] or 0 for tp in assigned}
    reached = {tp: max(consumer._read_offset[tp] or 0, acknowledged[tp]) for tp in assigned}
    with faust_errors():
        ends = await consumer.highwaters(*assigned)
    return {tp.partition: PartitionState(acknowledged[tp], reached[tp], ends[tp]) for tp in assigned if tp in ends}


def _faust_settings(settings: SharedSettings) -> dict[str, Any]:
    """Settings under which no record is lost when persisters are killed and brokers are unavailable."""
    return {
        "store": "memory://",
        "web_enabled": False,
        "topic_allow_declare": False,
        "topic_disable_leader": True,
        "topic_partitions": settings.shards,
        "stream_wait_empty": True,
        "stream_buffer_maxsize": STREAM_BUFFER,
        "consumer_auto_offset_reset": "earliest",
        "consumer_metadata_max_age_ms": METADATA_MAX_AGE_MS,
        "broker_commit_interval": 0.5,
        "broker_session_timeout": settings.kafka_session_timeout_s,
        "broker_heartbeat_interval": settings.kafka_session_timeout_s / 3,
        "broker_request_timeout": max(REQUEST_TIMEOUT_S, settings.kafka_session_timeout_s + 5),
    }


def _record(event: EventT[bytes]) -> KafkaRecord:
    return KafkaRecord(event.message.partition, event.message.offset, event.message.value or b"")
