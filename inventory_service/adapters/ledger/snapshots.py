"""The ledger's books for the audit: one consistent picture of a shard, asked for part by part."""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from holdfast.inventory.v1.reservation_pb2 import ReservationState

from inventory_service.adapters.ledger.postgres import LedgerPool
from inventory_service.domain.keys import Position, SaleKey
from inventory_service.domain.reconciliation import Balances, DeadLetter, ItemInLedger, ReservationSnapshot
from inventory_service.domain.reservation import Line
from inventory_service.domain.shards import Commit, CommitId

COMMITS_AT_ONCE = 500

_SALES = "select tenant, sale_id from sale where shard = $1 order by tenant, sale_id"
_IS_PAST = """
with gone as (select to_timestamp($3::float8 / 1000) as by)
select end_time <= gone.by
   and not exists (select from reservation r where r.tenant = $1 and r.sale_id = $2 and r.update_time > gone.by)
   and not exists (select from dead_letter d where d.tenant = $1 and d.sale_id = $2 and d.latest_time > gone.by)
  from sale cross join gone where sale.tenant = $1 and sale.sale_id = $2"""
_ITEMS = """
with entries as (
  select sku, account, sum(quantity)::bigint as balance from (
    select sku, to_account as account, quantity from ledger_entry where tenant = $1 and sale_id = $2
    union all
    select sku, from_account, -quantity from ledger_entry where tenant = $1 and sale_id = $2) moved
  group by sku, account),
lines as (
  select sku, coalesce(sum(quantity) filter (where state = 'HELD'), 0)::bigint as held,
         coalesce(sum(confirmed_quantity - returned_quantity) filter (where state = 'CONFIRMED'), 0)::bigint as sold
    from reservation_line join reservation using (tenant, sale_id, reservation_id)
   where tenant = $1 and sale_id = $2 and ledger_state = 'RECORDED' group by sku),
letters as (
  select line ->> 'sku' as sku, sum((line ->> 'quantity')::bigint)::bigint as refused
    from dead_letter cross join lateral jsonb_array_elements(lines) as line
   where tenant = $1 and sale_id = $2 and state = 'OPEN' group by 1)
select sku, total, available, held, sold, refused,
       (select json_object_agg(account, balance) from entries where entries.sku = item.sku) as entries,
       coalesce((select lines.held from lines where lines.sku = item.sku), 0) as lines_held,
       coalesce((select lines.sold from lines where lines.sku = item.sku), 0) as lines_sold,
       coalesce((select letters.refused from letters where letters.sku = item.sku), 0) as lines_refused
  from item where tenant = $1 and sale_id = $2 order by sku"""
_BALANCES = """
select tenant, sale_id, sku, available, held, sold, refused
  from item join unnest($1::text[], $2::text[]) as wanted (tenant, sale_id) using (tenant, sale_id)"""
_RESERVATIONS = """
select reservation_id, state, revision, shard, created_epoch, created_seq, created_index,
       (select json_agg(json_build_array(sku, quantity) order by sku) from reservation_line l
         where (l.tenant, l.sale_id, l.reservation_id) = (r.tenant, r.sale_id, r.reservation_id)) as lines
  from reservation r where tenant = $1 and sale_id = $2 and reservation_id = any($3)"""
_LETTERS = """
select reservation_id, shard, created_epoch, created_seq, created_index, state, reason, reservation_state
  from dead_letter where tenant = $1 and sale_id = $2 and reservation_id = any($3)"""
_HOLDS = """
select count(*) from reservation
 where tenant = $1 and sale_id = $2 and state = 'HELD' and ledger_state = 'RECORDED'"""
_COMMITS = """
select epoch, seq, hash, payload from journal
 where shard = $1 and (epoch, seq) > ($2, $3) order by epoch, seq limit $4"""
_ROW = "select epoch, seq, hash from shard_watermark where shard = $1"


