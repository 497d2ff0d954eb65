"""The ledger's transactions in Postgres: a statement of queries.sql for each method, rows handed over as columns."""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from holdfast_runtime.postgres import Row
from order_persister.adapters.ledger.postgres import Database, Transaction
from order_persister.adapters.ledger.queries import Queries
from order_persister.domain.chain import AcceptedCommit, Quarantined, ReadMark, Watermark
from order_persister.domain.changes import Created
from order_persister.domain.dead_letters import DeadLetter, DeadLetterUpdate
from order_persister.domain.fold import EARLIER_RUN, Refusal
from order_persister.domain.orphans import Orphan
from order_persister.domain.refusals import Block
from order_persister.domain.rows import LineRow, RefusedConfirm, ReservationRow
from order_persister.domain.sales import AdjustmentRow, ItemRow, LeftRow, SaleChangeRow, SaleRow, SettingsRow
from order_persister.domain.shards import ShardRow
from order_persister.domain.transfers import ACCOUNTS, EXTERNAL, Entry


class PostgresLedger:
    """Opens transactions; `domain/ports.py` says what each method of them does."""

    def __init__(self, database: Database, queries: Queries) -> None:
        self._database = database
        self._sql = queries

    @asynccontextmanager
    async def transaction(self, shard: int) -> AsyncIterator["PostgresTransaction"]:
        async with self._database.transaction() as db:
            yield PostgresTransaction(db, self._sql, shard)


