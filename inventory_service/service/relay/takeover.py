"""Takes over a shard that does not serve: compares it with the ledger and, where both agree, adopts it in a new epoch.

Any number of take-overs may run at once and end at any step. Its beginning only stops the shard, the fence is a
compare-and-set on the ledger's row, and a shard is adopted only if no later take-over has begun, and only in the Redis
process in which this one began.
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
    SERVING = "SERVING"  # another process was faster
    NEWER_EPOCH = "NEWER_EPOCH"  # Redis is of a newer epoch than the row that was read
    OVERTAKEN = "OVERTAKEN"  # another take-over began or fenced, or Redis restarted
    LEDGER_REFUSES = "LEDGER_REFUSES"  # thawed once, the ledger still does not take the commit that follows in Redis
    NEEDS_RESTORE = "NEEDS_RESTORE"  # Redis and the ledger differ: Redis would have to be rebuilt from the ledger


class Attempt(NamedTuple):
    """The result of one attempt."""

    ending: Ending
    epoch: int = 0  # the new one, if ADOPTED
    detail: str = ""


class ShardTakeover:
    """The five steps, one method each; `attempt` has their order."""

    def __init__(
        self,
        shard_count: int,
        shards: Shards,
        outbox: Outbox,
        ledger: LedgerRows,
        offsets: PersisterOffsets,
        new_token: Callable[[], str],
    ) -> None:
        self._shard_count = shard_count
        self._shards = shards
        self._outbox = outbox
        self._ledger = ledger
        self._offsets = offsets
        self._new_token = new_token
        self._tokens: dict[int, str] = {}

    async def attempt(self, shard: int) -> Attempt:
        row = await self.read_row(shard)
        takeover = await self.begin(shard, row)
        if isinstance(takeover, str):
            return Attempt(Ending(takeover))
        if not await self.catch_up(takeover):
            return Attempt(Ending.OVERTAKEN)
        epoch = await self.fence(takeover, row)
        if epoch is None:
            return await self._explain_no_fence(takeover, row)
        if not await self.adopt(takeover, epoch):
            return Attempt(Ending.OVERTAKEN)
        return Attempt(Ending.ADOPTED, epoch)

    def started(self, shard: int, token: str) -> bool:
        """Whether this is the token of this process' latest attempt, which may have ended half-way."""
        return self._tokens.get(shard) == token

    async def read_row(self, shard: int) -> LedgerRow:
        """Step 1: read the ledger's row, before anything else, for the fence compares with it."""
        return await self._ledger.row(shard) or _no_row(shard, self._shard_count)

    async def begin(self, shard: int, row: LedgerRow) -> BegunTakeover | str:
        """Step 2: stop the shard and read its head. The relay goes on publishing its outbox."""
        self._tokens[shard] = self._new_token()
        return await self._shards.begin_takeover(shard, self._tokens[shard], row.epoch, bool(row.frozen_reason))

    async def catch_up(self, takeover: BegunTakeover) -> bool:
        """Step 3: wait until the ledger has applied all that it can; False if another take-over replaced this one."""
        return await LedgerCatchUp(takeover, self._shards, self._outbox, self._ledger, self._offsets).wait()

    async def fence(self, takeover: BegunTakeover, row: LedgerRow) -> int | None:
        """Step 4: begin a new epoch in the ledger, if its row still has the epoch that was read and Redis' hash.

        Always a new one, even if the row stands at an epoch's start: the Redis of that epoch may still run.
        """
        return await self._ledger.fence(takeover.shard, self._shard_count, row.epoch, takeover.hash)

    async def adopt(self, takeover: BegunTakeover, epoch: int) -> bool:
        """Step 5: serve again, if neither take-over nor Redis process was replaced."""
        return await self._shards.adopt(takeover, epoch, self._shard_count)

    async def _explain_no_fence(self, takeover: BegunTakeover, before: LedgerRow) -> Attempt:
        row = await self.read_row(takeover.shard)
        if row.epoch != before.epoch or row.hash == takeover.hash:
            return Attempt(Ending.OVERTAKEN)
        ending, reason = Ending.NEEDS_RESTORE, f"{NEEDS_RESTORE}: {_difference(takeover, row)}"
        if row.frozen_reason and await self._could_follow(row):
            ending, reason = Ending.LEDGER_REFUSES, row.frozen_reason
        await self._shards.freeze(takeover.shard, takeover.epoch, reason, takeover.token)
        return Attempt(ending, detail=reason)

    async def _could_follow(self, row: LedgerRow) -> bool:
        """Whether the outbox still has the commit that the ledger needs next."""
        following = await self._outbox.find(row.shard, CommitId(row.epoch, row.seq + 1))
        return following is not None and follows(following, row)


def _no_row(shard: int, shard_count: int) -> LedgerRow:
    """The row of a shard that the ledger does not know: epoch 0, as a blank Redis."""
    return LedgerRow(shard, shard_count, epoch=0, seq=0, hash="", settled_epoch=0, settled_seq=0, frozen_reason="")


def _difference(takeover: BegunTakeover, row: LedgerRow) -> str:
    redis = f"commit {takeover.epoch}-{takeover.seq} ({takeover.hash[:12] or 'none'})" if takeover.epoch else "nothing"
    return f"the ledger ends at commit {row.commit_id} ({row.hash[:12] or 'none'}) and Redis holds {redis}"
