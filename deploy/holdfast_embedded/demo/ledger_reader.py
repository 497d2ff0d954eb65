"""Reads the demo's sale from the ledger, with SQL of its own: a check must not rest on the code that it checks."""

from typing import NamedTuple, Self

import asyncpg

# A refused order that is still open keeps its units in `refused`; its compensation ends both.
OPEN_REFUSALS = "select count(*) from dead_letter where sale_id = $1 and state = 'OPEN'"
WATERMARK = "select epoch, seq, settled_epoch, settled_seq, frozen_reason from shard_watermark where shard = $1"
ITEM = "select total, available, held, sold, refused from item where sale_id = $1"
RESERVATIONS = """
select r.reservation_id, r.state, sum(l.quantity)::bigint as units, sum(l.confirmed_quantity)::bigint as confirmed
from reservation r join reservation_line l using (tenant, sale_id, reservation_id)
where sale_id = $1 group by r.reservation_id, r.state
"""
DEADLINE_S = 10.0


class Watermark(NamedTuple):
    """The last commit of one shard that the ledger has applied, and the last that it has settled."""

    epoch: int
    seq: int
    settled_epoch: int
    settled_seq: int
    frozen_reason: str | None


class LedgerReservation(NamedTuple):
    """One reservation as the ledger has it."""

    state: str  # without the prefix RESERVATION_STATE_
    units: int
    confirmed: int


class LedgerItem(NamedTuple):
    """The units of the item as the ledger counts them."""

    total: int
    available: int
    held: int
    sold: int
    refused: int


class LedgerReader:
    """Queries on one connection to the ledger."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection

    @classmethod
    async def connect(cls, dsn: str) -> Self:
        """Connect; every query has a deadline."""
        return cls(await asyncpg.connect(dsn, timeout=DEADLINE_S, command_timeout=DEADLINE_S))

    async def close(self) -> None:
        """Close the connection."""
        await self._connection.close(timeout=DEADLINE_S)

    async def watermark(self, shard: int) -> Watermark:
        """Return the watermark of one shard."""
        return Watermark(*await self._fetch_row(WATERMARK, shard))

    async def open_refusals(self, sale_id: str) -> int:
        """Return the number of refused orders whose compensation is outstanding."""
        return int(await self._connection.fetchval(OPEN_REFUSALS, sale_id))

    async def item(self, sale_id: str) -> LedgerItem:
        """Return the sale's only item."""
        return LedgerItem(*await self._fetch_row(ITEM, sale_id))

    async def reservations(self, sale_id: str) -> dict[str, LedgerReservation]:
        """Return every reservation of the sale by its id."""
        rows = await self._connection.fetch(RESERVATIONS, sale_id)
        return {row["reservation_id"]: LedgerReservation(row["state"], row["units"], row["confirmed"]) for row in rows}

    async def _fetch_row(self, query: str, argument: int | str) -> asyncpg.Record:
        row = await self._connection.fetchrow(query, argument)
        assert row is not None, f"the ledger has no row for {argument}"
        return row
