"""The processes of a shard on real servers, for the tests of relay, take-over, compensator and audit."""

import asyncio
import itertools
import shutil
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from holdfast.inventory.v1.commit_pb2 import CommitBody, Event, SaleMade
from holdfast.inventory.v1.sale_pb2 import Sale
from holdfast_embedded.valkey import Valkey
from prometheus_client import CollectorRegistry

from holdfast_runtime.kafka import COMMITS
from holdfast_runtime.retry import Outage, Outages, Retrier
from inventory_service.adapters.kafka.commit_offsets import KafkaCommitOffsets
from inventory_service.adapters.kafka.commits import KafkaCommits
from inventory_service.adapters.kafka.progress import KafkaProgress
from inventory_service.adapters.ledger.buyers import LedgerBuyers
from inventory_service.adapters.ledger.load import PostgresLoadSnapshot, PostgresLoadSource
from inventory_service.adapters.ledger.orphans import LedgerOrphans
from inventory_service.adapters.ledger.pool import LedgerPool
from inventory_service.adapters.ledger.shards import LedgerShards
from inventory_service.adapters.ledger.snapshots import PostgresSnapshots
from inventory_service.adapters.redis.blocked_buyers import RedisBlockedCopies
from inventory_service.adapters.redis.connections import RedisConnections, Renewal
from inventory_service.adapters.redis.keys import shard_keys
from inventory_service.adapters.redis.load import RedisLoadTarget
from inventory_service.adapters.redis.memory import RedisMemory
from inventory_service.adapters.redis.outbox import RedisOutbox
from inventory_service.adapters.redis.scripts import RedisScripts, clock_ms, with_library
from inventory_service.adapters.redis.shards import RedisShards
from inventory_service.adapters.redis.snapshots import RedisSaleReader
from inventory_service.domain.backlog import Backlog
from inventory_service.domain.heads import ObservedHeads
from inventory_service.domain.keys import SaleKey
from inventory_service.domain.ports import ExpireStep, HoldCounts
from inventory_service.domain.shard_load import LoadedSale
from inventory_service.domain.shards import (
    BegunTakeover,
    Commit,
    CommitId,
    Fenced,
    LedgerRow,
    RedisUnavailable,
    ServerUnavailable,
    ShardStatus,
)
from inventory_service.service import audit, init
from inventory_service.service.relay import relay
from inventory_service.service.relay.catch_up import CatchUp
from inventory_service.service.relay.loader import LoadProgress, ShardLoader
from inventory_service.service.relay.takeover import ShardTakeover
from tests.integration.persister_double import PersisterDouble
from tests.records import commits_from_record
from tests.servers import connected
from tests.shared_kafka import Kafka
from tests.waiting import eventually

SHARDS = 2
COMMIT = """#!lua
--[[ makes a commit of one event
Uses   clock shard record event commit ]]
local shard, not_serving = open_shard()
if not_serving then return not_serving end
add_event(shard, ARGV[3])
commit(shard)
return {shard.epoch, shard.seq}
"""


class NoStock:
    """A stock without holds: the relay's maintenance is tested elsewhere."""

    async def expire(self, shard: int) -> ExpireStep:
        return ExpireStep(0, more_is_due=False)

    async def list_sales(self, shard: int) -> list[SaleKey]:
        return []

    async def count_holds(self, shard: int) -> HoldCounts:
        return HoldCounts(0, 0)


class RecordedOutages(Outages):
    """Records the servers that were unavailable, one name an attempt."""

    def __init__(self) -> None:
        super().__init__(CollectorRegistry())
        self.servers: list[str] = []

    def begin(self, outage: Outage, server: str, why: str) -> None:
        self.servers.append(server)
        super().begin(outage, server, why)


@dataclass
class Gauges:
    """Records the last backlog of each shard, and how often one was set."""

    shown: dict[int, Backlog] = field(default_factory=dict)
    times: int = 0

    def show(self, shard: int, backlog: Backlog) -> None:
        self.shown[shard] = backlog
        self.times += 1

    def show_holds(self, shard: int, holds: HoldCounts) -> None:
        pass


class SlowLoadSource(PostgresLoadSource):
    """Reads sales only once a test lets it."""

    def __init__(self, ledger: LedgerPool, may_read: asyncio.Event) -> None:
        super().__init__(ledger)
        self._may_read = may_read

    @asynccontextmanager
    async def snapshot(self, fenced: Fenced) -> AsyncIterator[PostgresLoadSnapshot]:
        async with super().snapshot(fenced) as snapshot:
            read = snapshot.sales

            async def sales(cutoff_ms: int, also: Sequence[SaleKey]) -> Sequence[LoadedSale]:
                await self._may_read.wait()
                return await read(cutoff_ms, also)

            snapshot.sales = sales  # type: ignore[method-assign]
            yield snapshot


