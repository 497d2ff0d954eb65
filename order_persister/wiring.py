"""Builds the persister's two processes from settings: `persist` and `migrate`."""

import asyncio
import gc
import json
import os
import sys
from functools import partial
from typing import Annotated

import faust
import structlog

from holdfast_runtime.connection_errors import TransientError
from holdfast_runtime.instruments import Instruments, show_instruments
from holdfast_runtime.kafka import COMMITS, COMPENSATIONS, ORDERS, PROGRESS, kafka_config
from holdfast_runtime.kafka_probe import kafka_dependency
from holdfast_runtime.postgres import postgres_dependency
from holdfast_runtime.process import EXIT_UNEXPECTED, Command, JsonOption
from holdfast_runtime.retry import Retrier
from holdfast_runtime.settings import KAFKA, LOGGING, POSTGRES, BadSettings, SharedSettings
from holdfast_runtime.signals import signals
from order_persister.adapters.kafka.agent import build_app, start
from order_persister.adapters.kafka.producer import partitions_of
from order_persister.adapters.ledger.migrator import migrate, migrations
from order_persister.adapters.ledger.postgres import Database, judged
from order_persister.adapters.ledger.queries import ledger_queries
from order_persister.adapters.ledger.unpublished import Unpublished

CANNOT_ASK = 2
# Faust waits for the batch in hand, which may itself wait for Postgres, and has been seen to hang after an outage of
# Kafka. Nothing is lost by leaving it there.
STOP_S = 5.0
# A batch makes tens of thousands of small tuples that live a moment; looking for cycles among them over and over takes
# a fifth of the time, and there are none.
GC_THRESHOLDS = (100_000, 50, 100)

log = structlog.get_logger()


async def run_migrate(settings: SharedSettings, as_json: Annotated[bool, JsonOption()] = False) -> int:
    """Bring the tables up to date; many may do so at once."""
    try:
        with judged():
            ran = await migrate(settings.postgres_dsn)
    except TransientError as error:
        print(f"Postgres cannot be used: {error}; start it, or set HOLDFAST_POSTGRES_DSN", file=sys.stderr)
        return CANNOT_ASK
    log.info("migrated", ran=ran)
    if as_json:
        print(json.dumps({"ran": ran, "tables_of": migrations()[-1].name}))
    return 0


async def run_persist(settings: SharedSettings) -> int:
    """Persist until a signal (exit code 0) or a crash of Faust (1). BadSettings if a server contradicts them."""
    gc.set_threshold(*GC_THRESHOLDS)
    received = signals()
    instruments = show_instruments(settings, [postgres_dependency(settings), kafka_dependency(settings)])
    app = build_app(settings, instruments.registry, instruments.retrier())
    running = asyncio.ensure_future(_run(app, settings, instruments))
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


async def _run(app: faust.App, settings: SharedSettings, instruments: Instruments) -> None:
    """Start the app once the servers agree with the settings; returns when it has crashed."""
    retrier = instruments.retrier()
    await _check_ledger(settings, retrier)
    await _check_topics(settings, retrier)  # Faust itself gives up at once when no broker answers
    await start(app)
    log.info("persisting", brokers=settings.kafka_brokers)
    await app.wait_until_stopped()


async def _check_ledger(settings: SharedSettings, retrier: Retrier) -> None:
    """Wait for the ledger's tables; BadSettings if it is of another number of shards: facts would go astray."""
    database = Database(settings.postgres_dsn)
    unpublished = Unpublished(database, ledger_queries(), retrier)
    await unpublished.migrated()
    found = await unpublished.shard_counts()
    await database.close()
    if found - {settings.shards}:
        raise BadSettings(f"HOLDFAST_SHARDS: must be {min(found)}, as the ledger was made, and is {settings.shards}")


async def _check_topics(settings: SharedSettings, retrier: Retrier) -> None:
    """BadSettings if one has another number of partitions: some would not be read, or a shard would have none."""
    config = kafka_config(settings)
    for topic in map(config.named, (COMMITS, PROGRESS, COMPENSATIONS, ORDERS)):
        found = await retrier.retry("Kafka", partial(partitions_of, topic, config))
        if found != settings.shards:
            raise BadSettings(f"HOLDFAST_SHARDS: is {settings.shards}, and {topic} has {found} partitions")


async def _stop(app: faust.App) -> None:
    """Stop in good order, or at once when that takes too long: whatever is under way is done again by the next one."""
    _, late = await asyncio.wait({asyncio.ensure_future(app.stop())}, timeout=STOP_S)
    log.info("stopped", in_good_order=not late)
    if late:
        os._exit(0)


PERSIST = Command(
    name="persist",
    purpose="write every commit to the ledger once and tell what came of it, until SIGTERM or SIGINT",
    dependencies=(postgres_dependency, kafka_dependency),
    settings=(
        *(*POSTGRES, *KAFKA, "kafka_session_timeout_s", "shards", "metrics_listen", "start_wait_s"),
        *LOGGING,
    ),
    run=run_persist,
    kind=SharedSettings,
)
MIGRATE = Command(
    name="migrate",
    purpose="bring the ledger's tables up to date; safe to run again, and from many processes at once",
    dependencies=(postgres_dependency,),
    settings=(*POSTGRES, "start_wait_s", *LOGGING),
    run=run_migrate,
    kind=SharedSettings,
)
COMMANDS = (PERSIST, MIGRATE)
