"""Reads one sale and its shard in the ledger, as of one moment, for AuditSale."""

from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

from holdfast_runtime.postgres import Connection, Row, transaction
from holdfast_runtime.queries import load_queries
from inventory_service.adapters.ledger.pool import LedgerPool
from inventory_service.adapters.ledger.queries import ledger_queries
from inventory_service.adapters.ledger.snapshots import SUMS_TIMEOUT_S, PostgresSnapshot
from inventory_service.domain.buyer_reconciliation import LedgerBuyer
from inventory_service.domain.keys import Position, SaleKey
from inventory_service.domain.ledger_reconciliation import OddLines
from inventory_service.domain.past_settings import settings_from_commit
from inventory_service.domain.reconciliation import ItemInLedger
from inventory_service.domain.sale_reconciliation import (
    ItemAtCommit,
    OrdersOfId,
    SaleRow,
    TakenUnits,
    orders_by_id,
)
from inventory_service.domain.shard_load import StoredSettings
from inventory_service.domain.shards import CommitId, LedgerRow
from inventory_service.domain.time_left import one_limit_s
from inventory_service.domain.units import name_of_limited

QUESTION_S = 5.0  # for a question about some reservations or buyers, or about one moment of a sale
SUMS_S = 60.0  # for a sum over all entries, lines or reservations of a sale: those of a million take one to two seconds


@dataclass(frozen=True, slots=True)
class SaleAuditQueries:
    """One field a statement of sale_audit.sql, in the order of the file, which describes each."""

    sale_row: str
    commit_payload: str
    items_at: str
    refused_units: str
    expected: str
    buyers: str
    owners: str
    limited_items: str
    odd_lines: str
    count_reservations: str


@cache
def sale_audit_queries() -> SaleAuditQueries:
    """Every statement of the file, which is read once."""
    return load_queries("inventory_service.adapters.ledger", SaleAuditQueries, "sale_audit.sql")


class PostgresSaleSnapshots:
    """Opens snapshots of the ledger."""

    def __init__(self, ledger: LedgerPool) -> None:
        self._ledger = ledger

    @asynccontextmanager
    async def snapshot(self, shard: int, sale: SaleKey) -> AsyncIterator["PostgresSaleSnapshot | None"]:
        """One read-only transaction, in which every statement sees the ledger at the same moment.

        None: the ledger has no row of the shard.
        """
        limit_s = one_limit_s(QUESTION_S)
        async with (
            self._ledger.connection(limit_s) as db,
            transaction(db, limit_s=limit_s, isolation="repeatable_read", readonly=True),
        ):
            questions = LimitedQuestions(db)
            row = await questions.fetchrow(ledger_queries().shard_row, shard)
            yield PostgresSaleSnapshot(questions, LedgerRow(**row), sale) if row is not None else None


class LimitedQuestions:
    """Asks a connection; each question has a limit of its own, so that a ledger that is silent is told."""

    def __init__(self, db: Connection) -> None:
        self._db = db

    async def execute(self, sql: str) -> str:
        return await self._db.execute(sql, timeout=one_limit_s(QUESTION_S))

    async def fetch(self, sql: str, *values: object, timeout: float | None = None) -> Sequence[Row]:  # noqa: ASYNC109  # asyncpg's name
        return await self._db.fetch(sql, *values, timeout=_limit_s(timeout))

    async def fetchrow(self, sql: str, *values: object) -> Row | None:
        return await self._db.fetchrow(sql, *values, timeout=one_limit_s(QUESTION_S))

    async def fetchval(self, sql: str, *values: object, timeout: float | None = None) -> Any:  # noqa: ASYNC109  # asyncpg's name
        return await self._db.fetchval(sql, *values, timeout=_limit_s(timeout))


def _limit_s(wanted_s: float | None) -> float:
    """Sums over a whole sale are slow because there is much to add up, however well the ledger answers."""
    return one_limit_s(QUESTION_S) if wanted_s is None else min(wanted_s, SUMS_S)


