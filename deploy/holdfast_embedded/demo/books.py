"""What the demo reads of the ledger, with questions of its own: the proof must not rest on the code that it proves."""

from typing import NamedTuple, Self

import asyncpg

# A refused order that is still open keeps its units in `refused`; both end with its compensation.
OPEN_REFUSALS = "select count(*) from dead_letter where sale_id = $1 and state = 'OPEN'"
WATERMARK = "select epoch, seq, settled_epoch, settled_seq, frozen_reason from shard_watermark where shard = $1"
ITEM = "select total, available, held, sold, refused from item where sale_id = $1"
ROWS = """
select r.reservation_id, r.state, sum(l.quantity)::bigint as units, sum(l.confirmed_quantity)::bigint as confirmed
from reservation r join reservation_line l using (tenant, sale_id, reservation_id)
where sale_id = $1 group by r.reservation_id, r.state
"""
DEADLINE_S = 10.0


class Watermark(NamedTuple):
    """How far the ledger is in one shard."""

    epoch: int
    seq: int
    settled_epoch: int
    settled_seq: int
    frozen_reason: str | None


class Row(NamedTuple):
    """One reservation as the ledger has it."""

    state: str  # without its prefix
    units: int
    confirmed: int


class Balance(NamedTuple):
    """The item as the ledger has it."""

    total: int
    available: int
    held: int
    sold: int
    refused: int


class Books:
    """The ledger, for reading."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection

    @classmethod
    async def open(cls, dsn: str) -> Self:
        """Connect; every question has a deadline."""
        return cls(await asyncpg.connect(dsn, timeout=DEADLINE_S, command_timeout=DEADLINE_S))

    async def close(self) -> None:
        """End the connection."""
        await self._connection.close(timeout=DEADLINE_S)

    async def watermark(self, shard: int) -> Watermark:
        """How far the ledger is."""
        return Watermark(*await self._row(WATERMARK, shard))

    async def open_refusals(self, sale_id: str) -> int:
        """How many refused orders still hold units."""
        return int(await self._connection.fetchval(OPEN_REFUSALS, sale_id))

    async def balance(self, sale_id: str) -> Balance:
        """The sale's one item."""
        return Balance(*await self._row(ITEM, sale_id))

    async def rows(self, sale_id: str) -> dict[str, Row]:
        """Every reservation of the sale."""
        found = await self._connection.fetch(ROWS, sale_id)
        return {row["reservation_id"]: Row(row["state"], row["units"], row["confirmed"]) for row in found}

    async def _row(self, question: str, subject: int | str) -> asyncpg.Record:
        row = await self._connection.fetchrow(question, subject)
        assert row is not None, f"the ledger knows nothing of {subject}"
        return row
