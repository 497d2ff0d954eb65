"""Step 3 of a take-over: waits until the ledger has applied all that it can, from the outbox and from Kafka."""

from collections.abc import Awaitable, Callable
from enum import Enum, auto
from functools import partial
from typing import NamedTuple

from holdfast_runtime.retry import Backoff
from inventory_service.domain.shard_ports import CommitOffsets, LedgerRows, Outbox, Shards
from inventory_service.domain.shards import BegunTakeover, Commit, CommitId, LedgerRow, Offsets, follows


class CatchUp(Enum):
    """How the wait ended."""

    DONE = auto()
    REPLACED = auto()  # another take-over began, or Redis is another one
    RECORDS_DELETED = auto()  # Kafka has deleted records that the ledger had not read: it may lack commits for good


class CaughtUp(NamedTuple):
    """How the wait ended, and the row for which it did: a fence must find that one, or one that has read more."""

    how: CatchUp
    row: LedgerRow | None  # None: the ledger has none


class LedgerCatchUp:
    """Waits on behalf of one take-over, until the ledger has caught up or another take-over replaces this one.

    A ledger that is slow or away is waited for. A frozen row is thawed once: the cause may have been repaired, or the
    commit was altered on its way and the outbox holds the original. Only a commit that follows from the row's own hash
    can be applied, so thawing admits nothing that the ledger would not have taken before.
    """

    def __init__(
        self, takeover: BegunTakeover, shards: Shards, outbox: Outbox, ledger: LedgerRows, offsets: CommitOffsets
    ) -> None:
        self._takeover = takeover
        self._shards = shards
        self._outbox = outbox
        self._ledger = ledger
        self._offsets = offsets
        self._thawed_at: CommitId | None = None
        self._row: LedgerRow | None = None
        self._records_deleted = False

    async def wait(self) -> CaughtUp:
        """Wait until the ledger has caught up, or another take-over has replaced this one.

        The outbox alone is not enough: Kafka may hold commits that an older copy of Redis lacks, and a shard adopted
        before the ledger has applied them would never learn of them. What the persisters' group has read does not tell
        what this ledger has read, which may be an older copy itself: the row's own read mark does. What it has read
        may be what the outbox follows from, so the outbox is looked at once more.
        """
        while await self._until(self._took_outbox):
            end = (await self._offsets.offsets(self._takeover.shard)).end
            if not await self._until(partial(self._was_read, end)):
                break
            if self._records_deleted:
                return CaughtUp(CatchUp.RECORDS_DELETED, self._row)
            if await self._took_outbox():
                return CaughtUp(CatchUp.DONE, self._row)
        return CaughtUp(CatchUp.REPLACED, None)

    async def _until(self, done: Callable[[], Awaitable[bool]]) -> bool:
        delay = Backoff(first_s=0.05, longest_s=1.0)
        while await self._is_current():
            if await done():
                return True
            await delay.wait()
        return False

    async def _is_current(self) -> bool:
        status = await self._shards.status(self._takeover.shard)
        return (status.takeover_token, status.identity) == (self._takeover.token, self._takeover.identity)

    async def _took_outbox(self) -> bool:
        """True if no commit of the outbox can follow the ledger's row."""
        row = await self._ledger.row(self._takeover.shard)
        head = CommitId(self._takeover.epoch, self._takeover.seq)
        if row is None or row.commit_id >= head:
            return True
        if await next_in_outbox(self._outbox, row, head.epoch) is not None:
            return bool(row.frozen_reason) and await self._still_refuses(row)
        # It is missing, or was trimmed since the row was read: then the ledger has advanced.
        again = await self._ledger.row(self._takeover.shard)
        return again is None or again.commit_id == row.commit_id

    async def _still_refuses(self, row: LedgerRow) -> bool:
        """Thaw the row, once for each commit that it does not take; it is then sent, or read, again."""
        if self._thawed_at == row.commit_id:
            return True
        if await self._ledger.thaw(row):
            self._thawed_at = row.commit_id
        return False

    async def _was_read(self, end: int) -> bool:
        """True if the row has read up to `end`, or to the topic's present end if that was made anew since.

        There is nothing to read in a topic that is empty.
        """
        row = self._row = await self._ledger.row(self._takeover.shard)
        if row is None:
            return True
        offsets = await self._offsets.offsets(row.shard)
        self._records_deleted = row.read_offset < offsets.beginning
        if self._records_deleted or offsets.beginning == offsets.end:
            return True
        if row.frozen_reason:
            return row.read_offset >= offsets.end or await self._still_refuses(row)
        return min(end, offsets.end) <= row.read_offset <= offsets.end and await self._is_same_topic(row, offsets)

    async def _is_same_topic(self, row: LedgerRow, offsets: Offsets) -> bool:
        """False if the row has read a topic that was deleted since; a persister then reads this one from its start."""
        if not row.read_digest or row.read_offset <= offsets.beginning:
            return True
        return await self._offsets.digest_at(row.shard, row.read_offset - 1) == row.read_digest


async def next_in_outbox(outbox: Outbox, row: LedgerRow, epoch: int) -> Commit | None:
    """The commit of an outbox in `epoch` that the ledger takes next, while it is not trimmed.

    That is the row's next one, or the first of a later epoch that began at the row's: a ledger that was set back meets
    such a one.
    """
    next_id = CommitId(row.epoch, row.seq + 1) if epoch == row.epoch else CommitId(epoch, 1)
    following = await outbox.find(row.shard, next_id)
    return following if following is not None and follows(following, row) else None
