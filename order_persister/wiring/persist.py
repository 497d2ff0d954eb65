"""Builds `persist`, which applies every commit to the ledger and publishes the results."""

import asyncio
import gc
import os
import time
from functools import partial

import faust
import structlog

from holdfast_runtime.connection_errors import TransientError
from holdfast_runtime.instruments import Instruments, serve_instruments
from holdfast_runtime.kafka import (
    COMMITS,
    COMPENSATIONS,
    ORDERS,
    PROGRESS,
    SALES,
    adapt_aiokafka,
    kafka_config,
)
from holdfast_runtime.kafka_probe import kafka_dependency
from holdfast_runtime.postgres import postgres_dependency
from holdfast_runtime.process import EXIT_UNEXPECTED, Command
from holdfast_runtime.retry import Retrier
from holdfast_runtime.settings import KAFKA, LOGGING, POSTGRES, BadSettings, SharedSettings
from holdfast_runtime.signals import signals
from holdfast_runtime.start_check import Dependency
from order_persister.adapters.kafka.agent import (
    add_agent,
    assigned_shards,
    new_app,
    partition_states,
    repeat,
    start,
)
from order_persister.adapters.kafka.partitions import Partitions
from order_persister.adapters.kafka.producer import Sender, partitions_of
from order_persister.adapters.kafka.topic_reset import restart_if_topic_was_reset
from order_persister.adapters.ledger.postgres import Database
from order_persister.adapters.ledger.queries import ledger_queries
from order_persister.adapters.ledger.transaction import PostgresLedger
from order_persister.adapters.ledger.unpublished import Unpublished
from order_persister.domain.shards import RESIZING
from order_persister.metrics import LedgerMetrics, PublishMetrics
from order_persister.service.apply import LedgerWriter
from order_persister.service.publisher import Publisher
from order_persister.service.replay import Replayer

# Faust's stop waits for the current batch, which may itself wait for Postgres, and may hang after an outage of Kafka.
# Nothing is lost by ending the process before that: the next persister repeats the batch.
STOP_S = 5.0
# A batch makes tens of thousands of short-lived tuples without reference cycles; looking for cycles among them at the
# default thresholds takes a fifth of the time.
GC_THRESHOLDS = (100_000, 50, 100)
PUBLISH_INTERVAL_S = 1.0  # of what is due without a batch
PARTITIONS_CHECK_INTERVAL_S = 2.0

log = structlog.get_logger()


async def run_persist(settings: SharedSettings) -> int:
    """Persist until a signal (exit code 0) or a crash of Faust (1). BadSettings if a server contradicts them."""
    gc.set_threshold(*GC_THRESHOLDS)
    received = signals()
    has_joined = asyncio.Event()
    kafka = _once_joined(kafka_dependency(settings), has_joined)
    instruments = serve_instruments(settings, [postgres_dependency(settings), kafka])
    app = _persister(settings, instruments)
    running = asyncio.ensure_future(_run(app, settings, instruments, has_joined))
    ending = asyncio.ensure_future(received.get())
    await asyncio.wait({running, ending}, return_when=asyncio.FIRST_COMPLETED)
    if ending.done():
        running.cancel()
        await _stop(app)
        return 0
    problem = running.exception() or app.crash_reason
    if isinstance(problem, BadSettings):
        raise problem
    log.error("unhandled_exception", why=repr(problem))
    os._exit(EXIT_UNEXPECTED)


def _once_joined(kafka: Dependency, has_joined: asyncio.Event) -> Dependency:
    """Kafka as /healthz probes it: unavailable until this process has joined its group, for it persists nothing yet."""

    async def probe() -> None:
        await kafka.probe()
        if not has_joined.is_set():
            raise TransientError("its group has not been joined yet")

    return kafka._replace(probe=probe)


