"""Builds `init`, which opens the shards of an empty Redis and ledger."""

from typing import Annotated

import structlog
import typer

from holdfast_runtime.kafka import kafka_config
from holdfast_runtime.kafka_probe import kafka_dependency
from holdfast_runtime.postgres import postgres_dependency
from holdfast_runtime.process import Command, JsonOption
from holdfast_runtime.settings import KAFKA, LOGGING, POSTGRES
from holdfast_runtime.signals import run_unless_signalled
from inventory_service.adapters.kafka.commit_offsets import KafkaCommitOffsets
from inventory_service.adapters.ledger.pool import LedgerPool
from inventory_service.adapters.ledger.shards import LedgerShards
from inventory_service.adapters.redis.connections import Renewal
from inventory_service.adapters.redis.connectors import connections_to
from inventory_service.adapters.redis.outbox import RedisOutbox
from inventory_service.adapters.redis.shards import RedisShards
from inventory_service.service import init
from inventory_service.settings import Settings
from inventory_service.wiring.servers import (
    REDIS,
    closing,
    redis_dependency,
    shard_counts_checked,
    takeover,
)

BESIDE_OLD_RECORDS = "Open although Kafka holds commits of an earlier ledger, which are kept as orphans."

log = structlog.get_logger()


async def open_shards(
    settings: Settings,
    as_json: Annotated[bool, JsonOption()] = False,
    beside_old_records: Annotated[bool, typer.Option("--beside-old-records", help=BESIDE_OLD_RECORDS)] = False,
) -> int:
    """Open the shards of an empty Redis and ledger."""
    renewal = Renewal()
    connections = connections_to(settings.redis_url, renewal=renewal)
    pool = LedgerPool(settings.postgres_dsn)
    shards, ledger = RedisShards(connections), LedgerShards(pool)
    offsets = KafkaCommitOffsets(kafka_config(settings))
    shard_takeover = takeover(settings, shards, RedisOutbox(connections), pool, offsets, lambda _: None, renewal)
    async with closing(offsets):
        with shard_counts_checked():
            write = print if as_json else None
            opening = init.run(settings.shards, shards, ledger, offsets, shard_takeover, log, write, beside_old_records)
            return await run_unless_signalled(opening)


COMMAND = Command(
    name="init",
    purpose="open every shard of an empty Redis and ledger, once",
    dependencies=(redis_dependency, postgres_dependency, kafka_dependency),
    settings=(*REDIS, *POSTGRES, *KAFKA, "kafka_session_timeout_s", "shards", "start_wait_s", *LOGGING),
    run=open_shards,
    kind=Settings,
    verifies=True,
)
