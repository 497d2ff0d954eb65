"""Build what examines the servers: for each, what asks it for its settings and what judges them."""

from collections.abc import Sequence

from inventory_service.access import kafka_access
from inventory_service.adapters.kafka.names import COMMITS, COMPENSATIONS, LARGEST_RECORD, ORDERS, PROGRESS
from inventory_service.adapters.kafka.settings import KafkaSettings
from inventory_service.adapters.ledger.postgres import Ledger
from inventory_service.adapters.ledger.settings import LedgerSettings
from inventory_service.adapters.ledger.shards import LedgerShards
from inventory_service.adapters.redis.connections import RedisConnections
from inventory_service.adapters.redis.settings import RedisSettings
from inventory_service.adapters.redis.shards import RedisShards
from inventory_service.domain.promises.clocks import judge_clock
from inventory_service.domain.promises.findings import Finding
from inventory_service.domain.promises.kafka import Need, Wanted, judge_kafka
from inventory_service.domain.promises.postgres import judge_postgres
from inventory_service.domain.promises.redis import judge_redis
from inventory_service.domain.promises.shards import judge_shards
from inventory_service.domain.shards import Unreachable
from inventory_service.entrypoints.promises import Examination
from inventory_service.settings import BadSettings, Settings
from inventory_service.start_check import Door, kafka_door, pass_door, postgres_door, redis_door

# Commits are sent again only while the outbox has them, and facts never: the other two say the same until it is done.
NEEDS = (
    Need(COMMITS, is_record=True, largest_record=LARGEST_RECORD),
    Need(PROGRESS, is_record=False, largest_record=0),
    Need(COMPENSATIONS, is_record=False, largest_record=0),
    Need(ORDERS, is_record=True, largest_record=0),
)
ONE_TRY_S = 4.0


def examinations(settings: Settings) -> Sequence[Examination]:
    """One a server."""
    return (
        Examination("Redis", lambda: examine_redis(settings)),
        Examination("Postgres", lambda: examine_postgres(settings)),
        Examination("Kafka", lambda: examine_kafka(settings)),
    )


def patient_examinations(settings: Settings) -> Sequence[Examination]:
    """The same, each with a knock before it: it says which setting is wrong, if one is."""
    doors = (redis_door(settings), postgres_door(settings), kafka_door(settings))
    pairs = zip(examinations(settings), doors, strict=True)
    return [_after_the_door(examination, door, settings.start_wait_s) for examination, door in pairs]


def _after_the_door(examination: Examination, door: Door, wait_s: float) -> Examination:
    async def ask() -> Sequence[Finding]:
        try:
            await pass_door(door, wait_s or ONE_TRY_S)
        except BadSettings as error:
            raise Unreachable(str(error)) from error
        return await examination.ask()

    return examination._replace(ask=ask)


async def examine_redis(settings: Settings) -> Sequence[Finding]:
    connections = RedisConnections(settings.redis_url, size=1)
    shards = RedisShards(connections)
    try:
        facts, clock = await RedisSettings(connections).ask()
        found = [*judge_redis(facts, settings.memory_share), judge_clock("Redis", clock)]
        if not facts.cluster and not facts.refused:  # nodes of a Cluster would send us to one another
            numbers = {(await shards.status(shard)).shards for shard in range(settings.shards)}
            found.append(judge_shards("Redis", numbers, settings.shards))
    finally:
        await connections.close()
    return found


async def examine_postgres(settings: Settings) -> Sequence[Finding]:
    ledger = Ledger(settings.postgres_dsn, pool_size=1)
    try:
        facts, clock = await LedgerSettings(ledger).ask()
        found = [*judge_postgres(facts), judge_clock("Postgres", clock)]
        if facts.migration:
            numbers = {row.shards for row in (await LedgerShards(ledger).rows()).values()}
            found.append(judge_shards("Postgres", numbers, settings.shards))
    finally:
        await ledger.close()
    return found


async def examine_kafka(settings: Settings) -> Sequence[Finding]:
    facts = await KafkaSettings(kafka_access(settings)).ask([need.topic for need in NEEDS])
    wanted = Wanted(NEEDS, settings.shards, settings.kafka_session_timeout_s, settings.kafka_brokers)
    return judge_kafka(facts, wanted)
