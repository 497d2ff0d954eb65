"""Build each process from settings: its adapters, handed to its entry point.

For every process alike, what knocks at its servers is built in `start_check.py` and what examines them in `checkup.py`.
"""

import asyncio
import gc
import sys
import time
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import structlog
from prometheus_client import CollectorRegistry

from inventory_service import metrics
from inventory_service.access import kafka_access
from inventory_service.adapters.batcher import Batcher, Limits
from inventory_service.adapters.kafka.commits import KafkaCommits
from inventory_service.adapters.kafka.compensations import KafkaCompensations
from inventory_service.adapters.kafka.names import COMMITS, COMPENSATIONS, PROGRESS
from inventory_service.adapters.kafka.persister_offsets import KafkaPersisterOffsets
from inventory_service.adapters.kafka.progress import KafkaProgress
from inventory_service.adapters.kafka.server_config import KafkaServerConfig
from inventory_service.adapters.kafka.topics import KafkaTopics
from inventory_service.adapters.ledger.buyers import LedgerBuyers
from inventory_service.adapters.ledger.history import LedgerHistory
from inventory_service.adapters.ledger.postgres import POOL_SIZE, LedgerPool
from inventory_service.adapters.ledger.sales import LedgerSales
from inventory_service.adapters.ledger.shards import LedgerShards
from inventory_service.adapters.ledger.snapshots import PostgresSnapshots
from inventory_service.adapters.redis.connections import RedisConnections
from inventory_service.adapters.redis.memory import RedisMemory
from inventory_service.adapters.redis.outbox import RedisOutbox
from inventory_service.adapters.redis.scripts import Epochs, RedisScripts
from inventory_service.adapters.redis.shards import RedisShards
from inventory_service.adapters.redis.snapshots import RedisSaleReader
from inventory_service.adapters.redis.stock import RedisStock
from inventory_service.domain.requests import SaleKey, shard_of
from inventory_service.domain.shards import RedisUnavailable, check_shard_count
from inventory_service.entrypoints.patience import repeat
from inventory_service.rpc.admin_servicer import AdminServicer
from inventory_service.rpc.auth import DEFAULT_TENANT
from inventory_service.rpc.memory_watch import MemoryWatch
from inventory_service.rpc.middleware import Middleware
from inventory_service.rpc.past import Past
from inventory_service.rpc.server import CannotListen, HealthProbe, Server, StoreHealth
from inventory_service.rpc.servicer import Servicer
from inventory_service.rpc.turns import Turns
from inventory_service.server_checks import build, doctor
from inventory_service.server_checks.run import log_once
from inventory_service.service import audit, compensator, init, topics
from inventory_service.service.relay import relay
from inventory_service.service.relay.drift import DriftWatch
from inventory_service.service.relay.takeover import ShardTakeover
from inventory_service.service.shard_counts import check_shard_counts
from inventory_service.settings import BadSettings, Settings
from inventory_service.signals import either, signals, unless_told, until_told

GC_THRESHOLDS = (50_000, 20, 100)  # calls leave no cycles, so looking for them often only costs
log = structlog.get_logger()


async def serve(settings: Settings) -> int:
    """Take calls until told to stop; a second signal does not wait for the drain."""
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    registry = show_metrics(settings)
    server = build_server(settings, registry)
    told = signals()
    await agree_on_shards(settings)
    try:
        log.info("listening", address=await server.start(settings.listen), shards=settings.shards)
    except CannotListen as error:
        raise BadSettings(f"HOLDFAST_LISTEN: cannot listen on {settings.listen}: is it in use?") from error
    telling = asyncio.create_task(
        log_once(build.checks(settings), log, metrics.ServerCheckMetrics(registry)), name="promises"
    )
    try:
        await either(server.watch_store(), told.get())
    finally:  # also of a server that finds itself set to another number of shards than the store
        telling.cancel()
        await either(asyncio.create_task(server.drain(settings.drain_s)), told.get())
        await server.stop()
    log.info("stopped")
    return 0


