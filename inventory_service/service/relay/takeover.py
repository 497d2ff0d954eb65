"""Takes over a shard that does not serve: compares it with the ledger and, where both agree, adopts it in a new epoch.

Any number of take-overs may run at once and end at any step. Its beginning only stops the shard, the fence is a
compare-and-set on the ledger's row, and a shard is adopted only if no later take-over has begun, and only in the Redis
process in which this one began.
"""

from collections.abc import Callable, Iterator
from enum import StrEnum
from typing import NamedTuple

from inventory_service.domain.shard_ports import CommitOffsets, LedgerRows, Outbox, Shards
from inventory_service.domain.shards import ADOPTED, NEEDS_RESTORE, BegunTakeover, CommitId, Fenced, LedgerRow, follows
from inventory_service.service.relay.catch_up import CatchUp, LedgerCatchUp


class Ending(StrEnum):
    """How one attempt ended. After anything but ADOPTED and SERVING another attempt begins at the first step."""

    ADOPTED = "ADOPTED"
    SERVING = "SERVING"  # another process was faster
    NEWER_EPOCH = "NEWER_EPOCH"  # Redis is of a newer epoch than the row that was read
    OVERTAKEN = "OVERTAKEN"  # another take-over began or fenced, or Redis restarted
    LEDGER_REFUSES = "LEDGER_REFUSES"  # thawed once, the ledger still does not take the commit that follows in Redis
    NEEDS_RESTORE = "NEEDS_RESTORE"  # Redis and the ledger differ, or the ledger is known to lack what Redis lacks too


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
        offsets: CommitOffsets,
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
        before = await self.read_row(shard)
        takeover = await self.begin(shard, before)
        if isinstance(takeover, str):
            return Attempt(Ending(takeover))
        caught_up = await self.catch_up(takeover)
        row = await self.read_row(shard)
        if caught_up is CatchUp.REPLACED or row.epoch != before.epoch:
            return Attempt(Ending.OVERTAKEN)
        if row.hash != takeover.hash or caught_up is CatchUp.RECORDS_DELETED or row.seen > row.commit_id:
            return await self._refuse(takeover, row, caught_up)
        fenced = await self.fence(takeover, row)
        if fenced is None or not await self.adopt(takeover, fenced):
            return Attempt(Ending.OVERTAKEN)
        return Attempt(Ending.ADOPTED, fenced.row.epoch)

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

    async def catch_up(self, takeover: BegunTakeover) -> CatchUp:
        """Step 3: wait until the ledger has applied all that it can."""
        return await LedgerCatchUp(takeover, self._shards, self._outbox, self._ledger, self._offsets).wait()

    async def fence(self, takeover: BegunTakeover, row: LedgerRow) -> Fenced | None:
        """Step 4: begin a new epoch in the ledger, if its row is still as it was read after step 3; None if it is not.

        Always a new one, even if the row stands at an epoch's start: the Redis of that epoch may still run.
        """
        if row.epoch == 0:
            offsets = await self._offsets.offsets(takeover.shard)
            return await self._ledger.open(takeover.shard, self._shard_count, offsets.beginning)
        return await self._ledger.fence(row, above=takeover.epoch, how=ADOPTED)

    async def adopt(self, takeover: BegunTakeover, fenced: Fenced) -> bool:
        """Step 5: serve again, if neither take-over nor Redis was replaced."""
        return await self._shards.adopt(takeover, fenced)

    async def _refuse(self, takeover: BegunTakeover, row: LedgerRow, caught_up: CatchUp) -> Attempt:
        """Freeze the shard for what keeps it from being adopted."""
        ending, reason = Ending.NEEDS_RESTORE, f"{NEEDS_RESTORE}: {'; '.join(_objections(takeover, row, caught_up))}"
        if row.hash != takeover.hash and row.frozen_reason and await self._could_follow(row):
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


def _objections(takeover: BegunTakeover, row: LedgerRow, caught_up: CatchUp) -> Iterator[str]:
    """Why Redis cannot serve as it is, a sentence each."""
    if row.hash != takeover.hash:
        redis = f"commit {takeover.epoch}-{takeover.seq} ({takeover.hash[:12] or 'none'})"
        stands = redis if takeover.epoch else "nothing"
        yield f"the ledger ends at commit {row.commit_id} ({row.hash[:12] or 'none'}) and Redis holds {stands}"
    if row.seen > row.commit_id:
        yield f"Kafka has shown the ledger commit {row.seen}, which it could not apply, and it ends at {row.commit_id}"
    if caught_up is CatchUp.RECORDS_DELETED:
        yield f"Kafka has deleted records from offset {row.read_offset} on that the ledger had not read"
