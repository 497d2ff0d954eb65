"""Take over a shard that does not serve: hold it against the ledger and, where they agree, adopt it under a new epoch.

Any number of take-overs may run at once and end at any step. Its first step only stops the shard, the fence is a
compare-and-set on the ledger's row, and a shard is adopted only by the take-over whose token it still has, in the Redis
process in which that one began.
"""

from collections.abc import Callable
from enum import StrEnum
from typing import NamedTuple

from inventory_service.domain.shard_ports import LedgerRows, Outbox, PersisterOffsets, Shards
from inventory_service.domain.shards import NEEDS_RESTORE, BegunTakeover, CommitId, LedgerRow, follows
from inventory_service.service.relay.catch_up import LedgerCatchUp


class Ending(StrEnum):
    """How one attempt ended. After anything but ADOPTED and SERVING another attempt begins at the first step."""

    ADOPTED = "ADOPTED"
    SERVING = "SERVING"  # another take-over was faster
    NEWER_EPOCH = "NEWER_EPOCH"  # Redis is of a newer epoch than the row that was read
    OVERTAKEN = "OVERTAKEN"  # another take-over began or fenced, or Redis restarted
    LEDGER_REFUSES = "LEDGER_REFUSES"  # the ledger was asked once more, and still does not take what follows in Redis
    NEEDS_RESTORE = "NEEDS_RESTORE"  # Redis and the ledger differ: it would have to be rebuilt from the ledger


class Attempt(NamedTuple):
    """What came of one attempt."""

    ending: Ending
    epoch: int = 0  # the one that was drawn, if ADOPTED
    detail: str = ""


class ShardTakeover:
    """The five steps, one method each; `attempt` holds their order."""

    def __init__(
        self,
        shard_count: int,
        shards: Shards,
        outbox: Outbox,
        ledger: LedgerRows,
        reading: PersisterOffsets,
        new_token: Callable[[], str],
    ) -> None:
        self._shard_count = shard_count
        self._shards = shards
        self._outbox = outbox
        self._ledger = ledger
        self._reading = reading
        self._new_token = new_token
        self._tokens: dict[int, str] = {}

    async def attempt(self, shard: int) -> Attempt:
        row = await self.read_row(shard)
        begun = await self.begin(shard, row)
        if isinstance(begun, str):
            return Attempt(Ending(begun))
        if not await self.drain(begun):
            return Attempt(Ending.OVERTAKEN)
        epoch = await self.fence(begun, row)
        if epoch is None:
            return await self._not_fenced(begun, row)
        if not await self.adopt(begun, epoch):
            return Attempt(Ending.OVERTAKEN)
        return Attempt(Ending.ADOPTED, epoch)

    def made(self, shard: int, token: str) -> bool:
        """Whether this is the token of the latest attempt made here, which may have ended half-way."""
        return self._tokens.get(shard) == token

    async def read_row(self, shard: int) -> LedgerRow:
        """Step 1: the ledger's row, before anything else, for the fence compares with it."""
        return await self._ledger.row(shard) or _no_row(shard, self._shard_count)

    async def begin(self, shard: int, row: LedgerRow) -> BegunTakeover | str:
        """Step 2: stop the shard and learn where it stands. The relay goes on sending what its outbox holds."""
        self._tokens[shard] = self._new_token()
        return await self._shards.begin_takeover(shard, self._tokens[shard], row.epoch, bool(row.frozen_reason))

    async def drain(self, begun: BegunTakeover) -> bool:
        """Step 3: wait until the ledger has all that it can take; False as soon as a later take-over began."""
        return await LedgerCatchUp(begun, self._shards, self._outbox, self._ledger, self._reading).wait()

    async def fence(self, begun: BegunTakeover, row: LedgerRow) -> int | None:
        """Step 4: draw a new epoch in the ledger, if its row is of the epoch that was read and agrees with Redis.

        Always a new one, even if the row stands at an epoch's start: the Redis that it was drawn for may live.
        """
        return await self._ledger.fence(begun.shard, self._shard_count, row.epoch, begun.hash)

    async def adopt(self, begun: BegunTakeover, epoch: int) -> bool:
        """Step 5: serve again, if the token and the Redis process are still the same."""
        return await self._shards.adopt(begun, epoch, self._shard_count)

    async def _not_fenced(self, begun: BegunTakeover, before: LedgerRow) -> Attempt:
        row = await self.read_row(begun.shard)
        if row.epoch != before.epoch or row.hash == begun.hash:
            return Attempt(Ending.OVERTAKEN)
        ending, reason = Ending.NEEDS_RESTORE, f"{NEEDS_RESTORE}: {_difference(begun, row)}"
        if row.frozen_reason and await self._could_follow(row):
            ending, reason = Ending.LEDGER_REFUSES, row.frozen_reason
        await self._shards.freeze(begun.shard, begun.epoch, reason, begun.token)
        return Attempt(ending, detail=reason)

    async def _could_follow(self, row: LedgerRow) -> bool:
        """Whether Redis holds what the ledger would have to take next, so that nothing is lost."""
        following = await self._outbox.find(row.shard, CommitId(row.epoch, row.seq + 1))
        return following is not None and follows(following, row)


def _no_row(shard: int, shard_count: int) -> LedgerRow:
    """What stands for a row that is not there: epoch 0, as a blank Redis."""
    return LedgerRow(shard, shard_count, epoch=0, seq=0, hash="", settled_epoch=0, settled_seq=0, frozen_reason="")


def _difference(begun: BegunTakeover, row: LedgerRow) -> str:
    redis = f"commit {begun.epoch}-{begun.seq} ({begun.hash[:12] or 'none'})" if begun.epoch else "nothing"
    return f"the ledger ends at commit {row.commit_id} ({row.hash[:12] or 'none'}) and Redis holds {redis}"
