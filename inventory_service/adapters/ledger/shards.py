"""Reads the shards' rows in the ledger, and changes them for a take-over: first row, next epoch, end of a freeze."""

from collections.abc import Mapping
from typing import cast

from inventory_service.adapters.ledger.pool import LedgerPool
from inventory_service.adapters.ledger.queries import ledger_queries
from inventory_service.domain.shards import LedgerRow

TIMEOUT_S = 5.0  # each reads or writes one row, or one a shard: what takes longer is an outage, and repeated soon


class LedgerShards:
    """The rows of all shards; `LedgerUnavailable` if the ledger does not answer."""

    def __init__(self, ledger: LedgerPool) -> None:
        self._ledger = ledger.within(TIMEOUT_S)
        self._sql = ledger_queries()

    async def row(self, shard: int) -> LedgerRow | None:
        async with self._ledger.connection() as db:
            found = await db.fetchrow(self._sql.shard_row, shard)
        return LedgerRow(**found) if found else None

    async def rows(self) -> Mapping[int, LedgerRow]:
        async with self._ledger.connection() as db:
            found = await db.fetch(self._sql.shard_rows)
        return {row["shard"]: LedgerRow(**row) for row in found}

    async def fence(self, shard: int, shards: int, epoch: int, hash: str) -> int | None:
        """The next epoch, by one compare-and-set, so that no two take-overs get the same; None if the row differs.

        A fence whose reply was lost is harmless: a repeat reads the row anew and gets the epoch after.
        """
        async with self._ledger.connection() as db:
            if epoch == 0:
                next_epoch = await db.fetchval(self._sql.insert_shard, shard, shards) if hash == "" else None
            else:
                next_epoch = await db.fetchval(self._sql.begin_epoch, shard, epoch, hash, shards)
        return cast("int | None", next_epoch)

    async def thaw(self, row: LedgerRow) -> bool:
        """Clear the frozen reason, by one compare-and-set on the whole row, so that no newer reason is cleared."""
        expected = (row.shard, row.epoch, row.seq, row.hash, row.frozen_reason)
        async with self._ledger.connection() as db:
            return await db.fetchval(self._sql.clear_frozen_reason, *expected) is not None
