"""Builds the gRPC server: the stock in Redis behind a batcher, and the ledger for what has left Redis."""

import asyncio
import gc
import signal
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Annotated

import structlog
import typer
from prometheus_client import CollectorRegistry
from structlog.contextvars import bind_contextvars

from holdfast_runtime.background import keep_running
from holdfast_runtime.instruments import Instruments, serve_instruments
from holdfast_runtime.postgres import postgres_dependency
from holdfast_runtime.process import Command
from holdfast_runtime.retry import Outage
from holdfast_runtime.settings import KAFKA, LOGGING, POSTGRES
from holdfast_runtime.signals import first_to_end, signals
from inventory_service import metrics
from inventory_service.adapters.ledger.archive import LedgerArchive
from inventory_service.adapters.ledger.buyers import LedgerBuyers
from inventory_service.adapters.ledger.dead_letters import LedgerDeadLetters
from inventory_service.adapters.ledger.lists import PostgresLists
from inventory_service.adapters.ledger.pool import LedgerPool
from inventory_service.adapters.ledger.revocations import LedgerRevocations
from inventory_service.adapters.ledger.sale_snapshots import PostgresSaleSnapshots
from inventory_service.adapters.ledger.shards import LedgerShards
from inventory_service.adapters.redis.blocked_buyers import RedisBlockedCopies
from inventory_service.adapters.redis.connectors import connections_to
from inventory_service.adapters.redis.memory import RedisMemory
from inventory_service.adapters.redis.revocations import RedisRevocations
from inventory_service.adapters.redis.scripts import RedisScripts
from inventory_service.adapters.redis.shards import RedisShards
from inventory_service.adapters.redis.snapshots import RedisSaleReader
from inventory_service.adapters.redis.stock import RedisStock
from inventory_service.adapters.tokens.key_files import KeyFiles
from inventory_service.domain.heads import ObservedHeads
from inventory_service.domain.keys import shard_of
from inventory_service.domain.revocations import Revocations
from inventory_service.rpc.auth import Authenticate
from inventory_service.rpc.calls.watches import WatchMessages
from inventory_service.rpc.middleware import Middleware
from inventory_service.rpc.rate import CallerRate
from inventory_service.rpc.server import Server
from inventory_service.rpc.servicers import AdminServicer, Servicer
from inventory_service.rpc.stream_life import StreamLife
from inventory_service.rpc.stream_tokens import StreamTokens
from inventory_service.server_checks.run import check_watches
from inventory_service.service.archive_fallback import ArchiveFallback
from inventory_service.service.batcher import Batcher
from inventory_service.service.blocked_buyers import BlockedBuyers
from inventory_service.service.bulkhead import Bulkhead
from inventory_service.service.lane import Limits
from inventory_service.service.ledger_observer import LedgerObserver
from inventory_service.service.lists import Lists
from inventory_service.service.lost_commits import LostCommitsWatch
from inventory_service.service.many_reserves import BatchedReserves
from inventory_service.service.memory_watch import MemoryWatch
from inventory_service.service.replay import DeadLetterReplay
from inventory_service.service.revocations import LEDGER_S, TokenRevocations
from inventory_service.service.sale_audit import SaleAudits
from inventory_service.service.shard_moments import ShardMoments
from inventory_service.service.watches.watches import Watches
from inventory_service.settings import TLS_FILES, TOKENS, Settings
from inventory_service.wiring.authentication import authenticator, check_may_listen, token_keys
from inventory_service.wiring.breaker import MakePool, store_breaker
from inventory_service.wiring.listening import listen
from inventory_service.wiring.rate import caller_rate
from inventory_service.wiring.server_checks import checks
from inventory_service.wiring.servers import (
    REDIS,
    REPLICA_WAIT,
    check_all_shard_counts,
    replica_wait,
    shard_counts_checked,
    waiting_redis_dependency,
)
from inventory_service.wiring.store_probe import store_probe
from inventory_service.wiring.tls import PLAINTEXT, Tls, tls_of
from inventory_service.wiring.workers import WorkerOption, WorkersOption, supervise
from inventory_service.workers.worker import end_with_supervisor

GC_THRESHOLDS = (50_000, 20, 100)  # calls leave no reference cycles, so frequent collections are wasted
# A server's connections to the ledger, by purpose: the questions of one purpose never take those of another.
FOR_ARCHIVE = 3  # what has left Redis
FOR_LISTS = 2
FOR_AUDITS = 1
FOR_OPERATORS = 2  # what they change
FOR_REVOCATIONS = 1
LEDGER_CONNECTIONS = FOR_ARCHIVE + FOR_LISTS + FOR_AUDITS + FOR_OPERATORS + FOR_REVOCATIONS
log = structlog.get_logger()

InsecureOption = Annotated[
    bool,
    typer.Option(
        "--insecure",
        help="Listen beyond loopback though neither tokens nor client certificates say who calls.",
    ),
]


