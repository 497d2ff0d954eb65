"""Reads the ledger's tables with its own queries, because a test must not rely on the code that it tests."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import asyncpg

from tests.servers import connected

_WATERMARK = """
select epoch, seq, settled_epoch, settled_seq, facts_epoch, facts_seq, coalesce(frozen_reason, '') as frozen_reason
  from shard_watermark where shard = $1"""
_ROW = """
select buyer_id, state, ledger_state, coalesce(compensation_reason, '') as reason,
       coalesce((select string_agg(format('%s %s', quantity, sku), ', ' order by sku) from reservation_line l
                  where (l.tenant, l.sale_id, l.reservation_id) = (r.tenant, r.sale_id, r.reservation_id)), '') as lines
  from reservation r where tenant = 'default' and sale_id = $1 and reservation_id = $2"""
_ITEM = "select available, held, sold, refused from item where tenant = 'default' and sale_id = $1 and sku = $2"
_MOVES = """
select format('%s %s %s > %s', quantity, sku, from_account, to_account) as move from ledger_entry
 where sale_id = $1 and reservation_id = $2 order by epoch, seq, index, line"""
_LETTERS = """
select reservation_id, reason, d.state, reservation_state, c.done from dead_letter d
  left join compensation c using (shard, created_epoch, created_seq, created_index)
 where sale_id = $1 order by created_epoch, created_seq, created_index"""
_COUNT = """
select count(*) from reservation where sale_id = $1 and state = $2 and ledger_state = 'RECORDED'"""
_JOURNAL = "select count(*) from journal where shard = $1 and (epoch, seq) = ($2, $3) and length(payload) > 0"

_BLOCK_BUYER = """
insert into blocked_buyer (tenant, buyer_id, reason) values ('default', $1, 'a test') on conflict do nothing"""


class Watermark(NamedTuple):
    """How far the ledger is in one shard; each is an (epoch, seq)."""

    head: tuple[int, int]
    settled: tuple[int, int]
    facts: tuple[int, int]
    frozen_reason: str  # empty: not frozen


class Row(NamedTuple):
    """A reservation as the ledger has it, names without their prefix."""

    buyer_id: str
    state: str
    ledger_state: str
    reason: str  # of its compensation; empty: none
    lines: str


class Balance(NamedTuple):
    """An item as the ledger has it."""

    available: int
    held: int
    sold: int
    refused: int


class DeadLetter(NamedTuple):
    """A dead letter, and whether its compensation is done; None: it has none."""

    reservation_id: str
    reason: str
    state: str
    reservation_state: str
    compensation_done: bool | None


async def refuse_orders_of(dsn: str, *buyers: str) -> None:
    """Let the ledger refuse these buyers' orders, and let no shard know: the version of the list stays."""
    async with connected(dsn) as db:
        await db.executemany(_BLOCK_BUYER, [(buyer,) for buyer in buyers])


class LedgerReader:
    """Reads one database."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn

    async def watermark(self, shard: int) -> Watermark:
        """How far it is in a shard."""
        [row] = await self._fetch(_WATERMARK, shard)
        return Watermark(tuple(row[:2]), tuple(row[2:4]), tuple(row[4:6]), row["frozen_reason"])

    async def row(self, sale_id: str, reservation_id: str) -> Row | None:
        """The row of a reservation, if there is one."""
        rows = await self._fetch(_ROW, sale_id, reservation_id)
        return Row(*rows[0]) if rows else None

    async def recorded(self, sale_id: str, state: str) -> int:
        """How many reservations of a sale are recorded in a state."""
        return int((await self._fetch(_COUNT, sale_id, state))[0][0])

    async def balance(self, sale_id: str, sku: str = "lamp") -> Balance:
        """The balances of an item."""
        rows = await self._fetch(_ITEM, sale_id, sku)
        assert rows, f"the ledger has no {sku} in {sale_id}"
        return Balance(*rows[0])

    async def moves(self, sale_id: str, reservation_id: str) -> list[str]:
        """What a reservation moved from account to account, in order."""
        return [row["move"] for row in await self._fetch(_MOVES, sale_id, reservation_id)]

    async def dead_letters(self, sale_id: str) -> list[DeadLetter]:
        """The dead letters of a sale, in the order in which their reservations were made."""
        return [DeadLetter(*row) for row in await self._fetch(_LETTERS, sale_id)]

    async def has_commit(self, shard: int, epoch: int, seq: int) -> bool:
        """Whether the journal keeps a commit."""
        return bool((await self._fetch(_JOURNAL, shard, epoch, seq))[0][0])

    @asynccontextmanager
    async def forbidding(self, condition: str) -> AsyncIterator[None]:
        """The ledger rejects reservations that break this condition inside the block, by a check constraint."""
        await self.execute(f"alter table reservation add constraint of_a_test check ({condition}) not valid")
        try:
            yield
        finally:
            await self.execute("alter table reservation drop constraint of_a_test")

    async def execute(self, statement: str) -> None:
        """Change rows or tables behind the persister's back."""
        async with connected(self._dsn) as db:
            await db.execute(statement)

    async def _fetch(self, query: str, *parameters: Any) -> list[asyncpg.Record]:
        async with connected(self._dsn) as db:
            return list(await db.fetch(query, *parameters))
