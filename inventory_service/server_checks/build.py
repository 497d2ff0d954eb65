"""Build what examines the servers: for each, what asks it for its settings and what judges them."""

from collections.abc import Sequence

from inventory_service.access import kafka_access
from inventory_service.adapters.kafka.names import COMMITS, COMPENSATIONS, LARGEST_RECORD, ORDERS, PROGRESS
from inventory_service.adapters.kafka.server_config import KafkaServerConfig
from inventory_service.adapters.ledger.postgres import LedgerPool
from inventory_service.adapters.ledger.server_config import LedgerServerConfig
from inventory_service.adapters.ledger.shards import LedgerShards
from inventory_service.adapters.redis.connections import RedisConnections
from inventory_service.adapters.redis.server_config import RedisServerConfig
from inventory_service.adapters.redis.shards import RedisShards
from inventory_service.domain.shards import ServerUnavailable
from inventory_service.server_checks.clocks import judge_clock
from inventory_service.server_checks.kafka import Need, Wanted, judge_kafka
from inventory_service.server_checks.postgres import judge_postgres
from inventory_service.server_checks.redis import judge_redis
from inventory_service.server_checks.results import CheckResult
from inventory_service.server_checks.run import Check
from inventory_service.server_checks.shards import judge_shards
from inventory_service.settings import BadSettings, Settings
from inventory_service.start_check import Door, kafka_door, pass_door, postgres_door, redis_door

# Commits are sent again only while the outbox has them, and facts never: the other two say the same until it is done.
_NEEDS = (
    Need(COMMITS, is_record=True, largest_record=LARGEST_RECORD),
    Need(PROGRESS, is_record=False, largest_record=0),
    Need(COMPENSATIONS, is_record=False, largest_record=0),
    Need(ORDERS, is_record=True, largest_record=0),
)
ONE_TRY_S = 4.0


def needs(settings: Settings) -> Sequence[Need]:
    """What is needed of each topic, under the name that it has on this Kafka."""
    access = kafka_access(settings)
    return [need._replace(topic=access.named(need.topic)) for need in _NEEDS]


def checks(settings: Settings) -> Sequence[Check]:
    """One a server."""
    return (
        Check("Redis", lambda: check_redis(settings)),
        Check("Postgres", lambda: check_postgres(settings)),
        Check("Kafka", lambda: check_kafka(settings)),
    )


def checks_after_probe(settings: Settings) -> Sequence[Check]:
    """The same, each with a knock before it: it says which setting is wrong, if one is."""
    doors = (redis_door(settings), postgres_door(settings), kafka_door(settings))
    pairs = zip(checks(settings), doors, strict=True)
    return [_after_the_door(check, door, settings.start_wait_s) for check, door in pairs]


def _after_the_door(check: Check, door: Door, wait_s: float) -> Check:
    async def ask() -> Sequence[CheckResult]:
        try:
            await pass_door(door, wait_s or ONE_TRY_S)
        except BadSettings as error:
            raise ServerUnavailable(str(error)) from error
        return await check.ask()

    return check._replace(ask=ask)


async def check_redis(settings: Settings) -> Sequence[CheckResult]:
    connections = RedisConnections(settings.redis_url, size=1)
    shards = RedisShards(connections)
    try:
        facts, clock = await RedisServerConfig(connections).ask()
        found = [*judge_redis(facts, settings.memory_share), judge_clock("Redis", clock)]
        if not facts.cluster and not facts.refused:  # nodes of a Cluster would send us to one another
            numbers = {(await shards.status(shard)).shards for shard in range(settings.shards)}
            found.append(judge_shards("Redis", numbers, settings.shards))
    finally:
        await connections.close()
    return found


async def check_postgres(settings: Settings) -> Sequence[CheckResult]:
    ledger = LedgerPool(settings.postgres_dsn, pool_size=1)
    try:
        facts, clock = await LedgerServerConfig(ledger).ask()
        found = [*judge_postgres(facts), judge_clock("Postgres", clock)]
        if facts.migration:
            numbers = {row.shards for row in (await LedgerShards(ledger).rows()).values()}
            found.append(judge_shards("Postgres", numbers, settings.shards))
    finally:
        await ledger.close()
    return found


async def check_kafka(settings: Settings) -> Sequence[CheckResult]:
    wanted_topics = needs(settings)
    facts = await KafkaServerConfig(kafka_access(settings)).ask([need.topic for need in wanted_topics])
    wanted = Wanted(wanted_topics, settings.shards, settings.kafka_session_timeout_s, settings.kafka_brokers)
    return judge_kafka(facts, wanted)