async def serve(
    settings: Settings,
    insecure: InsecureOption = False,
    workers: WorkersOption = None,
    worker: WorkerOption = None,
) -> int:
    """Serve calls until a signal. `insecure` and `workers` are as HOLDFAST_INSECURE and HOLDFAST_WORKERS."""
    check_may_listen(settings, insecure=insecure)
    if worker is None and (count := workers or settings.workers) > 1:
        return await supervise(settings, count, insecure=insecure)
    return await serve_here(settings, worker)


async def serve_here(settings: Settings, worker: int | None = None) -> int:
    """Serve in this process, which is worker number `worker` of several or the only one, until a signal."""
    if worker is not None:
        bind_contextvars(worker=worker)
        end_with_supervisor()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    server_checks = checks(settings)
    instruments = serve_instruments(settings, [waiting_redis_dependency(settings)])  # reservations need no ledger
    ledger = LedgerPool(settings.postgres_dsn, LEDGER_CONNECTIONS)
    lost_commits = lost_commits_watch(settings, instruments, ledger)
    heads = ObservedHeads(lost_commits.epoch_changed)
    file_metrics = metrics.FileMetrics(instruments.registry)
    tls, keys = tls_of(settings, file_metrics), token_keys(settings, file_metrics.show_ok)
    revocations = token_revocations(settings, instruments, ledger)
    server, received = build_server(settings, instruments, ledger, heads, revocations, tls, keys), signals()
    observer = LedgerObserver(LedgerShards(ledger), heads)
    check_gauges = metrics.ServerCheckMetrics(instruments.registry)
    with shard_counts_checked():
        await asyncio.gather(check_all_shard_counts(settings), observer.observe(), revocations.start())
        if keys:
            warn_unless_read(revocations)
        await listen(server, settings, tls, worker, instruments.metrics_url)
        watches = [observer.run, lost_commits.run, revocations.read_stream_forever, revocations.read_table_forever]
        watches += [*tls.watches(), *([keys.run] if keys else [])]
        if worker is None:  # a supervisor checks the servers for all of its workers
            watches += check_watches(server_checks, log, check_gauges)
        await _until_signal(server, watches, received, settings.drain_s, is_worker=worker is not None)
    log.info("stopped")
    return 0


async def _until_signal(
    server: Server,
    watches: Sequence[Callable[[], Awaitable[None]]],
    received: asyncio.Queue[signal.Signals],
    drain_s: float,
    *,
    is_worker: bool,
) -> None:
    """Serve beside these watches until a signal, then drain. A second signal ends the drain, but not a worker's.

    The first one may have been sent to all processes of the service, and then the supervisor sends the worker another.
    """
    watching = [asyncio.create_task(keep_running(watch)) for watch in watches]
    try:
        await first_to_end(server.watch(), received.get())
    finally:  # also when the probe finds another number of shards in Redis
        for task in watching:
            task.cancel()
        until = asyncio.Event().wait() if is_worker else received.get()
        await first_to_end(asyncio.create_task(server.drain(drain_s)), until)
        await server.stop()


def warn_unless_read(revocations: TokenRevocations) -> None:
    """A server starts without the ledger; what then was revoked is what Redis has kept of it."""
    if not revocations.has_read_table:
        log.warning("revocations_not_read", meaning="a revoked token may be believed until PostgreSQL answers")


def build_server(
    settings: Settings,
    instruments: Instruments,
    ledger: LedgerPool,
    heads: ObservedHeads,
    revocations: TokenRevocations,
    tls: Tls = PLAINTEXT,
    keys: KeyFiles | None = None,
) -> Server:
    """The server and everything that it calls; no connection is made yet."""
    registry: CollectorRegistry = instruments.registry
    breaker = store_breaker(settings.redis_url, registry)
    connections = breaker.pools

    def own_scripts() -> RedisScripts:
        pool = connections(settings.shards)
        return RedisScripts(pool, heads, max_clock_ahead_s=settings.max_clock_ahead_s, wait=replica_wait(settings))

    scripts = own_scripts()
    store = RedisStock(scripts, settings.shards, settings.outbox_limit, batched=own_scripts())
    stock_metrics = metrics.StockMetrics(registry)
    limits, archive = Limits(queue=settings.queue_limit), LedgerArchive(ledger)
    of_sale = partial(shard_of, shards=settings.shards)
    batcher = Batcher(store, of_sale, stock_metrics.observe_call, limits, breaker=breaker.breaker)
    stock = ArchiveFallback(batcher, archive, archive, Bulkhead(FOR_ARCHIVE), now_ms)
    copies, operators = RedisBlockedCopies(scripts), Bulkhead(FOR_OPERATORS)
    buyers = BlockedBuyers(LedgerBuyers(ledger), operators, copies, settings.shards)
    replays = DeadLetterReplay(LedgerDeadLetters(ledger), archive, stock, batcher, operators, now_ms)
    sale_audits, lists = _sale_audits(settings, ledger, connections), _lists(settings, ledger, connections)
    call_metrics = metrics.CallMetrics(registry)
    rate = caller_rate(settings, call_metrics)
    authenticate = authenticator(settings, tls.caller, keys, revocations.known, registry)
    middleware = _middleware(
        call_metrics, authenticate, rate, StreamTokens(revocations.known, is_withdrawn=tls.is_withdrawn)
    )
    life = StreamLife(middleware.draining, drain_is_late=middleware.drain_is_late)
    watches = _watches(settings, own_scripts(), stock, metrics.WatchMetrics(registry))
    probing = connections(1)
    memory = _memory_watch(settings, RedisMemory(probing), store, stock_metrics)
    return Server(
        Servicer(stock, stock_metrics, middleware.slots, life, lists, watches, rate, BatchedReserves(batcher, stock)),
        AdminServicer(stock, buyers, replays, sale_audits, middleware.draining, lists, revocations),
        middleware,
        store_probe(RedisShards(probing), settings.shards, memory, Outage(instruments.outages, log), breaker.redis),
        settings.listeners,
        tls.certificate,
        breaker.changed,
    )


