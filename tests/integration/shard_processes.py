"""The processes of a shard on real servers, for the tests of relay, take-over, compensator and audit."""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import asyncpg
import structlog
from holdfast.inventory.v1.commit_pb2 import CommitBody, Event, SaleMade
from holdfast.inventory.v1.sale_pb2 import Sale

from holdfast_runtime.retry import Retrier
from inventory_service.adapters.kafka.commit_offsets import KafkaCommitOffsets
from inventory_service.adapters.kafka.commits import KafkaCommits
from inventory_service.adapters.kafka.progress import KafkaProgress
from inventory_service.adapters.ledger.buyers import LedgerBuyers
from inventory_service.adapters.ledger.orphans import LedgerOrphans
from inventory_service.adapters.ledger.pool import LedgerPool
from inventory_service.adapters.ledger.shards import LedgerShards
from inventory_service.adapters.ledger.snapshots import PostgresSnapshots
from inventory_service.adapters.redis.blocked_buyers import RedisBlockedCopies
from inventory_service.adapters.redis.connections import Renewal
from inventory_service.adapters.redis.connectors import connections_to
from inventory_service.adapters.redis.keys import shard_keys
from inventory_service.adapters.redis.load import RedisLoadTarget
from inventory_service.adapters.redis.memory import RedisMemory
from inventory_service.adapters.redis.outbox import RedisOutbox
from inventory_service.adapters.redis.scripts import RedisScripts, clock_ms, with_library
from inventory_service.adapters.redis.shards import RedisShards
from inventory_service.adapters.redis.snapshots import RedisSaleReader
from inventory_service.domain.heads import ObservedHeads
from inventory_service.domain.shards import (
    CommitId,
    ServerUnavailable,
    ShardStatus,
)
from inventory_service.service import audit, init
from inventory_service.service.relay import relay
from inventory_service.service.relay.load_progress import LoadProgress
from inventory_service.service.relay.loader import LoaderPorts, ShardLoader
from inventory_service.service.relay.takeover import ShardTakeover
from tests.integration.persister_double import PersisterDouble
from tests.integration.relay_doubles import Gauges, NoStock, RecordedOutages, SlowLoadSource
from tests.integration.running import running
from tests.servers import connected
from tests.shared_kafka import Kafka

SHARDS = 2
LATEST_MS = 60_000  # by which Redis' clock may be later than a call's: as long as the call may take to get there
COMMIT = """#!lua
--[[ makes a commit of one event
Uses   clock shard record event commit ]]
local shard, not_serving = open_shard()
if not_serving then return not_serving end
add_event(shard, ARGV[3])
commit(shard)
return {shard.epoch, shard.seq}
"""


class ShardProcesses:
    """Adapters to the three servers, and the processes as tasks."""

    def __init__(self, redis_url: str, dsn: str, kafka: Kafka) -> None:
        self.redis_url = redis_url
        self.dsn = dsn
        self.may_count, self.may_read = asyncio.Event(), asyncio.Event()  # what is in the ledger, to load from it
        self.may_count.set()
        self.may_read.set()
        self.kafka = kafka
        self.gauges = Gauges()
        outages = RecordedOutages()
        self.waited_for = outages.servers
        self.retrier = Retrier(outages, ServerUnavailable)
        renewal, heads = Renewal(), ObservedHeads()
        self.connections = connections_to(redis_url, renewal=renewal)
        self.shards = RedisShards(self.connections, heads)
        self.outbox = RedisOutbox(connections_to(redis_url, renewal=renewal))
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
        memory, source = RedisMemory(self.connections), SlowLoadSource(self.postgres, self.may_count, self.may_read)
        ports = LoaderPorts(source, self.load_target(), self.shards, memory, 86_400_000, self.progress.append)
        return ShardLoader(ports)

    def load_target(self) -> RedisLoadTarget:
        """What a loader writes to."""
        return RedisLoadTarget(self.scripts)

    def audit(self) -> audit.Dependencies:
        """An audit of these servers."""
        sales, ledger = RedisSaleReader(self.connections), PostgresSnapshots(self.postgres)
        return audit.Dependencies(self.shards, self.ledger, sales, ledger, print, print)

    async def open(self) -> None:
        assert await self.init_code() == 0
        self.epoch = (await self.shards.status(0)).epoch

    async def init_code(self, shards: int = SHARDS, beside_old_records: bool = False) -> int:
        """The exit code of `holdfast init`."""
        parts = self.shards, self.ledger, self.commit_offsets, self.takeover(), structlog.get_logger()
        return await init.run(shards, *parts, beside_old_records=beside_old_records)

    async def commit(self, shard: int = 0, count: int = 1) -> CommitId:
        """Make commits, one sale each, as a script of the service would."""
        made, text = CommitId(0, 0), with_library(COMMIT)
        for _ in range(count):
            made = CommitId(*await self._run(text, shard, self._event()))
        return made

    async def _run(self, text: str, shard: int, event: bytes) -> list[int]:
        async with self.connections.acquire() as connection:
            keys = shard_keys(shard)
            reply = await connection.execute("EVAL", text, 3, *keys, "0-0", clock_ms() + LATEST_MS, event)
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
        """Where a shard stands, without the moment of asking: equal statuses say that nothing has changed."""
        return (await self.shards.status(shard))._replace(now_ms=0)

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
