"""Shard 0 with a sale: the scripts on a real Redis, a relay, and the persister's own code on the ledger."""

from collections.abc import AsyncIterator, MutableMapping
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
from aiokafka import AIOKafkaProducer, ConsumerRecord
from structlog.testing import capture_logs

from inventory_service.adapters.kafka.commits import KafkaCommits
from inventory_service.adapters.redis.keys import sale_keys, shard_keys
from inventory_service.adapters.redis.stock import RedisStock
from inventory_service.domain.keys import SaleKey
from inventory_service.domain.moves import Move, MoveKind
from inventory_service.domain.reservation import Line
from inventory_service.domain.reserve import Reserve
from inventory_service.domain.restore import AUTOMATIC, Permission
from inventory_service.domain.results import Granted
from inventory_service.domain.sale import CreateSale, NewItem
from inventory_service.domain.shards import Commit, CommitId, hash_of
from inventory_service.service.audit import audit_shard
from order_persister.adapters.ledger.postgres import Database
from order_persister.domain.chain import KafkaRecord
from tests.integration.persister_double import PersisterDouble
from tests.integration.shard_processes import SHARDS, ShardProcesses
from tests.ledgers import ledger_in
from tests.sales import make_sale
from tests.shared_kafka import Kafka
from tests.waiting import eventually

SALE = SaleKey("default", "lamps-4")  # of shard 0
HOLD_MS = 600_000


class LedgerPersister(PersisterDouble):
    """Reads as the double does, and applies what it reads by the persister's own code."""

    def __init__(self, kafka: Kafka, dsn: str) -> None:
        super().__init__(kafka, dsn, SHARDS)
        self.database = Database(dsn)
        self._writer = ledger_in(self.database)

    async def _read(self, db: asyncpg.Connection, producer: AIOKafkaProducer, record: ConsumerRecord) -> None:
        [outcome] = await self._writer.apply([KafkaRecord(record.partition, record.offset, record.value)])
        await self._report(db, producer, record.partition, resend=outcome.resend_from_seq > 0)


class SellingShard:
    """Ten lamps, three of them held by `r-1` to `r-3`; the ledger has it all, and neither relay nor persister runs."""

    def __init__(self, url: str, dsn: str, kafka: Kafka) -> None:
        self.processes = ShardProcesses(url, dsn, kafka)
        self.persister = LedgerPersister(kafka, dsn)
        self.stock = RedisStock(self.processes.scripts, SHARDS, outbox_limit=1000)
        self.commits = KafkaCommits(kafka.config)
        self._logs: list[MutableMapping[str, Any]] = []

    async def open(self) -> None:
        """Sell and drain."""
        await self.processes.open()
        await make_sale(self.stock, CreateSale(SALE, "", None, None, HOLD_MS, HOLD_MS, 0, (NewItem("lamp", 10),)))
        await self.hold("r-1", "r-2", "r-3")
        async with self.at_work():
            await eventually(self.processes.is_drained)

    async def close(self) -> None:
        await self.commits.close()
        await self.persister.database.close()
        await self.processes.close()

    @asynccontextmanager
    async def at_work(self, permission: Permission = AUTOMATIC["behind"]) -> AsyncIterator[None]:
        """A relay, which has just started and loads what it may, and a persister."""
        own = self.processes
        anew = ShardProcesses(own.redis_url, own.dsn, own.kafka)
        anew.commit_offsets.offsets = own.commit_offsets.offsets  # type: ignore[method-assign]  # a test may alter them
        with capture_logs() as self._logs:
            async with self.persister.running(), anew.relaying(permission=permission, takeover_timeout_s=5.0):
                yield
        await anew.close()

    def logged(self, words: str) -> bool:
        """A relay has logged that the shard is frozen, or how a take-over ended, in these words."""
        of_shard = [entry for entry in self._logs if entry.get("shard") == 0]
        said = [str(entry["state"]) for entry in of_shard if entry["event"] == "shard_state"]
        said += [str(entry["detail"]) for entry in of_shard if entry["event"] == "takeover"]
        assert any(words in each for each in said), said
        return True

    async def orphans(self) -> int:
        """How many changes are listed that the ledger never takes."""
        async with self.processes.connected() as db:
            return int(await db.fetchval("select count(*) from orphan"))

    async def hold(self, *names: str, lamps: int = 1) -> None:
        """Hold a lamp, or several, for each of these reservations."""
        for name in names:
            held = await self.stock.reserve(Reserve(SALE, name, f"buyer-of-{name}", (Line("lamp", lamps),), None))
            assert isinstance(held, Granted), held

    async def release(self, name: str) -> None:
        released = await self.stock.move(Move(SALE, name, MoveKind.RELEASE))
        assert isinstance(released, Granted), released

    async def outbox(self) -> list[Commit]:
        """What the relay has not trimmed."""
        return list(await self.processes.outbox.read_after(0, CommitId(0, 0), wait_ms=1))

    async def last_in_ledger(self) -> Commit:
        """The commit at which the ledger is."""
        async with self.processes.connected() as db:
            row = await db.fetchrow(
                "select epoch, seq, payload, hash from journal where shard = 0 order by 1 desc, 2 desc"
            )
        assert row is not None
        return Commit(*row)

    async def append(self, payload: bytes) -> None:
        """Append a commit of any bytes to the outbox, chained as the scripts do."""
        status = await self.processes.status()
        await self._write_head(CommitId(status.epoch, status.seq + 1), status.hash, payload)

    async def rewrite_head(self, payload: bytes) -> None:
        """Give the outbox's only commit other bytes, chained as the scripts do."""
        [commit] = await self.outbox()
        await self.redis("DEL", shard_keys(0).outbox)
        await self._write_head(commit.commit_id, (await self.last_in_ledger()).hash, payload)

    async def _write_head(self, head: CommitId, before: str, payload: bytes) -> None:
        hash = hash_of(before, payload)
        await self.redis("XADD", shard_keys(0).outbox, str(head), "p", payload, "h", hash)
        await self.redis("HSET", shard_keys(0).meta, "seq", head.seq, "hash", hash)

    async def drop_from_outbox(self, commit: Commit) -> None:
        await self.redis("XDEL", shard_keys(0).outbox, str(commit.commit_id))

    async def set_units(self, available: int) -> None:
        """Give the item in Redis other units."""
        await self.redis("HSET", sale_keys(0, SALE)[0], "item:lamp", f"{available} 3 0")

    async def redis(self, *command: str | bytes | int) -> None:
        async with self.processes.connections.acquire() as connection:
            await connection.execute(*command)

    async def sql(self, statement: str) -> None:
        async with self.processes.connected() as db:
            await db.execute(statement)

    async def differences(self) -> list[str]:
        """What the audit finds."""
        found = await audit_shard(self.processes.audit(), 0, deadline_s=60)
        assert not isinstance(found, str), found
        return [str(each) for each in found.differences]
