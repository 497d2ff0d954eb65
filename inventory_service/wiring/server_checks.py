"""Builds the checks of all servers, each from what reads its settings and what judges them."""

from collections.abc import Sequence

from holdfast_runtime.kafka import COMMITS, COMPENSATIONS, LARGEST_RECORD, ORDERS, PROGRESS, SALES, kafka_config
from holdfast_runtime.kafka_probe import kafka_dependency
from holdfast_runtime.postgres import ServerReadOnly, postgres_dependency
from holdfast_runtime.settings import BadSettings
from holdfast_runtime.start_check import Dependency, wait_for
from inventory_service.adapters.kafka.server_config import KafkaServerConfig
from inventory_service.adapters.ledger.pool import LedgerPool
from inventory_service.adapters.ledger.server_config import LedgerServerConfig
from inventory_service.adapters.ledger.shards import LedgerShards
from inventory_service.adapters.redis.connectors import connections_to
from inventory_service.adapters.redis.sentinel import ask_all, is_sentinel_url
from inventory_service.adapters.redis.server_config import RedisServerConfig
from inventory_service.adapters.redis.shards import RedisShards
from inventory_service.domain.shards import LedgerUnavailable, RedisUnavailable, ServerUnavailable
from inventory_service.server_checks.clocks import judge_clock, judge_shard_time
from inventory_service.server_checks.failover import (
    Failover,
    SentinelAnswer,
    failover_of,
    judge_replica_wait,
    judge_sentinels,
)
from inventory_service.server_checks.kafka import Expected, RequiredTopic, judge_kafka
from inventory_service.server_checks.postgres import judge_postgres
from inventory_service.server_checks.redis import judge_redis
from inventory_service.server_checks.results import CheckResult
from inventory_service.server_checks.run import Check
from inventory_service.server_checks.shards import judge_frozen, judge_losses, judge_quarantined, judge_shards
from inventory_service.settings import Settings
from inventory_service.wiring.servers import replica_waits

# A lost record of commits, orders or sales may be lost data: facts are never re-sent, commits only while they are in
# the outbox. Progress and compensations are re-sent until they take effect.
_REQUIRED_TOPICS = (
    RequiredTopic(COMMITS, must_not_be_lost=True, max_record_bytes=LARGEST_RECORD),
    RequiredTopic(PROGRESS, must_not_be_lost=False, max_record_bytes=0),
    RequiredTopic(COMPENSATIONS, must_not_be_lost=False, max_record_bytes=0),
    RequiredTopic(ORDERS, must_not_be_lost=True, max_record_bytes=0),
    RequiredTopic(SALES, must_not_be_lost=True, max_record_bytes=0),
)
SINGLE_PROBE_S = 4.0


def required_topics(settings: Settings) -> Sequence[RequiredTopic]:
    """The requirements of each topic, under its name with the Kafka prefix."""
    config = kafka_config(settings)
    return [required._replace(topic=config.named(required.topic)) for required in _REQUIRED_TOPICS]


def checks(settings: Settings) -> Sequence[Check]:
    """One check a server; `BadSettings` if a certificate for Kafka cannot be used."""
    kafka_config(settings)
    return (
        Check("Redis", lambda: check_redis(settings)),
        Check("Postgres", lambda: check_postgres(settings)),
        Check("Kafka", lambda: check_kafka(settings)),
    )


def checks_after_probe(settings: Settings, redis: Dependency) -> Sequence[Check]:
    """The same, each after a probe, whose error names the wrong setting."""
    dependencies = (redis, postgres_dependency(settings), kafka_dependency(settings))
    limit = f"HOLDFAST_START_WAIT_S is {settings.start_wait_s:g}"
    pairs = zip(checks(settings), dependencies, strict=True)
    return [_after_probe(check, dependency, settings.start_wait_s, limit) for check, dependency in pairs]


def _after_probe(check: Check, dependency: Dependency, wait_s: float, limit: str) -> Check:
    async def ask() -> Sequence[CheckResult]:
        try:
            await wait_for(dependency, wait_s or SINGLE_PROBE_S, limit if wait_s else "")
        except BadSettings as error:
            raise ServerUnavailable(str(error)) from error
        return await check.ask()

    return check._replace(ask=ask)


async def check_redis(settings: Settings) -> Sequence[CheckResult]:
    connections = connections_to(settings.redis_url, size=1, may_be_replica=True)
    shards = RedisShards(connections)
    sentinels = await _ask_sentinels(settings.redis_url) if is_sentinel_url(settings.redis_url) else []
    failover = failover_of(sentinels) or Failover(settings.redis_failover_s, "HOLDFAST_REDIS_FAILOVER_S")
    try:
        config, clock = await RedisServerConfig(connections).ask()
        found = judge_sentinels(sentinels) if sentinels else []
        found += judge_redis(config, settings.memory_share, failover)
        found += [judge_replica_wait(wait.replicas, wait.setting, config.info) for wait in replica_waits(settings)]
        found.append(judge_clock("Redis", clock))
        if not config.cluster and not config.missing_rights:  # a Cluster's nodes redirect to one another
            statuses = [await shards.status(shard) for shard in range(settings.shards)]
            found.append(judge_shard_time(max(status.ahead_ms for status in statuses)))
            found.append(judge_shards("Redis", {status.shards for status in statuses}, settings.shards))
            found.append(judge_frozen({one.shard: one.frozen_reason for one in statuses if one.frozen_reason}))
    finally:
        await connections.close()
    return found


async def _ask_sentinels(url: str) -> Sequence[SentinelAnswer]:
    answers = (await ask_all(url)).items()
    return [
        SentinelAnswer(address, {}, str(report))
        if isinstance(report, RedisUnavailable)
        else SentinelAnswer(address, report, "")
        for address, report in answers
    ]


async def check_postgres(settings: Settings) -> Sequence[CheckResult]:
    """Checks the host that takes writes; where none does, the first one, of which that is a result."""
    try:
        return await _check_postgres(settings, LedgerPool(settings.postgres_dsn, pool_size=1))
    except LedgerUnavailable as error:
        if not isinstance(error.__cause__, ServerReadOnly):
            raise
    return await _check_postgres(settings, LedgerPool(settings.postgres_dsn, pool_size=1, writable=False))


async def _check_postgres(settings: Settings, ledger: LedgerPool) -> Sequence[CheckResult]:
    try:
        config, clock = await LedgerServerConfig(ledger).ask()
        found = [*judge_postgres(config), judge_clock("Postgres", clock)]
        if config.migration:
            shards = LedgerShards(ledger)
            numbers = {row.shards for row in (await shards.rows()).values()}
            found.append(judge_shards("Postgres", numbers, settings.shards))
            found.append(judge_losses("Postgres", await shards.recent_losses()))
            found.append(judge_quarantined("Postgres", await shards.quarantined()))
    finally:
        await ledger.close()
    return found


async def check_kafka(settings: Settings) -> Sequence[CheckResult]:
    topics = required_topics(settings)
    config = await KafkaServerConfig(kafka_config(settings)).ask([required.topic for required in topics])
    expected = Expected(topics, settings.shards, settings.kafka_session_timeout_s, settings.kafka_brokers)
    return judge_kafka(config, expected)