class ShardProcesses:
    """Adapters to the three servers, and the processes as tasks."""

    def __init__(self, redis_url: str, dsn: str, kafka: Kafka) -> None:
        self.redis_url = redis_url
        self.dsn = dsn
        self.may_read = asyncio.Event()  # the ledger, to load from it
        self.may_read.set()
        self.kafka = kafka
        self.gauges = Gauges()
        outages = RecordedOutages()
        self.waited_for = outages.servers
        self.retrier = Retrier(outages, ServerUnavailable)
        renewal, heads = Renewal(), ObservedHeads()
        self.connections = RedisConnections(redis_url, renewal=renewal)
        self.shards = RedisShards(self.connections, heads)
        self.outbox = RedisOutbox(RedisConnections(redis_url, renewal=renewal))
        self.scripts = RedisScripts(self.connections, heads)
        self.postgres = LedgerPool(dsn)
        self.ledger = LedgerShards(self.postgres)
        self.commit_offsets = KafkaCommitOffsets(kafka.config)
        self.persister = PersisterDouble(kafka, dsn, SHARDS)
        self.progress: list[LoadProgress] = []
        self.epoch = 0  # in which `open` opened shard 0
        self._tokens = itertools.count(1)
        self._names = itertools.count(1)

    def takeover(self) -> ShardTakeover:
        """A take-over with tokens of its own, as in another process."""
        return ShardTakeover(
            SHARDS,
            self.shards,
            self.outbox,
            self.ledger,
            self.commit_offsets,
            self.loader(),
            LedgerOrphans(self.postgres),
            lambda: f"t{next(self._tokens)}",
        )

    def loader(self) -> ShardLoader:
        """A loader that keeps what has ended for a day."""
        return ShardLoader(
            SlowLoadSource(self.postgres, self.may_read),
            self.load_target(),
            self.shards,
            RedisMemory(self.connections),
            86_400_000,
            self.progress.append,
        )

    def load_target(self) -> RedisLoadTarget:
        """What a loader writes to."""
        return RedisLoadTarget(self.connections, self.scripts)

    def audit(self) -> audit.Dependencies:
        """An audit of these servers."""
        sales, ledger = RedisSaleReader(self.connections), PostgresSnapshots(self.postgres)
        return audit.Dependencies(self.shards, self.ledger, sales, ledger, 86_400_000, print, print)

    async def open(self) -> None:
        assert await init_code(self) == 0
        self.epoch = (await self.shards.status(0)).epoch

    async def commit(self, shard: int = 0, count: int = 1) -> CommitId:
        """Make commits, one sale each, as a script of the service would."""
        made, text = CommitId(0, 0), with_library(COMMIT)
        for _ in range(count):
            made = CommitId(*await self._run(text, shard, self._event()))
        return made

    async def _run(self, text: str, shard: int, event: bytes) -> list[int]:
        async with self.connections.acquire() as connection:
            keys = shard_keys(shard)
            reply = await connection.execute("EVAL", text, 3, *keys, "0-0", clock_ms() + 5000, event)
        assert isinstance(reply, list)
        assert reply[0] != b"SHARD", reply
        return reply

    def _event(self) -> bytes:
        """An event behind its tag in CommitBody, as the scripts keep them."""
        sale = SaleMade(tenant="default", sale=Sale(sale_id=f"sale-{next(self._names)}"))
        return CommitBody(events=[Event(sale_made=sale)]).SerializeToString()

    def connected(self) -> "AbstractAsyncContextManager[asyncpg.Connection[asyncpg.Record]]":
        """A connection of the test's own to the ledger."""
        return connected(self.dsn)

    async def status(self, shard: int = 0) -> ShardStatus:
        return await self.shards.status(shard)

    async def serves(self, shard: int = 0) -> bool:
        """The shard serves."""
        return (await self.shards.status(shard)).serving

    async def is_drained(self, shard: int = 0) -> bool:
        """The ledger holds the head, and the outbox is empty."""
        status, row = await self.shards.status(shard), await self.ledger.row(shard)
        return row is not None and (row.commit_id, row.hash, status.outbox_length) == (status.head, status.hash, 0)

    @asynccontextmanager
    async def relaying(
        self, name: str = "", gauges: Gauges | None = None, **options: Any
    ) -> AsyncIterator[relay.Dependencies]:
        """A running relay. Where there are several, each has a name and gauges of its own."""
        commits = KafkaCommits(self.kafka.config)
        dependencies = relay.Dependencies(
            self.outbox,
            self.shards,
            commits,
            KafkaProgress(self.kafka.config, SHARDS),
            self.ledger,
            self.commit_offsets,
            NoStock(),  # type: ignore[arg-type]
            LedgerBuyers(self.postgres),
            RedisBlockedCopies(self.scripts),
            self.takeover(),
            self.audit(),
            gauges or self.gauges,
            structlog.get_logger(),
            time.monotonic,
            time.time,
            self.retrier,
        )
        chosen = {"window_bytes": 100_000, "stall_timeout_s": 0.5, "takeover_timeout_s": 0.3, **options}
        named = relay.Options(name or f"relay-{next(self._names)}", SHARDS, **chosen)
        async with running(lambda: relay.run(dependencies, named)):
            yield dependencies
        await commits.close()

    @asynccontextmanager
    async def at_work(self, **options: Any) -> AsyncIterator[PersisterDouble]:
        """A running relay and persister."""
        async with self.persister.running(), self.relaying(**options):
            yield self.persister

    async def close(self) -> None:
        await self.commit_offsets.close()
        await self.postgres.close()
        await self.connections.close()


