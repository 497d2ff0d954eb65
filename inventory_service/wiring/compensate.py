"""Builds the compensator, which carries out compensations from Kafka in Redis."""

import structlog

from holdfast_runtime.instruments import serve_instruments
from holdfast_runtime.kafka import COMPENSATIONS, kafka_config
from holdfast_runtime.kafka_probe import kafka_dependency
from holdfast_runtime.process import Command
from holdfast_runtime.settings import KAFKA, LOGGING, POSTGRES
from holdfast_runtime.signals import run_until_signal
from inventory_service import metrics
from inventory_service.adapters.kafka.compensations import KafkaCompensations
from inventory_service.adapters.redis.connectors import connections_to
from inventory_service.adapters.redis.scripts import RedisScripts
from inventory_service.adapters.redis.stock import RedisStock
from inventory_service.domain.heads import ObservedHeads
from inventory_service.domain.shards import ServerUnavailable
from inventory_service.service import compensator
from inventory_service.settings import Settings
from inventory_service.wiring.servers import REDIS, check_all_shard_counts, redis_dependency, shard_counts_checked

log = structlog.get_logger()


async def compensate(settings: Settings) -> int:
    """Carry out compensations until a signal."""
    instruments = serve_instruments(settings, [make(settings) for make in COMMAND.dependencies])
    scripts = RedisScripts(
        connections_to(settings.redis_url), ObservedHeads(), max_clock_ahead_s=settings.max_clock_ahead_s
    )
    dependencies = compensator.Dependencies(
        compensations=KafkaCompensations(kafka_config(settings), settings.kafka_session_timeout_s),
        stock=RedisStock(scripts, settings.shards, settings.outbox_limit),
        counter=metrics.CompensationMetrics(instruments.registry),
        log=log,
        shard_count=settings.shards,
        retrier=instruments.retrier(ServerUnavailable),
    )

    async def work() -> None:
        await check_all_shard_counts(settings, (COMPENSATIONS,))
        await compensator.run(dependencies)

    with shard_counts_checked():
        return await run_until_signal(work())


COMMAND = Command(
    name="compensate",
    purpose="give the units of refused orders back",
    dependencies=(redis_dependency, kafka_dependency),
    settings=(
        *(*REDIS, *POSTGRES, *KAFKA, "kafka_session_timeout_s", "shards", "metrics_listen", "max_clock_ahead_s"),
        *("start_wait_s", *LOGGING),
    ),
    run=compensate,
    kind=Settings,
)
