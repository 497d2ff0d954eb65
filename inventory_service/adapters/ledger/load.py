"""Reads a shard from the ledger, to load its Redis: sales, holds, what is final lately, refused orders, buyers' units.

One transaction reads all of it, so that every value is of one moment, also if the ledger changes meanwhile. It locks
nothing: the shard is fenced, and the other shards go on.
"""

import struct
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from holdfast_runtime.postgres import Connection, transaction
from inventory_service.adapters.ledger.archive import adjustment_from_row
from inventory_service.adapters.ledger.pool import LedgerPool
from inventory_service.adapters.ledger.queries import Queries, ledger_queries
from inventory_service.domain.keys import SaleKey
from inventory_service.domain.load_ports import LedgerMoved, RecordOfSale
from inventory_service.domain.shard_load import (
    CannotLoad,
    HoldRow,
    LoadedAdjustment,
    LoadedBuyer,
    LoadedItem,
    LoadSize,
    StoredSettings,
    final_records,
    record_at,
    record_from_hold,
)
from inventory_service.domain.shards import CommitId, Fenced, LedgerRow
from inventory_service.domain.units import name_of_limited
from inventory_service.server_checks.postgres import SCHEMA

STATEMENT_TIMEOUT_S = 600.0
ROWS_PER_PAGE = 5000
COMMITS_PER_PAGE = 256  # some MiB
_COMMIT_HEAD = struct.Struct("<BQ")  # the tag of `time_ms`, which stands first in a CommitBody, and its value


class PostgresLoadSource:
    """Opens snapshots; the pool needs one connection for each load at the same time."""

    def __init__(self, ledger: LedgerPool) -> None:
        self._ledger = ledger
        self._sql = ledger_queries()

    @asynccontextmanager
    async def snapshot(self, fenced: Fenced) -> AsyncIterator["PostgresLoadSnapshot"]:
        """One read-only transaction; `LedgerMoved` unless the shard's row is as the fence left it."""
        async with self._reading() as db:
            yield PostgresLoadSnapshot(db, self._sql, fenced.row, await self._checked_time(db, fenced.row))

    async def size(self, shard: int, retention_ms: int) -> LoadSize:
        """How much a load brings, about; the shard need not be fenced."""
        async with self._reading() as db:
            row = await db.fetchrow(self._sql.load_size, shard, retention_ms, timeout=STATEMENT_TIMEOUT_S)
        assert row is not None, "sums of no rows are a row"
        return LoadSize(row["reservations"], row["buyers"])

    async def count_buyers(self, shard: int) -> int:
        """How many buyers with units a load brings; to count them takes three times as long as `size`."""
        async with self._reading() as db:
            return int(await db.fetchval(self._sql.count_buyers, shard, timeout=STATEMENT_TIMEOUT_S))

    async def check(self, fenced: Fenced) -> None:
        """`LedgerMoved` unless the shard's row is still as the fence left it."""
        async with self._ledger.connection() as db:
            await self._checked_time(db, fenced.row)

    @asynccontextmanager
    async def _reading(self) -> AsyncIterator[Connection]:
        async with (
            self._ledger.connection() as db,
            transaction(db, isolation="repeatable_read", readonly=True),
        ):
            await db.execute(self._sql.plan_for_load)
            await self._check_version(db)
            yield db

    async def _check_version(self, db: Connection) -> None:
        """`CannotLoad` if the tables may have more than this version knows: it would serve the shard without that."""
        version = await db.fetchval(self._sql.latest_migration)
        if version > SCHEMA:
            knows = f"the ledger's tables are of version {version}, and this Holdfast knows {SCHEMA}"
            raise CannotLoad(f"{knows}: load the shard with the newer one")

    async def _checked_time(self, db: Connection, expected: LedgerRow) -> int:
        row = await db.fetchrow(self._sql.load_base, expected.shard)
        if row is None or (row["epoch"], row["seq"], row["hash"]) != (*expected.commit_id, expected.hash):
            raise LedgerMoved(f"the ledger's row is not at commit {expected.commit_id} any more")
        return int(row["time_ms"])


