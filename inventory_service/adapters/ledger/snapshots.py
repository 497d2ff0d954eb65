"""Reads consistent snapshots of a shard in the ledger, for the audit and the drift watch."""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from holdfast.inventory.v1.reservation_pb2 import ReservationState

from holdfast_runtime.postgres import Connection, transaction
from inventory_service.adapters.ledger.pool import LedgerPool
from inventory_service.adapters.ledger.queries import Queries, ledger_queries
from inventory_service.domain.keys import Position, SaleKey
from inventory_service.domain.reconciliation import Balances, ItemInLedger, RefusedOrder, ReservationSnapshot
from inventory_service.domain.reservation import Units
from inventory_service.domain.shards import Commit, CommitId, LedgerRow

COMMITS_PER_FETCH = 500
SUMS_TIMEOUT_S = 600.0  # of every entry and line of a sale, of which there may be tens of millions


@asynccontextmanager
async def reading(ledger: LedgerPool, shard: int) -> AsyncIterator[tuple[Connection, LedgerRow | None]]:
    """One read-only transaction, in which every statement sees the ledger at the same moment, and the shard's row."""
    async with ledger.connection() as db, transaction(db, isolation="repeatable_read", readonly=True):
        row = await db.fetchrow(ledger_queries().shard_row, shard)
        yield db, LedgerRow(**row) if row else None


class PostgresSnapshots:
    """Opens snapshots of the ledger."""

    def __init__(self, ledger: LedgerPool) -> None:
        self._ledger = ledger
        self._sql = ledger_queries()

    @asynccontextmanager
    async def snapshot(self, shard: int) -> AsyncIterator["PostgresSnapshot"]:
        """One read-only transaction, in which every statement sees the ledger at the same moment."""
        async with reading(self._ledger, shard) as (db, row):
            yield PostgresSnapshot(db, self._sql, shard, row.commit_id if row else None, row.hash if row else "")


class PostgresSnapshot:
    """A shard in the ledger as of `commit_id` (None: the shard has no row) and `hash`."""

    def __init__(self, db: Any, sql: Queries, shard: int, commit_id: CommitId | None, hash: str) -> None:
        self._db = db
        self._sql = sql
        self._shard = shard
        self.commit_id = commit_id
        self.hash = hash

    async def sales(self) -> Sequence[SaleKey]:
        return [SaleKey(*row) for row in await self._db.fetch(self._sql.sales_of_shard, self._shard)]

    async def has_left(self, sale: SaleKey) -> bool:
        """Whether the sale has left Redis."""
        return bool(await self._db.fetchval(self._sql.sale_has_left, *sale))

    async def items(self, sale: SaleKey) -> Sequence[ItemInLedger]:
        await self._db.execute(self._sql.avoid_nested_loops)
        rows = await self._db.fetch(self._sql.item_sums, *sale, timeout=SUMS_TIMEOUT_S)
        return [ItemInLedger(**{**row, "entries": json.loads(row["entries"] or "{}")}) for row in rows]

    async def balances(self, sales: Sequence[SaleKey]) -> Mapping[SaleKey, Sequence[Balances]]:
        """The items of these sales, without the sums of their entries and lines, which take far longer to compute."""
        rows = await self._db.fetch(
            self._sql.item_balances, [sale.tenant for sale in sales], [sale.sale_id for sale in sales]
        )
        found: dict[SaleKey, list[Balances]] = {}
        for tenant, sale_id, *balances in rows:
            found.setdefault(SaleKey(tenant, sale_id), []).append(Balances(*balances))
        return found

    async def reservations(self, sale: SaleKey, ids: Sequence[str]) -> Mapping[str, ReservationSnapshot]:
        rows = await self._db.fetch(self._sql.reservations, *sale, ids)
        return {row["reservation_id"]: _reservation(row) for row in rows}

    async def dead_letters(self, sale: SaleKey, ids: Sequence[str]) -> Sequence[RefusedOrder]:
        return [_refused_order(row) for row in await self._db.fetch(self._sql.dead_letters, *sale, ids)]

    async def holds(self, sale: SaleKey) -> int:
        """Counts holds that the ledger recorded."""
        return int(await self._db.fetchval(self._sql.count_holds, *sale, timeout=SUMS_TIMEOUT_S))

    async def commits(self) -> AsyncIterator[Commit]:
        """The shard's journal, in order."""
        after = CommitId(0, 0)
        while rows := await self._db.fetch(self._sql.journal_after, self._shard, *after, COMMITS_PER_FETCH):
            for row in rows:
                yield Commit(row["epoch"], row["seq"], row["payload"], row["hash"])
            after = CommitId(rows[-1]["epoch"], rows[-1]["seq"])


def _reservation(row: Mapping[str, Any]) -> ReservationSnapshot:
    return ReservationSnapshot(
        row["reservation_id"],
        ReservationState.Value(f"RESERVATION_STATE_{row['state']}"),
        row["revision"],
        row["expire_ms"],
        row["expire_ms"] if row["state"] == "HELD" else 0,
        Position(row["shard"], row["created_epoch"], row["created_seq"], row["created_index"]),
        Position(row["shard"], row["epoch"], row["seq"], row["index"]),
        row["buyer_id"],
        tuple(sorted(Units(*line) for line in json.loads(row["lines"] or "[]"))),
    )


def _refused_order(row: Mapping[str, Any]) -> RefusedOrder:
    return RefusedOrder(
        _reservation(row),
        CommitId(row["refused_epoch"], row["refused_seq"]),
        is_open=row["is_open"],
        is_id_reused=row["reason"] == "ID_REUSED",
    )
