"""`python -m order_persister persist | migrate`: reads the settings, starts one of the two, and ends it cleanly."""

import asyncio
import gc
import json
import os
import signal
import sys
from functools import partial

import faust
import structlog
import uvloop
from prometheus_client import CollectorRegistry

from order_persister.adapters.kafka.access import kafka_access
from order_persister.adapters.kafka.agent import COMMITS_TOPIC, build_app, start
from order_persister.adapters.kafka.producer import partitions_of
from order_persister.adapters.kafka.publisher import COMPENSATIONS_TOPIC, FACTS_TOPIC, PROGRESS_TOPIC
from order_persister.adapters.ledger.migrator import migrate, migrations
from order_persister.adapters.ledger.postgres import Database, check_dsn, judged
from order_persister.adapters.ledger.queries import load_queries
from order_persister.adapters.ledger.unpublished import Unpublished
from order_persister.logs import configure_logging
from order_persister.metrics import new_registry, serve_metrics, waits_counter
from order_persister.patience import Patience, TransientError
from order_persister.settings import BadSettings, Settings, read_settings
from order_persister.start_check import check_servers
from order_persister.usage import parser

SURPRISE = 1
BAD_SETTINGS = 2
CANNOT_ASK = 2
# Faust waits for the batch in hand, which may itself wait for Postgres, and has been seen to hang after an outage of
# Kafka. Nothing is lost by leaving it there.
STOP_S = 5.0
# A batch makes tens of thousands of small tuples that live a moment; looking for cycles among them over and over takes
# a fifth of the time, and there are none.
GC_THRESHOLDS = (100_000, 50, 100)

log = structlog.get_logger()


def main() -> int:
    """Run one command; its exit code."""
    said = parser().parse_args()
    command: str = said.command
    try:
        settings = read_settings()
        _check_access(settings)
        configure_logging("persister" if command == "persist" else command, settings.log_level, settings.log_format)
        return uvloop.run(_persist(settings) if command == "persist" else _migrate(settings, said.json))
    except BadSettings as error:
        print(error, file=sys.stderr)
        return BAD_SETTINGS


def _check_access(settings: Settings) -> None:
    """BadSettings if a server's own client cannot read how it is reached: otherwise it would be tried for ever."""
    try:
        check_dsn(settings.postgres_dsn)
    except ValueError as error:
        raise BadSettings(f"HOLDFAST_POSTGRES_DSN: {error}") from None
    kafka_access(settings)


async def _migrate(settings: Settings, as_json: bool) -> int:
    """Bring the tables up to date; many may do so at once."""
    await check_servers("migrate", settings)
    try:
        with judged():
            ran = await migrate(settings.postgres_dsn)
    except TransientError as passing:
        print(f"Postgres cannot be used: {passing}; start it, or set HOLDFAST_POSTGRES_DSN", file=sys.stderr)
        return CANNOT_ASK
    log.info("migrated", ran=ran)
    if as_json:
        print(json.dumps({"ran": ran, "tables_of": migrations()[-1].name}))
    return 0


async def _persist(settings: Settings) -> int:
    """Persist until a signal (exit code 0) or a crash of Faust (1). BadSettings if a server contradicts them."""
    asked_to_end = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, asked_to_end.set)
    registry = new_registry()
    gc.set_threshold(*GC_THRESHOLDS)
    patience = Patience(waits_counter(registry))
    app = build_app(settings, registry, patience)
    running = asyncio.ensure_future(_run(app, settings, registry, patience))
    ending = asyncio.ensure_future(asked_to_end.wait())
    await asyncio.wait({running, ending}, return_when=asyncio.FIRST_COMPLETED)
    if asked_to_end.is_set():
        running.cancel()
        await _stop(app)
        return 0
    problem = running.exception() or app.crash_reason
    if isinstance(problem, BadSettings):
        raise problem
    log.error("unhandled_exception", why=repr(problem))
    os._exit(SURPRISE)


def _show_metrics(settings: Settings, registry: CollectorRegistry) -> None:
    """Serve /metrics if it is wanted; BadSettings if nobody can listen there."""
    if not settings.metrics_listen:
        return
    try:
        log.info("metrics", url=serve_metrics(settings.metrics_listen, registry))
    except OSError as error:
        raise BadSettings(f"HOLDFAST_METRICS_LISTEN: cannot listen on {settings.metrics_listen}: {error}") from error


async def _run(app: faust.App, settings: Settings, registry: CollectorRegistry, patience: Patience) -> None:
    """Start the app once the servers are there and agree with the settings; returns when it has crashed."""
    await check_servers("persist", settings)
    _show_metrics(settings, registry)
    await _check_ledger(settings, patience)
    await _check_topics(settings, patience)  # Faust itself gives up at once when no broker answers
    await start(app)
    log.info("persisting", brokers=settings.kafka_brokers)
    await app.wait_until_stopped()


async def _check_ledger(settings: Settings, patience: Patience) -> None:
    """Wait for the ledger's tables; BadSettings if it is of another number of shards: facts would go astray."""
    database = Database(settings.postgres_dsn)
    unpublished = Unpublished(database, load_queries(), patience)
    await unpublished.migrated()
    found = await unpublished.shard_counts()
    await database.close()
    if found - {settings.shards}:
        raise BadSettings(f"HOLDFAST_SHARDS: must be {min(found)}, as the ledger was made, and is {settings.shards}")


async def _check_topics(settings: Settings, patience: Patience) -> None:
    """BadSettings if one has another number of partitions: some would be read by nobody, or a shard would have none."""
    access = kafka_access(settings)
    for topic in map(access.named, (COMMITS_TOPIC, PROGRESS_TOPIC, COMPENSATIONS_TOPIC, FACTS_TOPIC)):
        found = await patience.wait_out("kafka", partial(partitions_of, topic, access))
        if found != settings.shards:
            raise BadSettings(f"HOLDFAST_SHARDS: is {settings.shards}, and {topic} has {found} partitions")


async def _stop(app: faust.App) -> None:
    """Stop in good order, or at once when that takes too long: whatever is under way is done again by the next one."""
    _, late = await asyncio.wait({asyncio.ensure_future(app.stop())}, timeout=STOP_S)
    log.info("stopped", in_good_order=not late)
    if late:
        os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
