"""Take over a shard that does not serve: hold it against the ledger and, where they agree, adopt it under a new epoch.

Any number of take-overs may run at once and end at any step. A claim only stops the shard, the fence is a
compare-and-set on the ledger's row, and a shard is adopted only by whoever still holds its claim, in the Redis process
that was claimed.
"""

from collections.abc import Awaitable, Callable
from enum import StrEnum
from typing import NamedTuple

from inventory_service.domain.shard_ports import LedgerRows, Outbox, PersisterReading, Shards
from inventory_service.domain.shards import NEEDS_RESTORE, Claimed, LedgerRow, Mark, hash_of
from inventory_service.entrypoints.patience import GrowingDelay


class Ending(StrEnum):
    """How one attempt ended. After anything but ADOPTED and SERVING another attempt begins at the first step."""

    ADOPTED = "ADOPTED"
    SERVING = "SERVING"  # somebody else was faster
    NEWER_EPOCH = "NEWER_EPOCH"  # Redis is of a newer epoch than the row that was read
    OVERTAKEN = "OVERTAKEN"  # another take-over claimed or fenced, or Redis restarted
    NEEDS_RESTORE = "NEEDS_RESTORE"  # Redis and the ledger differ: it would have to be rebuilt from the ledger


class Attempt(NamedTuple):
    """What came of one attempt."""

    ending: Ending
    epoch: int = 0  # the one that was drawn, if ADOPTED
    detail: str = ""


class TakeOver:
    """The five steps, one method each; `attempt` holds their order."""

    def __init__(
        self,
        shards: int,
        store: Shards,
        outbox: Outbox,
        ledger: LedgerRows,
        reading: PersisterReading,
        new_token: Callable[[], str],
    ) -> None:
        self._shards = shards
        self._store = store
        self._outbox = outbox
        self._ledger = ledger
        self._reading = reading
        self._new_token = new_token
        self._tokens: dict[int, str] = {}

    async def attempt(self, shard: int) -> Attempt:
        row = await self.read_row(shard)
        claimed = await self.claim(shard, row)
        if isinstance(claimed, str):
            return Attempt(Ending(claimed))
        if not await self.drain(claimed):
            return Attempt(Ending.OVERTAKEN)
        epoch = await self.fence(claimed, row)
        if epoch is None:
            return await self._not_fenced(claimed, row)
        if not await self.adopt(claimed, epoch):
            return Attempt(Ending.OVERTAKEN)
        return Attempt(Ending.ADOPTED, epoch)

    def made(self, shard: int, token: str) -> bool:
        """Whether this is the claim of our latest attempt, which may have ended half-way."""
        return self._tokens.get(shard) == token

    async def read_row(self, shard: int) -> LedgerRow:
        """Step 1: the ledger's row, before anything else, for the fence compares with it."""
        return await self._ledger.row(shard) or _no_row(shard, self._shards)

    async def claim(self, shard: int, row: LedgerRow) -> Claimed | str:
        """Step 2: stop the shard and learn where it stands. The relay goes on sending what its outbox holds."""
        self._tokens[shard] = self._new_token()
        return await self._store.claim(shard, self._tokens[shard], row.epoch, bool(row.frozen_reason))

    async def drain(self, claimed: Claimed) -> bool:
        """Step 3: wait until the ledger has all that it can take; False as soon as the claim is gone.

        Not only the claimed outbox: Kafka may hold commits that a Redis which fell back has forgotten, and a shard
        adopted before the ledger has them would never learn of them.
        """
        if not await self._until(lambda: self._took_outbox(claimed), claimed):
            return False
        end = await self._reading.end(claimed.shard)
        return await self._until(lambda: self._was_read(claimed.shard, end), claimed)

    async def fence(self, claimed: Claimed, row: LedgerRow) -> int | None:
        """Step 4: draw a new epoch in the ledger, if its row is of the epoch that was read and agrees with Redis.

        Always a new one, even if the row stands at an epoch's start: the Redis that it was drawn for may live.
        """
        return await self._ledger.fence(claimed.shard, self._shards, row.epoch, claimed.hash)

    async def adopt(self, claimed: Claimed, epoch: int) -> bool:
        """Step 5: serve again, if claim and Redis process still stand."""
        return await self._store.adopt(claimed, epoch, self._shards)

    async def _not_fenced(self, claimed: Claimed, before: LedgerRow) -> Attempt:
        row = await self.read_row(claimed.shard)
        if row.epoch != before.epoch or row.hash == claimed.hash:
            return Attempt(Ending.OVERTAKEN)
        reason = f"{NEEDS_RESTORE}: {_difference(claimed, row)}"
        await self._store.freeze(claimed.shard, claimed.epoch, reason, claimed.token)
        return Attempt(Ending.NEEDS_RESTORE, detail=reason)

    async def _until(self, done: Callable[[], Awaitable[bool]], claimed: Claimed) -> bool:
        """Ends when it is done, or by whoever takes the claim away; a ledger that is slow or away is waited for."""
        delay = GrowingDelay(first_s=0.05, longest_s=1.0)
        while await self._stands(claimed):
            if await done():
                return True
            await delay.wait()
        return False

    async def _stands(self, claimed: Claimed) -> bool:
        status = await self._store.status(claimed.shard)
        return (status.claim, status.run_id) == (claimed.token, claimed.run_id)

    async def _took_outbox(self, claimed: Claimed) -> bool:
        """True if no commit of the claimed outbox can follow the ledger's row."""
        row = await self.read_row(claimed.shard)
        if row.frozen_reason or row.epoch != claimed.epoch or row.seq >= claimed.seq:
            return True
        following = await self._outbox.find(claimed.shard, Mark(row.epoch, row.seq + 1))
        if following is not None:
            return following.hash != hash_of(row.hash, following.payload)
        # It is not there, or was trimmed since the row was read: then the ledger has moved.
        return (await self.read_row(claimed.shard)).mark == row.mark

    async def _was_read(self, shard: int, end: int) -> bool:
        """True if the persisters have read up to `end`; what a frozen row cannot take need not be read."""
        row = await self.read_row(shard)
        return bool(row.frozen_reason) or await self._reading.read_up_to(shard) >= end


def _no_row(shard: int, shards: int) -> LedgerRow:
    """What stands for a row that is not there: epoch 0, as a blank Redis."""
    return LedgerRow(shard, shards, epoch=0, seq=0, hash="", settled_epoch=0, settled_seq=0, frozen_reason="")


def _difference(claimed: Claimed, row: LedgerRow) -> str:
    redis = f"commit {claimed.epoch}-{claimed.seq} ({claimed.hash[:12] or 'none'})" if claimed.epoch else "nothing"
    return f"the ledger ends at commit {row.mark} ({row.hash[:12] or 'none'}) and Redis holds {redis}"
