"""Reads the shards' rows in the ledger, and changes them for a take-over: first row, next epoch, end of a freeze."""

from collections.abc import Mapping, Sequence

from holdfast_runtime.postgres import Connection, Row, transaction
from inventory_service.adapters.ledger.pool import LedgerPool
from inventory_service.adapters.ledger.queries import ledger_queries
from inventory_service.domain.shards import AcceptedLoss, CommitId, Fenced, LedgerRow

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

    async def bases(self, shard: int) -> Mapping[int, CommitId]:
        async with self._ledger.connection() as db:
            found = await db.fetch(self._sql.epoch_bases, shard)
        return {epoch: CommitId(*base) for epoch, *base in found}

    async def recent_losses(self) -> Sequence[int]:
        """The shards that were opened within a day although commits were known to be lost."""
        async with self._ledger.connection() as db:
            return [row["shard"] for row in await db.fetch(self._sql.recent_losses)]

    async def quarantined(self) -> Mapping[int, int]:
        """How many records and commits are kept, by shard, that could not be applied."""
        async with self._ledger.connection() as db:
            return {row["shard"]: row["kept"] for row in await db.fetch(self._sql.quarantined)}

    async def open(self, shard: int, shards: int, read_offset: int, above: int) -> Fenced | None:
        """Insert a shard's row in its first epoch."""
        async with self._ledger.connection() as db, transaction(db):
            opened = await db.fetchrow(self._sql.insert_shard, shard, shards, read_offset, above)
            return await self._noted(db, opened, CommitId(0, 0), "OPENED", None) if opened else None

    async def fence(self, row: LedgerRow, above: int, how: str, loss: AcceptedLoss | None = None) -> Fenced | None:
        """The next epoch, by one compare-and-set, so that no two take-overs get the same.

        A fence whose reply was lost is harmless: a repeat reads the row anew and gets an epoch above.
        """
        expected = (row.shard, row.shards, *row.commit_id, row.hash, row.read_offset)
        async with self._ledger.connection() as db, transaction(db):
            fenced = await db.fetchrow(self._sql.begin_epoch, *expected, above, loss.read_from if loss else None)
            return await self._noted(db, fenced, row.commit_id, how, loss) if fenced else None

    async def read_again(self, shard: int, shards: int) -> None:
        """Insert a row below every epoch; nothing if there is one."""
        async with self._ledger.connection() as db:
            await db.execute(self._sql.insert_unread_shard, shard, shards)

    async def skip_deleted(self, row: LedgerRow, offset: int) -> bool:
        """Move the read mark over what Kafka has deleted, by one compare-and-set."""
        async with self._ledger.connection() as db:
            return await db.fetchval(self._sql.skip_deleted, row.shard, row.read_offset, offset) is not None

    async def thaw(self, row: LedgerRow) -> bool:
        """Clear the frozen reason, by one compare-and-set on the whole row, so that no newer reason is cleared."""
        expected = (row.shard, row.epoch, row.seq, row.hash, row.frozen_reason)
        async with self._ledger.connection() as db:
            return await db.fetchval(self._sql.clear_frozen_reason, *expected) is not None

    async def has_commit(self, shard: int, commit: CommitId, hash: str) -> bool:
        """Whether the ledger has applied this commit; of seq 0, whether an epoch began so."""
        async with self._ledger.connection() as db:
            return bool(await db.fetchval(self._sql.has_commit, shard, *commit, hash))

    async def _noted(self, db: Connection, fenced: Row, base: CommitId, how: str, loss: AcceptedLoss | None) -> Fenced:
        """Keep, in the fence's own transaction, on which commit its epoch builds."""
        row = LedgerRow(**fenced)
        accepted = (loss is not None, loss.accepted_by if loss else None)
        await db.execute(self._sql.insert_epoch, row.shard, row.epoch, *base, row.hash, how, *accepted)
        return Fenced(row, base)