class PostgresSnapshots:
    """Opens pictures of the ledger."""

    def __init__(self, ledger: LedgerPool) -> None:
        self._ledger = ledger

    @asynccontextmanager
    async def snapshot(self, shard: int) -> AsyncIterator["PostgresSnapshot"]:
        """All questions to one picture see the ledger at one moment: one transaction that only reads."""
        async with (
            self._ledger.connection() as db,
            db.transaction(isolation="repeatable_read", readonly=True),
        ):
            row = await db.fetchrow(_ROW, shard)
            yield PostgresSnapshot(
                db, shard, CommitId(row["epoch"], row["seq"]) if row else None, row["hash"] if row else ""
            )


class PostgresSnapshot:
    """A shard's books at `commit_id` (None: the ledger has never heard of it) and `hash`."""

    def __init__(self, db: Any, shard: int, commit_id: CommitId | None, hash: str) -> None:
        self._db = db
        self._shard = shard
        self.commit_id = commit_id
        self.hash = hash

    async def sales(self) -> Sequence[SaleKey]:
        return [SaleKey(*row) for row in await self._db.fetch(_SALES, self._shard)]

    async def is_past(self, sale: SaleKey, before_ms: int) -> bool:
        """Whether it ended, and everything in it changed last, at this moment or before."""
        return bool(await self._db.fetchval(_IS_PAST, *sale, before_ms))

    async def items(self, sale: SaleKey) -> Sequence[ItemInLedger]:
        rows = await self._db.fetch(_ITEMS, *sale)
        return [ItemInLedger(**{**row, "entries": json.loads(row["entries"] or "{}")}) for row in rows]

    async def balances(self, sales: Sequence[SaleKey]) -> Mapping[SaleKey, Sequence[Balances]]:
        """The items of these sales, without what they add up from, which takes far longer."""
        rows = await self._db.fetch(_BALANCES, [sale.tenant for sale in sales], [sale.sale_id for sale in sales])
        found: dict[SaleKey, list[Balances]] = {}
        for tenant, sale_id, *balances in rows:
            found.setdefault(SaleKey(tenant, sale_id), []).append(Balances(*balances))
        return found

    async def reservations(self, sale: SaleKey, ids: Sequence[str]) -> Mapping[str, ReservationSnapshot]:
        rows = await self._db.fetch(_RESERVATIONS, *sale, ids)
        return {row["reservation_id"]: _reservation(row) for row in rows}

    async def letters(self, sale: SaleKey, ids: Sequence[str]) -> Sequence[DeadLetter]:
        return [_letter(row) for row in await self._db.fetch(_LETTERS, *sale, ids)]

    async def holds(self, sale: SaleKey) -> int:
        """Reservations that the ledger has as held and did not refuse."""
        return int(await self._db.fetchval(_HOLDS, *sale))

    async def commits(self) -> AsyncIterator[Commit]:
        """The journal, in order."""
        after = CommitId(0, 0)
        while rows := await self._db.fetch(_COMMITS, self._shard, *after, COMMITS_AT_ONCE):
            for row in rows:
                yield Commit(row["epoch"], row["seq"], row["payload"], row["hash"])
            after = CommitId(rows[-1]["epoch"], rows[-1]["seq"])


def _reservation(row: Mapping[str, Any]) -> ReservationSnapshot:
    return ReservationSnapshot(
        row["reservation_id"],
        ReservationState.Value(f"RESERVATION_STATE_{row['state']}"),
        row["revision"],
        _created(row),
        tuple(Line(sku, quantity) for sku, quantity in sorted(json.loads(row["lines"] or "[]"))),
    )


def _letter(row: Mapping[str, Any]) -> DeadLetter:
    return DeadLetter(
        row["reservation_id"],
        _created(row),
        is_open=row["state"] == "OPEN",
        is_id_reused=row["reason"] == "ID_REUSED",
        reservation_state=ReservationState.Value(f"RESERVATION_STATE_{row['reservation_state']}"),
    )


def _created(row: Mapping[str, Any]) -> Position:
    return Position(row["shard"], row["created_epoch"], row["created_seq"], row["created_index"])