def _persister(settings: SharedSettings, instruments: Instruments) -> faust.App:
    """The app and all that it works with; nothing connects before it starts, and it closes what has connected."""
    adapt_aiokafka()
    config, retrier, registry = kafka_config(settings), instruments.retrier(), instruments.registry
    topic = config.named(COMMITS)
    database, queries = Database(settings.postgres_dsn), ledger_queries()
    sender = Sender(config, retrier)
    app = new_app(config, settings)
    app.async_exit_stack.push_async_callback(database.close)
    app.async_exit_stack.push_async_callback(sender.close)

    ledger = LedgerWriter(PostgresLedger(database, queries), LedgerMetrics(registry), retrier)
    unpublished = Unpublished(database, queries, retrier)
    publisher = Publisher(unpublished, sender.send, PublishMetrics(registry))
    records = Partitions(config, topic)
    app.async_exit_stack.push_async_callback(records.close)
    replayer = Replayer(records, ledger, publisher, unpublished, retrier, time.monotonic)
    app.async_exit_stack.push_async_callback(replayer.close)

    async def check_partitions() -> None:
        partitions = await retrier.retry("Kafka", partial(partition_states, app, topic))
        await retrier.retry("Kafka", partial(restart_if_topic_was_reset, app, topic, partitions))
        await replayer.check(partitions)

    add_agent(app, topic, ledger, publisher)
    repeat(app, PUBLISH_INTERVAL_S, lambda: publisher.publish_due(assigned_shards(app, topic)))
    repeat(app, PARTITIONS_CHECK_INTERVAL_S, check_partitions)
    return app


async def _run(app: faust.App, settings: SharedSettings, instruments: Instruments, has_joined: asyncio.Event) -> None:
    """Start the app once the servers agree with the settings; returns when it has crashed."""
    retrier = instruments.retrier()
    await _check_ledger(settings, retrier)
    await _check_topics(settings, retrier)  # Faust itself gives up at once when no broker answers
    log.info("joining_group")
    await start(app)
    has_joined.set()
    log.info("persisting", brokers=settings.kafka_brokers)
    await app.wait_until_stopped()


async def _check_ledger(settings: SharedSettings, retrier: Retrier) -> None:
    """Wait for the migrations; BadSettings if the ledger has another number of shards than the settings."""
    database = Database(settings.postgres_dsn)
    unpublished = Unpublished(database, ledger_queries(), retrier)
    await unpublished.wait_until_migrated()
    found = await unpublished.shard_counts()
    await database.close()
    for other in sorted(found - {settings.shards}):
        is_other = f"HOLDFAST_SHARDS is {settings.shards}, and the ledger was initialized for {other}"
        raise BadSettings(f"{is_other}: set it to {other}; {RESIZING}")


async def _check_topics(settings: SharedSettings, retrier: Retrier) -> None:
    """BadSettings if one has another number of partitions: some would not be read, or a shard would have none."""
    config = kafka_config(settings)
    for topic in map(config.named, (COMMITS, PROGRESS, COMPENSATIONS, ORDERS, SALES)):
        found = await retrier.retry("Kafka", partial(partitions_of, topic, config))
        if found != settings.shards:
            is_other = f"HOLDFAST_SHARDS is {settings.shards}, and {topic} has {found} partitions"
            raise BadSettings(f"{is_other}: `holdfast topics` says what to do")


async def _stop(app: faust.App) -> None:
    """Stop the app, or end the process if that takes longer than `STOP_S`."""
    _, late = await asyncio.wait({asyncio.ensure_future(app.stop())}, timeout=STOP_S)
    log.info("stopped", in_good_order=not late)
    if late:
        os._exit(0)


COMMAND = Command(
    name="persist",
    purpose="apply every commit to the ledger once and publish the results, until SIGTERM or SIGINT",
    dependencies=(postgres_dependency, kafka_dependency),
    settings=(
        *(*POSTGRES, *KAFKA, "kafka_session_timeout_s", "shards", "metrics_listen", "start_wait_s"),
        *LOGGING,
    ),
    run=run_persist,
    kind=SharedSettings,
)
