"""The Faust app: persist, then tell. Faust's own acknowledgement is not trusted, the ledger's watermark is."""

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import faust
import structlog
from faust.exceptions import ConsumerNotStarted
from faust.types import TP, EventT
from prometheus_client import CollectorRegistry

from order_persister.adapters.kafka.access import KafkaAccess, kafka_access
from order_persister.adapters.kafka.group_rejoin import rejoin_after_errors
from order_persister.adapters.kafka.metadata import disable_topic_auto_creation
from order_persister.adapters.kafka.partitions import Partitions
from order_persister.adapters.kafka.producer import Sender
from order_persister.adapters.kafka.publisher import Publisher
from order_persister.adapters.kafka.replay import Replayer
from order_persister.adapters.kafka.topic_reset import restart_if_topic_was_reset
from order_persister.adapters.ledger.postgres import Database
from order_persister.adapters.ledger.queries import load_queries
from order_persister.adapters.ledger.unpublished import Unpublished
from order_persister.adapters.ledger.writer import LedgerWriter
from order_persister.domain.chain import KafkaRecord
from order_persister.metrics import LedgerMetrics, PublishMetrics
from order_persister.patience import Patience
from order_persister.settings import Settings

COMMITS_TOPIC = "holdfast.commits.v1"
GROUP = "holdfast-persister"

# A batch costs a few transactions a shard, so many small records must go together; the relays' windows bound how many
# bytes lie ready. Small records must not fill the buffer, for Faust then looks at the other partitions alone, for up to
# a second each time.
MAX_RECORDS = 256
RECORDS_WAIT_S = 0.05
STREAM_BUFFER = 1024
PUBLISH_INTERVAL_S = 1.0
REPLAY_INTERVAL_S = 2.0
RESET_CHECK_INTERVAL_S = 2.0
KAFKA_ANSWER_S = 40.0
LOOK_AROUND_MS = 5_000  # only by looking a group's member sees that a topic is back; aiokafka's own is five minutes

log = structlog.get_logger()


class _Parts(NamedTuple):
    """What the app's agent and its tasks work with."""

    ledger: LedgerWriter
    publisher: Publisher
    replayer: Replayer


def build_app(settings: Settings, registry: CollectorRegistry, patience: Patience) -> faust.App:
    """The app, wired; nothing connects before it starts."""
    disable_topic_auto_creation()
    access = kafka_access(settings)
    app = faust.App(access.named(GROUP), **access.for_faust(), **_faust_settings(settings))
    parts = _parts(app, settings.postgres_dsn, access, registry, patience)
    topic = access.named(COMMITS_TOPIC)
    commits = app.topic(topic, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")

    @app.agent(commits, name="persist", concurrency=1)  # order within a shard is the ledger's business
    async def persist(stream: Any) -> None:  # Faust types it as a stream of values, and it yields events
        await persist_all(stream, parts.ledger, parts.replayer, parts.publisher)

    # Progress, facts and compensations do not wait for the next record.
    _repeat(app, PUBLISH_INTERVAL_S, lambda: parts.publisher.publish_due(_shards(app, topic)))
    _repeat(app, REPLAY_INTERVAL_S, lambda: parts.replayer.look(_shards(app, topic)))
    begin_anew = partial(_begin_anew_where_wiped, app, topic)
    _repeat(app, RESET_CHECK_INTERVAL_S, lambda: patience.wait_out("kafka", begin_anew))
    return app


def _parts(
    app: faust.App, postgres_dsn: str, access: KafkaAccess, registry: CollectorRegistry, patience: Patience
) -> _Parts:
    """Build them; what they open is closed when the app ends."""
    database, queries = Database(postgres_dsn), load_queries()
    ledger, unpublished = (
        LedgerWriter(database, queries, LedgerMetrics(registry), patience),
        Unpublished(database, queries, patience),
    )
    sender = Sender(access, patience)
    publisher = Publisher(unpublished, sender.send, PublishMetrics(registry))
    partitions = Partitions(access, access.named(COMMITS_TOPIC), access.named(GROUP))
    app.async_exit_stack.push_async_callback(database.close)
    app.async_exit_stack.push_async_callback(sender.close)
    return _Parts(ledger, publisher, Replayer(partitions, ledger, publisher.tell, unpublished, patience))


def _repeat(app: faust.App, every_s: float, step: Callable[[], Awaitable[None]]) -> None:
    """Take a step again and again beside the agent, as long as the app runs; a surprise ends the process."""

    @app.task  # type: ignore[untyped-decorator]
    async def repeat() -> None:
        while not app.should_stop:
            async with exit_on_unhandled_exception():
                await step()
            await app.sleep(every_s)


async def persist_all(stream: Any, ledger: LedgerWriter, replayer: Replayer, publisher: Publisher) -> None:
    """Apply each commit once; on a surprise, stop the process before anything more is acknowledged.

    Faust acknowledges when an agent's body raises and may commit past an event left behind, so no exception leaves
    this loop, and what was acknowledged too early comes again from the relay.
    """
    async for events in stream.noack_take(MAX_RECORDS, within=RECORDS_WAIT_S):
        async with exit_on_unhandled_exception():
            outcomes = await ledger.apply(map(_record, events))  # waits out transient trouble
            replayer.observe(outcomes)
            await publisher.tell(outcomes)  # compensations, facts, progress: Kafka has confirmed each
            for event in events:
                await stream.ack(event)


async def start(app: faust.App) -> None:
    """Start the app. Faust wants a folder for tables, of which there are none: it gets one, and it is gone again."""
    with TemporaryDirectory(prefix="holdfast-persister-") as folder:
        app.conf.datadir = Path(folder)
        app.add_future(rejoin_after_errors(app))
        await app.start()


@asynccontextmanager
async def exit_on_unhandled_exception() -> AsyncIterator[None]:
    """End the process at once when something happens that nobody thought of: nothing more gets acknowledged."""
    try:
        yield
    except Exception:
        log.exception("unhandled_exception")
        os._exit(1)


def _faust_settings(settings: Settings) -> dict[str, Any]:
    """What was found to lose nothing when persisters are killed and brokers go away."""
    return {
        "store": "memory://",
        "web_enabled": False,
        "topic_allow_declare": False,
        "topic_disable_leader": True,
        "topic_partitions": settings.shards,
        "stream_wait_empty": True,
        "stream_buffer_maxsize": STREAM_BUFFER,
        "consumer_auto_offset_reset": "earliest",
        "consumer_metadata_max_age_ms": LOOK_AROUND_MS,
        "broker_commit_interval": 0.5,
        "broker_session_timeout": settings.kafka_session_timeout_s,
        "broker_heartbeat_interval": settings.kafka_session_timeout_s / 3,
        "broker_request_timeout": max(KAFKA_ANSWER_S, settings.kafka_session_timeout_s + 5),
    }


def _record(event: EventT[bytes]) -> KafkaRecord:
    return KafkaRecord(event.message.partition, event.message.offset, event.message.value or b"")


async def _begin_anew_where_wiped(app: faust.App, topic: str) -> None:
    await restart_if_topic_was_reset(app, _assigned(app, topic))


def _shards(app: faust.App, topic: str) -> list[int]:
    """The shards whose commits are ours."""
    return [tp.partition for tp in _assigned(app, topic)]


def _assigned(app: faust.App, topic: str) -> set[TP]:
    """The partitions of the topic of commits that are ours; none while the consumer is not there yet."""
    try:
        return {tp for tp in app.consumer.assignment() if tp.topic == topic}
    except ConsumerNotStarted:
        return set()
