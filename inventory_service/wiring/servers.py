"""Builds what several processes share: dependencies, the check of shard counts, and take-overs."""

import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from functools import partial

from holdfast_runtime.kafka import kafka_config
from holdfast_runtime.settings import BadSettings
from holdfast_runtime.start_check import Dependency, address_of
from inventory_service.adapters.kafka.commit_offsets import KafkaCommitOffsets
from inventory_service.adapters.kafka.commits import KafkaCommits
from inventory_service.adapters.kafka.topics import KafkaTopics
from inventory_service.adapters.ledger.load import PostgresLoadSource
from inventory_service.adapters.ledger.orphans import LedgerOrphans
from inventory_service.adapters.ledger.pool import LedgerPool
from inventory_service.adapters.ledger.shards import LedgerShards
from inventory_service.adapters.ledger.snapshots import PostgresSnapshots
from inventory_service.adapters.redis.connections import RedisConnections, Renewal, check_url
from inventory_service.adapters.redis.load import RedisLoadTarget
from inventory_service.adapters.redis.memory import RedisMemory
from inventory_service.adapters.redis.outbox import RedisOutbox
from inventory_service.adapters.redis.probe import probe_redis
from inventory_service.adapters.redis.scripts import RedisScripts
from inventory_service.adapters.redis.shards import RedisShards
from inventory_service.adapters.redis.snapshots import RedisSaleReader
from inventory_service.domain.heads import ObservedHeads
from inventory_service.domain.shards import ShardCountMismatch
from inventory_service.service import audit
from inventory_service.service.relay.load_progress import LoadProgress
from inventory_service.service.relay.load_slots import LOADS_AT_ONCE
from inventory_service.service.relay.loader import LoaderPorts, ShardLoader
from inventory_service.service.relay.takeover import ShardTakeover
from inventory_service.service.shard_counts import check_shard_counts
from inventory_service.settings import Settings

REDIS = ("redis_url",)


def redis_dependency(settings: Settings, *, may_be_replica: bool = False) -> Dependency:
    """Redis as configured; `BadSettings` if redis-py cannot parse the URL."""
    url, setting = settings.redis_url, "HOLDFAST_REDIS_URL"
    try:
        check_url(url)
    except ValueError as error:
        raise BadSettings(f"{setting}: {error}") from None
    probe = partial(probe_redis, url, may_be_replica=may_be_replica)
    return Dependency("Redis", f"Redis at {address_of(url)}", probe, setting, {})


@contextmanager
def shard_counts_checked() -> Iterator[None]:
    """Turn a `ShardCountMismatch` into `BadSettings`, which ends the process with one line."""
    try:
        yield
    except ShardCountMismatch as error:
        raise BadSettings(str(error)) from None


async def check_all_shard_counts(settings: Settings, topics: Sequence[str] = ()) -> None:
    """`ShardCountMismatch` if a server that answers, or one of these topics, has another number of shards."""
    connections, ledger = RedisConnections(settings.redis_url, size=1), LedgerPool(settings.postgres_dsn, pool_size=1)
    try:
        config = kafka_config(settings)
        admin, names = KafkaTopics(config) if topics else None, [config.named(topic) for topic in topics]
        await check_shard_counts(settings.shards, RedisShards(connections), LedgerShards(ledger), admin, names)
    finally:
        await connections.close()
        await ledger.close()


def takeover(
    settings: Settings,
    shards: RedisShards,
    outbox: RedisOutbox,
    ledger: LedgerPool,
    offsets: KafkaCommitOffsets,
    progress: Callable[[LoadProgress], None],
    renewal: Renewal,
) -> ShardTakeover:
    """The take-over of shards, with its adapters; `progress` is told how far a load is."""
    connections = RedisConnections(settings.redis_url, renewal=renewal)
    ports = LoaderPorts(
        PostgresLoadSource(LedgerPool(settings.postgres_dsn, LOADS_AT_ONCE)),
        RedisLoadTarget(RedisScripts(connections, ObservedHeads())),
        shards,
        RedisMemory(connections),
        settings.record_retention_s * 1000,
        progress,
    )
    loader = ShardLoader(ports)
    rows, orphans = LedgerShards(ledger), LedgerOrphans(ledger)
    return ShardTakeover(settings.shards, shards, outbox, rows, offsets, loader, orphans, lambda: uuid.uuid4().hex)


def audit_dependencies(
    settings: Settings,
    progress: Callable[[str], None],
    write: Callable[[str], None],
    renewal: Renewal | None = None,
) -> audit.Dependencies:
    """The dependencies of an audit, with connections of its own."""
    connections = RedisConnections(settings.redis_url, renewal=renewal)
    ledger = LedgerPool(settings.postgres_dsn)
    return audit.Dependencies(
        RedisShards(connections),
        LedgerShards(ledger),
        RedisSaleReader(connections),
        PostgresSnapshots(ledger),
        progress,
        write,
    )


@asynccontextmanager
async def closing(*clients: KafkaCommits | KafkaCommitOffsets) -> AsyncIterator[None]:
    """Close Kafka's clients however the block ends; aiokafka logs an error for a client that is not closed."""
    try:
        yield
    finally:
        for client in clients:
            await client.close()