def _middleware(
    call_metrics: metrics.CallMetrics,
    authenticate: Authenticate | None,
    rate: CallerRate | None,
    stream_tokens: StreamTokens | None,
) -> Middleware:
    middleware = Middleware(call_metrics, authenticate, rate, stream_tokens)
    call_metrics.show_slots(lambda: middleware.slots.in_use)
    return middleware


def _memory_watch(
    settings: Settings, memory: RedisMemory, store: RedisStock, stock_metrics: metrics.StockMetrics
) -> MemoryWatch:
    return MemoryWatch(memory.used_share, settings.memory_share, store.backpressure, stock_metrics.show_memory)


def now_ms() -> int:
    """This server's clock."""
    return time.time_ns() // 1_000_000


def token_revocations(settings: Settings, instruments: Instruments, ledger: LedgerPool) -> TokenRevocations:
    """The revocations of tokens, which use Redis by connections of their own."""
    revocation_metrics = metrics.RevocationMetrics(instruments.registry)
    stream = RedisRevocations(connections_to(settings.redis_url, size=2))
    bulkhead = Bulkhead(FOR_REVOCATIONS, limit_s=LEDGER_S)
    known = Revocations()
    revocation_metrics.show_known(lambda: len(known))
    return TokenRevocations(known, LedgerRevocations(ledger), stream, bulkhead, revocation_metrics, now_ms)


def _sale_audits(settings: Settings, ledger: LedgerPool, connections: MakePool) -> SaleAudits:
    """The audits of sales, which read Redis by a connection of their own."""
    redis = RedisSaleReader(connections(1))
    return SaleAudits(redis, PostgresSaleSnapshots(ledger), settings.shards)


def _lists(settings: Settings, ledger: LedgerPool, connections: MakePool) -> Lists:
    """The lists, which ask shards by connections of their own."""
    shards = RedisShards(connections(2))
    moments = ShardMoments(shards, settings.shards)
    return Lists(PostgresLists(ledger), moments, Bulkhead(FOR_LISTS), settings.shards, now_ms)


def _watches(
    settings: Settings, scripts: RedisScripts, stock: ArchiveFallback, watch_metrics: metrics.WatchMetrics
) -> Watches:
    """The watches, which read Redis by connections of their own."""
    watches = Watches(
        RedisStock(scripts, settings.shards, settings.outbox_limit),
        stock,
        lambda sale: shard_of(sale, settings.shards),
        WatchMessages(),
        watch_metrics.count_messages,
    )
    watch_metrics.show_open(lambda: watches.open)
    return watches


def lost_commits_watch(settings: Settings, instruments: Instruments, ledger: LedgerPool) -> LostCommitsWatch:
    """The watch for commits that a take-over did not find; it connects to Redis when an epoch changes."""
    shards = RedisShards(connections_to(settings.redis_url, size=1))
    counter = metrics.LostCommitMetrics(instruments.registry, settings.shards)
    return LostCommitsWatch(shards, LedgerShards(ledger), counter.count, log)


COMMAND = Command(
    name="serve",
    purpose="serve calls",
    dependencies=(waiting_redis_dependency, postgres_dependency),
    settings=(
        *(*REDIS, *REPLICA_WAIT, *POSTGRES, *KAFKA, "kafka_session_timeout_s", "shards", "listen", "share_port"),
        *("workers", "listeners", *TLS_FILES, "metrics_listen", "rate_per_s", "rate_burst"),
        *("queue_limit", "outbox_limit", "memory_share", "max_clock_ahead_s", "redis_failover_s", "drain_s"),
        *(*TOKENS, "insecure", "start_wait_s", *LOGGING),
    ),
    run=serve,
    kind=Settings,
)