@asynccontextmanager
async def running(run: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
    """A process as a task: it must still run at the end, when it is cancelled."""
    async with AsyncExitStack() as stack:
        task = asyncio.ensure_future(run())
        stack.callback(task.cancel)
        yield
        assert not task.done(), task.exception()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def serves_anew(processes: ShardProcesses) -> bool:
    """The shard was taken over."""
    status = await processes.status()
    return status.serving and status.epoch > processes.epoch


async def journal_of(processes: ShardProcesses) -> list[tuple[int, int]]:
    """The commits that the ledger holds."""
    async with connected(processes.dsn) as db:
        return [tuple(row) for row in await db.fetch("select epoch, seq from journal where shard = 0 order by 1, 2")]


async def sent_to_kafka(processes: ShardProcesses) -> list[Commit]:
    """Every commit of shard 0 that Kafka holds."""
    kafka = processes.kafka
    consumer, partition = AIOKafkaConsumer(bootstrap_servers=kafka.address), TopicPartition(kafka.named(COMMITS), 0)
    await consumer.start()
    consumer.assign([partition])
    await consumer.seek_to_beginning(partition)
    commits: list[Commit] = []
    end = (await processes.commit_offsets.offsets(0)).end
    while await consumer.position(partition) < end:
        commits += commits_from_record((await consumer.getone()).value)[1]
    await consumer.stop()
    return commits


async def init_code(processes: ShardProcesses, shards: int = SHARDS, beside_old_records: bool = False) -> int:
    parts = processes.shards, processes.ledger, processes.commit_offsets, processes.takeover(), structlog.get_logger()
    return await init.run(shards, *parts, beside_old_records=beside_old_records)


async def first_steps(takeover: ShardTakeover, count: int) -> tuple[LedgerRow, BegunTakeover]:
    """The first steps of a take-over of shard 0, as before a crash."""
    row = await takeover.read_row(0)
    begun = BegunTakeover(0, "", "", 0, 0, "")
    if count >= 2:
        answer = await takeover.begin(0, row)
        assert isinstance(answer, BegunTakeover)
        begun = answer
    if count >= 3:
        caught_up, read = await takeover.catch_up(begun)
        assert caught_up is CatchUp.DONE
        row = read or row
    if count >= 4:
        assert await takeover.fence(begun, row)
    return row, begun


async def crash(processes: ShardProcesses, server: Valkey) -> None:
    """Kill and restart Redis; returns when a connection to the new process answers."""
    server.kill()
    server.start()
    await eventually(lambda: answers(processes))


async def restart_from_copy(processes: ShardProcesses, server: Valkey, copy: Path) -> None:
    """Restart Redis from an older copy of its files."""
    server.kill()
    shutil.rmtree(server.data_dir)
    shutil.copytree(copy, server.data_dir)
    server.start()
    await eventually(lambda: answers(processes))


async def answers(processes: ShardProcesses) -> bool:
    """Redis answers on every connection that was left idle."""
    try:
        await asyncio.gather(*(processes.status() for _ in range(8)))
    except RedisUnavailable:
        return False
    return True