class PostgresLoadSnapshot:
    """A shard in the ledger, as its fence left it."""

    def __init__(self, db: Any, sql: Queries, row: LedgerRow, time_ms: int) -> None:
        self._db = db
        self._sql = sql
        self._shard = row.shard
        self._settled = CommitId(row.settled_epoch, row.settled_seq)
        self.time_ms = time_ms

    async def final_records(self, cutoff_ms: int) -> AsyncGenerator[Sequence[RecordOfSale], None]:
        after = await self._last_to_leave_out(cutoff_ms)
        while rows := await self._db.fetch(self._sql.journal_after, self._shard, *after, COMMITS_PER_PAGE):
            found: list[RecordOfSale] = []
            for row in rows:
                after = CommitId(row["epoch"], row["seq"])
                found.extend(final_records(row["payload"], after))
            yield found

    async def sales(self) -> Sequence[tuple[SaleKey, StoredSettings]]:
        rows = await self._db.fetch(self._sql.loaded_sales, self._shard, timeout=STATEMENT_TIMEOUT_S)
        return [(SaleKey(tenant, sale_id), StoredSettings(*settings)) for tenant, sale_id, *settings in rows]

    async def items(self, sales: Sequence[SaleKey]) -> Sequence[tuple[SaleKey, LoadedItem]]:
        rows = await self._db.fetch(self._sql.loaded_items, *_columns(sales), timeout=STATEMENT_TIMEOUT_S)
        return [(SaleKey(tenant, sale_id), LoadedItem(*item)) for tenant, sale_id, *item in rows]

    async def holds(self, sales: Sequence[SaleKey]) -> AsyncGenerator[Sequence[RecordOfSale], None]:
        async for rows in self._pages(self._sql.loaded_holds, ROWS_PER_PAGE, *_columns(sales)):
            yield [(SaleKey(row[0], row[1]), record_from_hold(HoldRow(*row))) for row in rows]

    async def refused(self) -> AsyncGenerator[Sequence[RecordOfSale], None]:
        async for rows in self._pages(self._sql.loaded_refusals, COMMITS_PER_PAGE, self._shard):
            yield [
                record_at(payload, CommitId(epoch, seq), index)
                for epoch, seq, indexes, payload in rows
                for index in indexes
            ]

    async def buyers(self, sales: Sequence[SaleKey]) -> AsyncGenerator[Sequence[tuple[SaleKey, LoadedBuyer]], None]:
        async for rows in self._pages(self._sql.loaded_buyers, ROWS_PER_PAGE, *_columns(sales)):
            yield [(SaleKey(tenant, sale_id), LoadedBuyer(*units)) for tenant, sale_id, *units in rows]

    async def buyers_of_items(
        self, sales: Sequence[SaleKey]
    ) -> AsyncGenerator[Sequence[tuple[SaleKey, LoadedBuyer]], None]:
        async for rows in self._pages(self._sql.loaded_buyers_of_items, ROWS_PER_PAGE, *_columns(sales)):
            yield [
                (SaleKey(tenant, sale_id), LoadedBuyer(name_of_limited(buyer, sku), *units))
                for tenant, sale_id, buyer, sku, *units in rows
            ]

    async def adjustments(
        self, sales: Sequence[SaleKey]
    ) -> AsyncGenerator[Sequence[tuple[SaleKey, LoadedAdjustment]], None]:
        async for rows in self._pages(self._sql.loaded_adjustments, ROWS_PER_PAGE, *_columns(sales)):
            yield [_loaded_adjustment(row) for row in rows]

    async def _pages(self, statement: str, size: int, *values: object) -> AsyncGenerator[Sequence[Any], None]:
        cursor = await self._db.cursor(statement, *values, timeout=STATEMENT_TIMEOUT_S)
        while rows := await cursor.fetch(size, timeout=STATEMENT_TIMEOUT_S):
            yield rows

    async def _last_to_leave_out(self, cutoff_ms: int) -> CommitId:
        """The last commit made before the cutoff that is settled; the times of a shard's commits never go back."""
        return min(await self._last_before(cutoff_ms), self._settled)

    async def _last_before(self, cutoff_ms: int) -> CommitId:
        for epoch in await self._epochs():
            if await self._time_of(CommitId(epoch.epoch, 1)) <= cutoff_ms:
                return CommitId(epoch.epoch, await self._bisect(epoch, cutoff_ms))
        return CommitId(0, 0)

    async def _bisect(self, epoch: "_Epoch", cutoff_ms: int) -> int:
        """The last commit of an epoch that was made before the cutoff; its first one was."""
        before, after = 1, epoch.last_seq + 1
        while after - before > 1:
            middle = (before + after) // 2
            if await self._time_of(CommitId(epoch.epoch, middle)) <= cutoff_ms:
                before = middle
            else:
                after = middle
        return before

    async def _epochs(self) -> Sequence["_Epoch"]:
        return [_Epoch(*row) for row in await self._db.fetch(self._sql.journal_epochs, self._shard)]

    async def _time_of(self, commit: CommitId) -> int:
        return _time_from(await self._db.fetchval(self._sql.commit_head, self._shard, *commit))


def _loaded_adjustment(row: Any) -> tuple[SaleKey, LoadedAdjustment]:
    made, body = adjustment_from_row(row)
    at = made.position
    told = (made.delta, made.total_after, made.reason, made.actor, made.create_time_ms)
    return made.sale, LoadedAdjustment(made.adjustment_id, body, *told, at.epoch, at.seq, at.index)


class _Epoch(NamedTuple):
    epoch: int
    last_seq: int  # from 1, without a gap


def _time_from(head: bytes) -> int:
    """The time of a commit in ms, from the first bytes of its payload."""
    tag, time_ms = _COMMIT_HEAD.unpack(head)
    assert tag == 0x09, f"a commit does not begin with its time: {head!r}"
    return int(time_ms)


def _columns(sales: Sequence[SaleKey]) -> tuple[list[str], list[str]]:
    return [sale.tenant for sale in sales], [sale.sale_id for sale in sales]
