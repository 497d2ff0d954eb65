"""Step 3 of a take-over: wait until the ledger has all that it can take, from the outbox and from Kafka."""

from collections.abc import Awaitable, Callable
from functools import partial

from inventory_service.domain.shard_ports import LedgerRows, Outbox, PersisterOffsets, Shards
from inventory_service.domain.shards import BegunTakeover, CommitId, LedgerRow, follows
from inventory_service.entrypoints.patience import GrowingDelay


class LedgerCatchUp:
    """One wait for one claim. It ends when it is done, or by whoever takes the claim away.

    A ledger that is slow or away is waited for. One that is frozen is asked once more: what made it refuse a commit may
    be repaired, or the commit was altered on its way and the outbox holds the true one. Only a commit that follows from
    the ledger's own hash can be applied, so thawing lets nothing in that the ledger would not have taken before.
    """

    def __init__(
        self, takeover: BegunTakeover, shards: Shards, outbox: Outbox, ledger: LedgerRows, reading: PersisterOffsets
    ) -> None:
        self._takeover = takeover
        self._shards = shards
        self._outbox = outbox
        self._ledger = ledger
        self._reading = reading
        self._thawed_at: CommitId | None = None

    async def wait(self) -> bool:
        """False as soon as a later take-over began.

        Not only the shard's outbox is waited for: Kafka may hold commits that a Redis which fell back has lost, and a
        shard adopted before the ledger has them would never learn of them.
        """
        if not await self._until(self._took_outbox):
            return False
        end = await self._reading.end(self._takeover.shard)
        return await self._until(partial(self._was_read, end))

    async def _until(self, done: Callable[[], Awaitable[bool]]) -> bool:
        delay = GrowingDelay(first_s=0.05, longest_s=1.0)
        while await self._stands():
            if await done():
                return True
            await delay.wait()
        return False

    async def _stands(self) -> bool:
        status = await self._shards.status(self._takeover.shard)
        return (status.takeover_token, status.run_id) == (self._takeover.token, self._takeover.run_id)

    async def _took_outbox(self) -> bool:
        """True if no commit of the shard's outbox can follow the ledger's row."""
        row = await self._ledger.row(self._takeover.shard)
        if row is None or row.epoch != self._takeover.epoch or row.seq >= self._takeover.seq:
            return True
        following = await self._outbox.find(row.shard, CommitId(row.epoch, row.seq + 1))
        if following is not None:
            return not follows(following, row) or (bool(row.frozen_reason) and await self._refuses_again(row))
        # It is not there, or was trimmed since the row was read: then the ledger has moved.
        again = await self._ledger.row(self._takeover.shard)
        return again is None or again.commit_id == row.commit_id

    async def _refuses_again(self, row: LedgerRow) -> bool:
        """Thaw the row, once for each commit that is refused; the relay then sends it again."""
        if self._thawed_at == row.commit_id:
            return True
        if await self._ledger.thaw(row):
            self._thawed_at = row.commit_id
        return False

    async def _was_read(self, end: int) -> bool:
        """True if the persisters have read up to `end`, or to where the topic ends now if it was wiped since.

        What a frozen row cannot take need not be read.
        """
        shard = self._takeover.shard
        row = await self._ledger.row(shard)
        if row is not None and row.frozen_reason:
            return True
        return await self._reading.read_up_to(shard) >= min(end, await self._reading.end(shard))
