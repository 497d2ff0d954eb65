"""Builds what several processes share: dependencies, the check of shard counts, and take-overs."""

import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from typing import NamedTuple

from holdfast_runtime.connection_errors import Cause
from holdfast_runtime.kafka import kafka_config
from holdfast_runtime.settings import BadSettings
from holdfast_runtime.start_check import Dependency
from inventory_service.adapters.kafka.commit_offsets import KafkaCommitOffsets
from inventory_service.adapters.kafka.commits import KafkaCommits
from inventory_service.adapters.kafka.topics import KafkaTopics
from inventory_service.adapters.ledger.load import PostgresLoadSource
from inventory_service.adapters.ledger.orphans import LedgerOrphans
from inventory_service.adapters.ledger.pool import LedgerPool
from inventory_service.adapters.ledger.shards import LedgerShards
from inventory_service.adapters.ledger.snapshots import PostgresSnapshots
from inventory_service.adapters.redis.connections import Renewal
from inventory_service.adapters.redis.connectors import check_redis_url, connections_to, server_named
from inventory_service.adapters.redis.load import RedisLoadTarget
from inventory_service.adapters.redis.memory import RedisMemory
from inventory_service.adapters.redis.outbox import RedisOutbox
from inventory_service.adapters.redis.probe import probe_redis
from inventory_service.adapters.redis.replica_wait import ReplicaWait
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
REPLICA_WAIT = ("redis_wait", "redis_wait_aof", "redis_wait_ms")


def redis_dependency(settings: Settings, *, may_be_replica: bool = False) -> Dependency:
    """Redis as configured; `BadSettings` if a part of the URL is wrong."""
    return _redis(settings, None, may_be_replica=may_be_replica)


def waiting_redis_dependency(settings: Settings) -> Dependency:
    """The same for a process that lets replicas have what it changes; its Redis must be able to wait for them."""
    return _redis(settings, replica_wait(settings))


class ReplicaWaitSetting(NamedTuple):
    """For how many replicas a change waits, and the variable that says so."""

    setting: str
    replicas: int
    in_files: bool


def replica_waits(settings: Settings) -> Sequence[ReplicaWaitSetting]:
    """The one that is set, if any."""
    both = (
        ReplicaWaitSetting("HOLDFAST_REDIS_WAIT", settings.redis_wait, in_files=False),
        ReplicaWaitSetting("HOLDFAST_REDIS_WAIT_AOF", settings.redis_wait_aof, in_files=True),
    )
    return [wait for wait in both if wait.replicas]


def replica_wait(settings: Settings) -> ReplicaWait | None:
    """The wait for replicas before a caller hears of a change; None if there is none."""
    for wait in replica_waits(settings):
        return ReplicaWait(wait.replicas, settings.redis_wait_ms, wait.in_files)
    return None


def _redis(settings: Settings, wait: ReplicaWait | None, *, may_be_replica: bool = False) -> Dependency:
    url, setting = settings.redis_url, "HOLDFAST_REDIS_URL"
    try:
        check_redis_url(url)
    except ValueError as error:
        raise BadSettings(f"{setting}: {error}") from None
    probe = partial(probe_redis, url, wait, may_be_replica=may_be_replica)
    waiting = dict.fromkeys((Cause.COMMAND,), "".join(each.setting for each in replica_waits(settings)))
    return Dependency("Redis", server_named(url), probe, setting, waiting)


@contextmanager
def shard_counts_checked() -> Iterator[None]:
    """Turn a `ShardCountMismatch` into `BadSettings`, which ends the process with one line."""
    try:
        yield
    except ShardCountMismatch as error:
        raise BadSettings(str(error)) from None


async def check_all_shard_counts(settings: Settings, topics: Sequence[str] = ()) -> None:
    """`ShardCountMismatch` if a server that answers, or one of these topics, has another number of shards."""
    connections, ledger = connections_to(settings.redis_url, size=1), LedgerPool(settings.postgres_dsn, pool_size=1)
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
    connections = connections_to(settings.redis_url, renewal=renewal)
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
    connections = connections_to(settings.redis_url, renewal=renewal)
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
