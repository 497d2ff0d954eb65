"""Builds the relay, which runs each shard's background work between Redis, Kafka and the ledger."""

import time
import uuid

import structlog

from holdfast_runtime.instruments import serve_instruments
from holdfast_runtime.kafka import COMMITS, PROGRESS, kafka_config
from holdfast_runtime.kafka_probe import kafka_dependency
from holdfast_runtime.postgres import postgres_dependency
from holdfast_runtime.process import Command
from holdfast_runtime.retry import Retrier
from holdfast_runtime.settings import KAFKA, LOGGING, POSTGRES
from holdfast_runtime.signals import first_to_end, run_until_signal
from inventory_service import metrics
from inventory_service.adapters.kafka.commit_offsets import KafkaCommitOffsets
from inventory_service.adapters.kafka.commits import KafkaCommits
from inventory_service.adapters.kafka.progress import KafkaProgress
from inventory_service.adapters.ledger.buyers import LedgerBuyers
from inventory_service.adapters.ledger.pool import LedgerPool
from inventory_service.adapters.ledger.shards import LedgerShards
from inventory_service.adapters.ledger.snapshots import PostgresSnapshots
from inventory_service.adapters.redis.blocked_buyers import RedisBlockedCopies
from inventory_service.adapters.redis.connections import Renewal
from inventory_service.adapters.redis.connectors import connections_to
from inventory_service.adapters.redis.outbox import RedisOutbox
from inventory_service.adapters.redis.scripts import RedisScripts
from inventory_service.adapters.redis.shards import RedisShards
from inventory_service.adapters.redis.snapshots import RedisSaleReader
from inventory_service.adapters.redis.stock import RedisStock
from inventory_service.domain.heads import ObservedHeads
from inventory_service.domain.restore import AUTOMATIC
from inventory_service.domain.shards import ServerUnavailable
from inventory_service.service.relay import relay
from inventory_service.service.relay.drift import DriftWatch
from inventory_service.service.relay.load_progress import ProgressWriter
from inventory_service.settings import Settings
from inventory_service.wiring.servers import (
    REDIS,
    audit_dependencies,
    check_all_shard_counts,
    closing,
    redis_dependency,
    shard_counts_checked,
    takeover,
)

LOG_S = 5.0  # between two lines of the log on a load

log = structlog.get_logger()


async def run_relay(settings: Settings) -> int:
    """Run the background work of every shard until a signal."""
    required = [make(settings) for make in COMMAND.dependencies]
    config, instruments = kafka_config(settings), serve_instruments(settings, required)
    commits, offsets, ledger = KafkaCommits(config), KafkaCommitOffsets(config), LedgerPool(settings.postgres_dsn)
    gauges, retrier = metrics.RelayMetrics(instruments.registry), instruments.retrier(ServerUnavailable)
    renewal = Renewal()
    dependencies = relay_dependencies(settings, renewal, ledger, commits, offsets, gauges, retrier)
    sales = RedisSaleReader(connections_to(settings.redis_url, size=1, renewal=renewal))
    drift = DriftWatch(settings.shards, sales, PostgresSnapshots(ledger), gauges, time.time)

    async def work() -> None:
        await check_all_shard_counts(settings, (COMMITS, PROGRESS))
        await first_to_end(
            relay.run(dependencies, relay_options(settings)), retrier.retry_forever(drift.run_round, log)
        )

    async with closing(commits, offsets):
        with shard_counts_checked():
            return await run_until_signal(work())


def relay_dependencies(
    settings: Settings,
    renewal: Renewal,
    ledger: LedgerPool,
    commits: KafkaCommits,
    offsets: KafkaCommitOffsets,
    gauges: metrics.RelayMetrics,
    retrier: Retrier,
) -> relay.Dependencies:
    """The dependencies of a relay; no connection is made yet."""
    url, heads, rows = settings.redis_url, ObservedHeads(), LedgerShards(ledger)
    shards = RedisShards(connections_to(url, renewal=renewal), heads)
    # The reader of each shard blocks a connection.
    outbox = RedisOutbox(connections_to(url, size=2 * settings.shards, renewal=renewal))
    scripts = RedisScripts(connections_to(url, renewal=renewal), heads, max_clock_ahead_s=settings.max_clock_ahead_s)
    progress = ProgressWriter(_log_load, time.monotonic, LOG_S)
    return relay.Dependencies(
        outbox=outbox,
        shards=shards,
        commits=commits,
        progress=KafkaProgress(kafka_config(settings), settings.shards),
        ledger=rows,
        offsets=offsets,
        stock=RedisStock(scripts, settings.shards, settings.outbox_limit),
        blocked=LedgerBuyers(ledger),
        copies=RedisBlockedCopies(scripts),
        takeover=takeover(settings, shards, outbox, ledger, offsets, progress, renewal),
        audit=audit_dependencies(settings, lambda _: None, lambda _: None, renewal),
        gauges=gauges,
        log=log,
        monotonic=time.monotonic,
        time=time.time,
        retrier=retrier,
    )


def _log_load(line: str) -> None:
    log.info("shard_load", progress=line)


def relay_options(settings: Settings) -> relay.Options:
    """The options of a relay, with a unique name."""
    return relay.Options(
        name=uuid.uuid4().hex,
        shard_count=settings.shards,
        window_bytes=settings.relay_window_bytes,
        expiry=settings.expiry == "on",
        retention_ms=settings.record_retention_s * 1000,
        permission=AUTOMATIC[settings.restore],
    )


COMMAND = Command(
    name="relay",
    purpose="publish each shard's outbox to Kafka, expire holds, take shards over",
    dependencies=(redis_dependency, postgres_dependency, kafka_dependency),
    settings=(
        *(*REDIS, *POSTGRES, *KAFKA, "kafka_session_timeout_s", "shards", "metrics_listen", "record_retention_s"),
        *("max_clock_ahead_s", "relay_window_bytes", "expiry", "restore", "start_wait_s", *LOGGING),
    ),
    run=run_relay,
    kind=Settings,
)