class PostgresSaleSnapshot:
    """A sale, and the row of its shard."""

    def __init__(self, db: LimitedQuestions, row: LedgerRow, sale: SaleKey) -> None:
        self._db = db
        self._sql = sale_audit_queries()
        self._sale = sale
        self.row = row
        self._shard = PostgresSnapshot(db, ledger_queries(), row.shard, row.commit_id, row.hash)

    async def has_commit(self, commit: CommitId, hash: str) -> bool:
        """Whether the ledger has applied this commit; of seq 0, whether an epoch began so."""
        found = await self._db.fetchval(ledger_queries().has_commit, self.row.shard, *commit, hash)
        return bool(found)

    async def sale(self) -> SaleRow | None:
        """The sale's settings; None if the ledger has no such sale."""
        row = await self._db.fetchrow(self._sql.sale_row, *self._sale)
        return SaleRow(StoredSettings._make(row[:-1]), row["has_left"]) if row is not None else None

    async def settings_at(self, place: Position, row: SaleRow) -> StoredSettings | None:
        """The settings of the sale `row` as the change at `place` left them; None: the ledger has no such change."""
        payload = await self._db.fetchval(self._sql.commit_payload, self.row.shard, place.epoch, place.seq)
        return settings_from_commit(payload, self._sale, place, row.settings) if payload is not None else None

    async def items_at(self, commit: CommitId) -> Sequence[ItemAtCommit]:
        """The items, with their balances after a commit that the ledger has applied."""
        rows = await self._db.fetch(self._sql.items_at, *self._sale, self.row.shard, *commit)
        return [ItemAtCommit(**row) for row in rows]

    async def refused_units(self, commit: CommitId) -> Mapping[str, TakenUnits] | None:
        """What refused orders held and owned after a commit, by SKU; None if some of them have changed since."""
        found: dict[str, TakenUnits] = defaultdict(TakenUnits)
        for row in await self._db.fetch(self._sql.refused_units, *self._sale, *commit):
            if row["is_later"]:
                return None
            if row["sku"] is not None:
                found[row["sku"]] += TakenUnits(row["held"], row["sold"])
        return found

    async def orders(self, ids: Sequence[str]) -> Mapping[str, OrdersOfId]:
        """Reservations and dead letters of these ids; an id of which there is nothing is left out."""
        reservations = await self._shard.reservations(self._sale, ids)
        dead_letters = await self._shard.dead_letters(self._sale, ids)
        return orders_by_id(reservations, dead_letters)

    async def expected(self, made_by: CommitId, archived: CommitId, after: str, limit: int) -> Sequence[str]:
        """The next ids above `after` of reservations that Redis must have unless they have ended since."""
        rows = await self._db.fetch(self._sql.expected, *self._sale, after, *made_by, *archived, limit)
        return [row["reservation_id"] for row in rows]

    async def buyers(self, buyer_ids: Sequence[str], after: CommitId) -> Mapping[str, LedgerBuyer]:
        """What these buyers have, and whether one of their orders has changed after a commit."""
        found: dict[str, LedgerBuyer] = {}
        for row in await self._db.fetch(self._sql.buyers, *self._sale, buyer_ids, *after):
            buyer = found.setdefault(row["buyer_id"], LedgerBuyer({}, set(), has_changed=False))
            buyer.by_sku[row["sku"]] = TakenUnits(row["held"], row["sold"])
            if row["is_limited"]:
                buyer.limited.add(row["sku"])
            if row["has_changed"]:
                found[row["buyer_id"]] = buyer._replace(has_changed=True)
        return found

    async def owners(self, made_by: CommitId, after: str, limit: int) -> tuple[str | None, Sequence[str]]:
        """The last id of the next reservations that hold or own something, and the names in Redis of their buyers.

        None: no more follow.
        """
        rows = await self._db.fetch(self._sql.owners, *self._sale, after, *made_by, limit)
        limited = {row["sku"] for row in await self._db.fetch(self._sql.limited_items, *self._sale)}
        names = {row["buyer_id"] for row in rows}
        for row in rows:
            names.update(name_of_limited(row["buyer_id"], sku) for sku in limited.intersection(row["skus"] or ()))
        return rows[-1]["reservation_id"] if len(rows) >= limit else None, sorted(names)

    async def item_sums(self) -> Sequence[ItemInLedger]:
        """The items, beside what all their entries, lines and open dead letters add up to."""
        return await self._shard.items(self._sale)

    async def odd_lines(self, limit: int, has_left: bool) -> Sequence[OddLines]:
        """Reservations whose lines cannot be those of their state, at most `limit`; a sale that has left holds none."""
        rows = await self._db.fetch(self._sql.odd_lines, *self._sale, limit, has_left, timeout=SUMS_TIMEOUT_S)
        return [OddLines(*row) for row in rows]

    async def count_reservations(self) -> int:
        """How many reservations the ledger has of the sale."""
        return int(await self._db.fetchval(self._sql.count_reservations, *self._sale, timeout=SUMS_TIMEOUT_S))