class PostgresTransaction:
    """An open transaction that writes one shard."""

    def __init__(self, db: Transaction, queries: Queries, shard: int) -> None:
        self._db = db
        self._sql = queries
        self._shard = shard

    def savepoint(self) -> AbstractAsyncContextManager[None]:
        return self._db.savepoint()

    # The shard

    async def lock_shard(self) -> ShardRow | None:
        row = await self._db.fetch_one(self._sql.lock_shard, self._shard)
        return None if row is None else ShardRow(*row)

    async def raise_watermark(
        self, watermark: Watermark, time_ms: int, mark: ReadMark, seen: tuple[int, int]
    ) -> ShardRow:
        values = self._shard, *watermark, time_ms, *mark, *seen
        row = await self._db.fetch_one(self._sql.raise_watermark, *values)
        assert row is not None, "it is locked"
        return ShardRow(*row)

    async def set_reading(self, mark: ReadMark, seen: tuple[int, int]) -> None:
        await self._db.execute(self._sql.set_reading, self._shard, *mark, *seen)

    async def restart_reading(self, mark: ReadMark) -> None:
        await self._db.execute(self._sql.restart_reading, self._shard, *mark)

    async def freeze(self, epoch: int, seq: int, reason: str) -> None:
        await self._db.execute(self._sql.freeze, self._shard, epoch, seq, reason)

    async def quarantine(self, item: Quarantined) -> bool:
        return bool(await self._db.fetch(self._sql.quarantine, self._shard, *item))

    async def insert_orphans(self, orphans: Sequence[Orphan]) -> None:
        await self._write(
            self._sql.insert_orphans, [(*one[:8], _lines_as_json(one.lines), *one[9:]) for one in orphans]
        )

    async def journal_hashes(self, positions: Sequence[tuple[int, int]]) -> dict[tuple[int, int], str]:
        if not positions:
            return {}
        found = await self._db.fetch(self._sql.journal_hashes, self._shard, *columns(positions))
        return {(epoch, seq): hash for epoch, seq, hash in found}

    async def insert_epoch(self, epoch: int, base: Watermark) -> None:
        await self._db.execute(self._sql.insert_epoch, self._shard, epoch, *base)

    async def insert_journal(self, commits: Sequence[AcceptedCommit]) -> None:
        rows = [(commit.epoch, commit.seq, commit.hash, commit.payload) for commit in commits]
        await self._write(self._sql.insert_journal, rows)

    # What is refused before anything is written

    async def blocked_buyers(self, buyers: Sequence[tuple[str, str]]) -> dict[tuple[str, str], Block]:
        if not buyers:
            return {}
        found = await self._db.fetch(self._sql.blocked_buyers, *columns(buyers))
        return {(tenant, buyer_id): Block(*block) for tenant, buyer_id, *block in found}

    async def open_refusals(self, orders: Sequence[Created]) -> dict[Created, Refusal]:
        if not orders:
            return {}
        found = await self._db.fetch(self._sql.open_dead_letters, self._shard, *columns(orders))
        return {_created(row): _earlier_refusal(row) for row in found}

    # Sales and reservations

    async def insert_sales(self, rows: Sequence[SaleRow]) -> None:
        await self._write(self._sql.insert_sales, [(*row.settings, *row[1:]) for row in rows])

    async def update_settings(self, rows: Sequence[SettingsRow]) -> int:
        return await self._write(self._sql.update_settings, [(*row.settings, *row[1:]) for row in rows])

    async def insert_sale_changes(self, rows: Sequence[SaleChangeRow]) -> None:
        await self._write(self._sql.insert_sale_changes, rows)

    async def insert_items(self, rows: Sequence[ItemRow]) -> None:
        if rows:
            await self._db.execute(self._sql.insert_items, *columns(rows))

    async def insert_adjustments(self, rows: Sequence[AdjustmentRow]) -> None:
        await self._write(self._sql.insert_adjustments, rows)

    async def set_left_times(self, rows: Sequence[LeftRow]) -> int:
        return await self._write(self._sql.set_left_times, rows)

    async def insert_reservations(self, rows: Sequence[ReservationRow]) -> set[Created]:
        if not rows:
            return set()
        *values, _lines = columns(rows)
        if await self._db.execute(self._sql.insert_reservations, self._shard, *values) == len(rows):
            return set()
        found = await self._db.fetch(self._sql.reservations_of, self._shard, *columns([row.identity for row in rows]))
        return {row.created for row in rows} - {Created(*created) for created in found}

    async def update_reservations(self, rows: Sequence[ReservationRow]) -> int:
        if not rows:
            return 0
        *values, _asked_hold_ms, _reference, _lines = columns(rows)  # what was asked for stays
        return await self._db.execute(self._sql.update_reservations, self._shard, *values)

    async def insert_lines(self, rows: Sequence[LineRow]) -> None:
        if rows:
            await self._db.execute(self._sql.insert_lines, *columns(rows))

    async def update_lines(self, rows: Sequence[LineRow]) -> None:
        if rows:
            await self._db.execute(self._sql.update_lines, *columns(rows))

    async def write_added_lines(self, rows: Sequence[LineRow]) -> None:
        if rows:
            await self._db.execute(self._sql.write_added_lines, *columns(rows))

    async def mark_refused_confirms(self, rows: Sequence[RefusedConfirm]) -> None:
        await self._write(self._sql.mark_refused_confirms, rows)

    # Balances, transfers and dead letters

    async def add_to_items(self, deltas: Mapping[tuple[str, str, str], Mapping[str, int]]) -> set[tuple[str, str, str]]:
        rows = sorted(
            (*item, -delta.get(EXTERNAL, 0), *(delta.get(account, 0) for account in ACCOUNTS))
            for item, delta in deltas.items()
        )
        if not rows:
            return set()
        return {
            (tenant, sale_id, sku)
            for tenant, sale_id, sku in await self._db.fetch(self._sql.add_to_items, *columns(rows))
        }

    async def insert_entries(self, entries: Sequence[Entry]) -> None:
        await self._write(self._sql.insert_entries, entries)

    async def insert_dead_letters(self, dead_letters: Sequence[DeadLetter]) -> None:
        rows = [(*one[:-2], *_update_row(one.latest)[3:]) for one in dead_letters]
        await self._write(self._sql.insert_dead_letters, rows)
        compensated = [(*one[:3], not one.latest.is_open) for one in dead_letters if one.needs_compensation]
        await self._write(self._sql.insert_compensations, compensated)

    async def update_dead_letters(self, updates: Sequence[DeadLetterUpdate]) -> None:
        await self._write(self._sql.update_dead_letters, [_update_row(one) for one in updates])
        await self._write(self._sql.mark_compensations_done, [one[:3] for one in updates if not one.is_open])

    async def _write(self, statement: str, rows: Sequence[tuple[Any, ...]]) -> int:
        """Run a statement whose first value is the shard; how many rows it touched."""
        return await self._db.execute(statement, self._shard, *columns(rows)) if rows else 0


def columns(rows: Sequence[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Rows as columns, which is what `unnest` takes."""
    return list(zip(*rows, strict=True))


def _created(row: Row) -> Created:
    return Created(row["created_epoch"], row["created_seq"], row["created_index"])


def _earlier_refusal(row: Row) -> Refusal:
    at_creation = _created(row) == (row["epoch"], row["seq"], row["index"])
    return Refusal(EARLIER_RUN, row["reason"], row["detail"], at_creation)


def _update_row(update: DeadLetterUpdate) -> tuple[Any, ...]:
    return (*update[:-3], *map(_lines_as_json, update[-3:]))


def _lines_as_json(lines: Sequence[tuple[str, int]]) -> str:
    return json.dumps([{"sku": sku, "quantity": quantity} for sku, quantity in lines])