def build_server(settings: Settings, registry: CollectorRegistry) -> Server:
    """The server and all that is behind it; no connection is made yet."""
    connections = RedisConnections(settings.redis_url, size=2 * settings.shards)
    store = RedisStock(RedisScripts(connections, Epochs()), settings.shards, settings.outbox_limit)
    numbers = metrics.StockMetrics(registry)
    stock = Batcher(
        store,
        store,
        lambda sale: shard_of(sale, settings.shards),
        numbers.observe_call,
        Limits(queue=settings.queue_limit),
    )
    ledger = LedgerPool(settings.postgres_dsn)
    turns = Turns(at_once=POOL_SIZE - 1)  # and a connection for operators
    past = Past(stock, LedgerHistory(ledger), LedgerSales(ledger), turns, now_ms=lambda: time.time_ns() // 1_000_000)
    middleware = Middleware(metrics.CallMetrics(registry))
    looker = RedisConnections(settings.redis_url, size=1)
    memory = MemoryWatch(RedisMemory(looker).used_share, settings.memory_share, store.room, numbers.show_memory)
    return Server(
        Servicer(stock, past, numbers.count_outcome),  # type: ignore[abstract]  # the gate answers what is not built
        AdminServicer(past, LedgerBuyers(ledger)),  # type: ignore[abstract]
        middleware,
        store_probe(RedisShards(looker), settings.shards, memory, metrics.WaitMetrics(registry).count),
        settings.listeners,
    )


def store_probe(shards: RedisShards, count: int, memory: MemoryWatch, waited: Callable[[str], None]) -> HealthProbe:
    """What looks at Redis; Disagreement if one that was away was laid out for another number of shards."""
    is_laid_out = is_away = False

    async def look() -> StoreHealth:
        nonlocal is_laid_out, is_away
        try:  # all of them until one names the number: any may be blank
            found = [(await shards.status(shard)).shards for shard in range(1 if is_laid_out else count)]
            await memory.look()
        except RedisUnavailable as error:
            waited(error.server)
            if not is_away:
                log.warning("server_unavailable", server=error.server, why=str(error))
            is_away = True
            return StoreHealth(answers=False, is_laid_out=is_laid_out)
        if is_away:
            log.info("server_recovered", server="Redis")
        is_away = False
        for number in found:
            check_shard_count(count, number, "Redis")
        is_laid_out = is_laid_out or any(found)
        return StoreHealth(answers=True, is_laid_out=is_laid_out)

    return look


async def relay_commits(settings: Settings) -> int:
    """Keep every shard's house until told to stop."""
    access, registry = kafka_access(settings), show_metrics(settings)
    commits, reading = KafkaCommits(access), KafkaPersisterOffsets(access)
    ledger = LedgerPool(settings.postgres_dsn)
    gauges, waited = metrics.RelayMetrics(registry), metrics.WaitMetrics(registry).count
    parts = relay_parts(settings, ledger, commits, reading, gauges, waited)
    books = RedisSaleReader(RedisConnections(settings.redis_url, size=1))
    drift = DriftWatch(settings.shards, books, PostgresSnapshots(ledger), gauges, time.time)

    async def work() -> None:
        await agree_on_shards(settings, (COMMITS, PROGRESS))
        await either(relay.run(parts, relay_options(settings)), repeat(drift.look, log, waited))

    async with closed_at_the_end(commits, reading):
        return await until_told(work())


def relay_parts(
    settings: Settings,
    ledger: LedgerPool,
    commits: KafkaCommits,
    reading: KafkaPersisterOffsets,
    gauges: metrics.RelayMetrics,
    waited: Callable[[str], None],
) -> relay.Parts:
    """A relay's parts; no connection is made yet."""
    shards, rows = RedisShards(RedisConnections(settings.redis_url)), LedgerShards(ledger)
    outbox = RedisOutbox(RedisConnections(settings.redis_url, size=2 * settings.shards))  # each shard's reader waits
    scripts = RedisScripts(RedisConnections(settings.redis_url), Epochs())
    return relay.Parts(
        outbox=outbox,
        shards=shards,
        commits=commits,
        progress=KafkaProgress(kafka_access(settings), settings.shards),
        ledger=rows,
        stock=RedisStock(scripts, settings.shards, settings.outbox_limit),
        takeover=takeover(settings, shards, outbox, rows, reading),
        gauges=gauges,
        log=log,
        monotonic=time.monotonic,
        time=time.time,
        waited=waited,
    )


def relay_options(settings: Settings) -> relay.Options:
    """How a relay behaves, under a name that no other has."""
    return relay.Options(
        name=uuid.uuid4().hex,
        shard_count=settings.shards,
        window_bytes=settings.relay_window_bytes,
        expiry=settings.expiry == "on",
        retention_ms=settings.record_retention_s * 1000,
    )


async def compensate(settings: Settings) -> int:
    """Give back what the ledger refused, until told to stop."""
    scripts, registry = RedisScripts(RedisConnections(settings.redis_url), Epochs()), show_metrics(settings)
    parts = compensator.Parts(
        compensations=KafkaCompensations(kafka_access(settings), settings.kafka_session_timeout_s),
        stock=RedisStock(scripts, settings.shards, settings.outbox_limit),
        counter=metrics.CompensationMetrics(registry),
        log=log,
        shard_count=settings.shards,
        waited=metrics.WaitMetrics(registry).count,
    )

    async def work() -> None:
        await agree_on_shards(settings, (COMPENSATIONS,))
        await compensator.run(parts)

    return await until_told(work())


async def open_shards(settings: Settings, as_json: bool) -> int:
    """Open the shards of empty stores."""
    connections = RedisConnections(settings.redis_url)
    shards, ledger = RedisShards(connections), LedgerShards(LedgerPool(settings.postgres_dsn))
    reading = KafkaPersisterOffsets(kafka_access(settings))
    taking = takeover(settings, shards, RedisOutbox(connections), ledger, reading)
    async with closed_at_the_end(reading):
        tell = print if as_json else None
        return await unless_told(init.run(settings.shards, shards, ledger, taking, log, tell))


async def make_topics(settings: Settings, replication: int | None, as_json: bool) -> int:
    """Make Kafka's topics, or check them."""
    access = kafka_access(settings)
    parts = topics.Parts(
        KafkaTopics(access),
        KafkaServerConfig(access).brokers,
        lambda: build.check_kafka(settings),
        log,
        print if as_json else None,
    )
    names = [need.topic for need in build.needs(settings)]
    return await unless_told(topics.run(parts, names, settings.shards, replication))


async def examine_servers(settings: Settings, as_json: bool) -> int:
    """Say of every server what is promised with its settings; the result goes to standard output."""
    return await unless_told(doctor.run(build.checks_after_probe(settings), as_json, print))


async def compare_books(settings: Settings, sale_id: str | None, deadline_s: float, as_json: bool) -> int:
    """Compare Redis with the ledger, of all sales or of one; the result goes to standard output."""
    connections, ledger = RedisConnections(settings.redis_url), LedgerPool(settings.postgres_dsn)
    parts = audit.Parts(
        RedisShards(connections),
        LedgerShards(ledger),
        RedisSaleReader(connections),
        PostgresSnapshots(ledger),
        settings.record_retention_s * 1000,
        say=lambda line: print(line, file=sys.stderr),
        tell=print,
    )
    only = SaleKey(DEFAULT_TENANT, sale_id) if sale_id else None
    return await unless_told(audit.run(parts, settings.shards, only, deadline_s, as_json))


async def agree_on_shards(settings: Settings, topics: Sequence[str] = ()) -> None:
    """`Disagreement` if a server that answers, or one of these topics, was laid out for another number of shards."""
    connections, ledger = RedisConnections(settings.redis_url, size=1), LedgerPool(settings.postgres_dsn, pool_size=1)
    try:
        access = kafka_access(settings)
        admin, names = KafkaTopics(access) if topics else None, [access.named(topic) for topic in topics]
        await check_shard_counts(settings.shards, RedisShards(connections), LedgerShards(ledger), admin, names)
    finally:
        await connections.close()
        await ledger.close()


def takeover(
    settings: Settings, shards: RedisShards, outbox: RedisOutbox, ledger: LedgerShards, reading: KafkaPersisterOffsets
) -> ShardTakeover:
    """What verifies and opens a shard."""
    return ShardTakeover(settings.shards, shards, outbox, ledger, reading, lambda: uuid.uuid4().hex)


@asynccontextmanager
async def closed_at_the_end(*clients: KafkaCommits | KafkaPersisterOffsets) -> AsyncIterator[None]:
    """Part from Kafka in good order, however the block ends; its clients complain if they are just dropped."""
    try:
        yield
    finally:
        for client in clients:
            await client.close()


def show_metrics(settings: Settings) -> CollectorRegistry:
    """A registry, and the page that shows it, if one is wanted; BadSettings if its address cannot be had."""
    registry = metrics.new_registry()
    try:
        page = metrics.serve_page(settings.metrics_listen, registry)
    except OSError as error:
        problem = f"cannot listen on {settings.metrics_listen}: {error.strerror or error}"
        raise BadSettings(f"HOLDFAST_METRICS_LISTEN: {problem}") from error
    if page is not None:
        log.info("metrics", url=f"http://{page.host}:{page.port}/metrics")
    return registry
