"""The shards' rows in the ledger: read for every take-over and report, and written only to make, fence or thaw one."""

from collections.abc import Mapping
from typing import cast

from inventory_service.adapters.ledger.postgres import LedgerPool
from inventory_service.domain.shards import LedgerRow

_ROW = "shard, shards, epoch, seq, hash, settled_epoch, settled_seq, coalesce(frozen_reason, '') as frozen_reason"
_FENCE = """
update shard_watermark set epoch = epoch + 1, seq = 0, frozen_reason = null
 where shard = $1 and epoch = $2 and hash = $3 and shards = $4
returning epoch"""
_THAW = """
update shard_watermark set frozen_reason = null
 where shard = $1 and epoch = $2 and seq = $3 and hash = $4 and frozen_reason = $5
returning epoch"""
_FIRST_ROW = """
insert into shard_watermark (shard, shards, epoch, seq, hash, settled_epoch, settled_seq, facts_epoch, facts_seq)
values ($1, $2, 1, 0, '', 1, 0, 1, 0) on conflict do nothing
returning epoch"""


class LedgerShards:
    """The rows of all shards; `LedgerUnavailable` if the ledger does not answer."""

    def __init__(self, ledger: LedgerPool) -> None:
        self._ledger = ledger

    async def row(self, shard: int) -> LedgerRow | None:
        async with self._ledger.connection() as db:
            found = await db.fetchrow(f"select {_ROW} from shard_watermark where shard = $1", shard)
        return LedgerRow(**found) if found else None

    async def rows(self) -> Mapping[int, LedgerRow]:
        async with self._ledger.connection() as db:
            found = await db.fetch(f"select {_ROW} from shard_watermark order by shard")
        return {row["shard"]: LedgerRow(**row) for row in found}

    async def fence(self, shard: int, shards: int, epoch: int, hash: str) -> int | None:
        """One compare-and-set, so that two take-overs never draw the same epoch; None if the row is not as expected.

        A fence whose answer got lost is harmless: whoever asks again reads the row anew and draws the next epoch.
        """
        async with self._ledger.connection() as db:
            if epoch == 0:
                drawn = await db.fetchval(_FIRST_ROW, shard, shards) if hash == "" else None
            else:
                drawn = await db.fetchval(_FENCE, shard, epoch, hash, shards)
        return cast("int | None", drawn)

    async def thaw(self, row: LedgerRow) -> bool:
        """One compare-and-set on all of the row, so that a reason nobody has read yet is never cleared."""
        async with self._ledger.connection() as db:
            thawed = await db.fetchval(_THAW, row.shard, row.epoch, row.seq, row.hash, row.frozen_reason)
        return thawed is not None
