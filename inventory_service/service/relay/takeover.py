"""Takes over a shard that does not serve: compares it with the ledger and begins a new epoch in both.

Where Redis and the ledger agree the shard is adopted as it is; else it is loaded from the ledger, if that is permitted.
Any number of take-overs may run at once and end at any step. Its beginning only stops the shard, the fence is a
compare-and-set on the ledger's row, and a shard is adopted or loaded only if no later take-over has begun, and only in
the Redis in which this one began.
"""

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from enum import StrEnum
from typing import NamedTuple

from inventory_service.domain.restore import NOTHING, Comparison, Permission, remedy
from inventory_service.domain.shard_load import CannotLoad
from inventory_service.domain.shard_ports import CommitOffsets, LedgerRows, Orphans, Outbox, Shards
from inventory_service.domain.shards import (
    ADOPTED,
    LEDGER_WENT_BACK,
    LOADED,
    NEEDS_RESTORE,
    VOID,
    AcceptedLoss,
    BegunTakeover,
    Commit,
    CommitId,
    Fenced,
    LedgerRow,
    ShardStatus,
)
from inventory_service.service.relay.catch_up import CatchUp, CaughtUp, LedgerCatchUp, next_in_outbox
from inventory_service.service.relay.loader import ShardLoad, ShardLoader

ACCEPTED_LOSS = "dropped: its loss was accepted"
AFTER_REPAIR = "once the cause is repaired the shard opens by itself"


class Ending(StrEnum):
    """How one attempt ended. After anything but ADOPTED, LOADED and SERVING another one begins at the first step."""

    ADOPTED = "ADOPTED"
    LOADED = "LOADED"  # from the ledger
    SERVING = "SERVING"  # another process was faster
    NEWER_EPOCH = "NEWER_EPOCH"  # Redis is of a newer epoch than the row that was read
    OVERTAKEN = "OVERTAKEN"  # another take-over began or fenced, or Redis restarted
    LOADER_BUSY = "LOADER_BUSY"  # this process loads as many shards as it may at the same time
    LEDGER_REFUSES = "LEDGER_REFUSES"  # thawed once, the ledger still does not take the commit that follows in Redis
    NEEDS_RESTORE = "NEEDS_RESTORE"  # Redis and the ledger differ, or the ledger is known to lack what Redis lacks too


class Attempt(NamedTuple):
    """The result of one attempt."""

    ending: Ending
    epoch: int = 0  # the new one, if ADOPTED or LOADED
    detail: str = ""
    orphans: int = 0  # changes that were dropped, and are listed now


class Findings(NamedTuple):
    """What a take-over found once the ledger had caught up."""

    row: LedgerRow
    comparison: Comparison
    objections: tuple[str, ...]  # what tells that commits are lost, a sentence each
    ledger_refuses: bool  # the outbox has the commit that the ledger takes next, and its row is frozen

    @property
    def known_lost(self) -> bool:
        return bool(self.objections)

    @property
    def remedy(self) -> str:
        """What opens the shard, for an operator."""
        command = remedy(self.row.shard, self.comparison, self.known_lost and self.row.epoch > 0)
        return f"{AFTER_REPAIR}, else {command}" if self.ledger_refuses else command


class ShardTakeover:
    """The five steps, one method each; `attempt` has their order."""

    def __init__(
        self,
        shard_count: int,
        shards: Shards,
        outbox: Outbox,
        ledger: LedgerRows,
        offsets: CommitOffsets,
        loader: ShardLoader,
        orphans: Orphans,
        new_token: Callable[[], str],
    ) -> None:
        self._shard_count = shard_count
        self._shards = shards
        self._outbox = outbox
        self._ledger = ledger
        self._offsets = offsets
        self._loader = loader
        self._orphans = orphans
        self._new_token = new_token
        self._tokens: dict[int, str] = {}

    async def attempt(self, shard: int, permission: Permission = NOTHING) -> Attempt:
        """One attempt."""
        before = await self.read_row(shard)
        takeover = await self.begin(shard, before, permission.force)
        if isinstance(takeover, str):
            return Attempt(Ending(takeover))
        caught_up, row = await self.catch_up(takeover)
        row = row or _no_row(shard, self._shard_count)
        if caught_up is CatchUp.REPLACED or row.epoch != before.epoch:
            return Attempt(Ending.OVERTAKEN)
        found = await self.examine(takeover, row, caught_up)
        if not permission.allows(found.comparison, found.known_lost):
            return await self._refuse(takeover, found)
        if found.comparison is Comparison.EQUAL and not permission.force:
            return await self._adopt(takeover, found, permission)
        return await self._load(takeover, found, permission)

    def loader_slot(self, shard: int) -> AbstractAsyncContextManager[None]:
        """Wait until the shard may be loaded; an attempt inside the block is not told that the loader is busy."""
        return self._loader.slots.wait(shard)

    async def freeze_if_ledger_went_back(self, shard: int) -> None:
        """Freeze the shard if its row, read after the trim point was, stands below it: then Postgres was set back."""
        status = await self._shards.status(shard)
        row = await self._ledger.row(shard)
        if status.blank or (row is not None and row.commit_id >= status.trimmed):
            return
        stands = f"at commit {row.commit_id}" if row else "nowhere"
        reason = f"{LEDGER_WENT_BACK}: the ledger stands {stands}, and had reported commit {status.trimmed}"
        await self._shards.freeze(shard, status.epoch, reason)

    def started(self, shard: int, token: str) -> bool:
        """Whether this is the token of this process' latest attempt, which may have ended half-way."""
        return self._tokens.get(shard) == token

    async def read_row(self, shard: int) -> LedgerRow:
        """Step 1: read the ledger's row, before anything else, for the fence compares with it."""
        return await self._ledger.row(shard) or _no_row(shard, self._shard_count)

    async def begin(self, shard: int, row: LedgerRow, force: bool = False) -> BegunTakeover | str:
        """Step 2: stop the shard and read its head. The relay goes on publishing its outbox."""
        self._tokens[shard] = self._new_token()
        also_serving = force or bool(row.frozen_reason)
        return await self._shards.begin_takeover(shard, self._tokens[shard], row.epoch, also_serving)

    async def catch_up(self, takeover: BegunTakeover) -> CaughtUp:
        """Step 3: wait until the ledger has applied all that it can."""
        return await LedgerCatchUp(takeover, self._shards, self._outbox, self._ledger, self._offsets).wait()

    async def examine(self, takeover: BegunTakeover, row: LedgerRow, caught_up: CatchUp) -> Findings:
        """What keeps Redis from serving as it is, and what tells that commits are lost."""
        comparison = await self.compare(takeover.shard, CommitId(takeover.epoch, takeover.seq), takeover.hash, row)
        is_frozen = comparison is Comparison.BEYOND and bool(row.frozen_reason)
        refuses = is_frozen and await self._could_follow(takeover, row)
        return Findings(row, comparison, tuple(_objections(takeover, comparison, row, caught_up)), refuses)

    async def preview(self, status: ShardStatus) -> Findings | None:
        """What an attempt would find, as far as the ledger has read; None if the ledger has no row of the shard."""
        row = await self._ledger.row(status.shard)
        if row is None:
            return None
        takeover = BegunTakeover(status.shard, "", status.identity, status.epoch, status.seq, status.hash)
        deleted = row.read_offset < (await self._offsets.offsets(status.shard)).beginning
        found = await self.examine(takeover, row, CatchUp.RECORDS_DELETED if deleted else CatchUp.DONE)
        if found.comparison is Comparison.BEYOND and not row.frozen_reason and await self._could_follow(takeover, row):
            return await self.examine(takeover._replace(hash=row.hash), row, CatchUp.DONE)  # once it has the outbox
        return found

    async def compare(self, shard: int, head: CommitId, hash: str, row: LedgerRow) -> Comparison:
        """Where the head of a shard in Redis stands to the ledger's row.

        A ledger without a row lost it, unless Redis is blank too: also where Redis was copied before its first commit.
        """
        if head.epoch and not row.epoch:
            return Comparison.BEYOND
        if hash == row.hash:
            return Comparison.EQUAL
        if hash == VOID:
            return Comparison.VOID
        if not head.epoch:
            return Comparison.BLANK
        return Comparison.BEHIND if await self._ledger.has_commit(shard, head, hash) else Comparison.BEYOND

    async def fence(
        self, takeover: BegunTakeover, row: LedgerRow, how: str = ADOPTED, loss: AcceptedLoss | None = None
    ) -> Fenced | None:
        """Step 4: begin a new epoch in the ledger, if its row is still as it was read after step 3; None if it is not.

        Always a new one, even if the row stands at an epoch's start: the Redis of that epoch may still run.
        """
        if row.epoch == 0:
            offsets, above = await self._offsets.offsets(takeover.shard), await self._offsets.last_epoch(takeover.shard)
            return await self._ledger.open(takeover.shard, self._shard_count, offsets.beginning, above)
        return await self._ledger.fence(row, takeover.epoch, how, loss)

    async def adopt(self, takeover: BegunTakeover, fenced: Fenced) -> bool:
        """Step 5: serve again, if neither take-over nor Redis was replaced."""
        return await self._shards.adopt(takeover, fenced)

    async def _adopt(self, takeover: BegunTakeover, found: Findings, permission: Permission) -> Attempt:
        loss, orphans = await self._accept_loss(takeover, found, permission)
        fenced = await self.fence(takeover, found.row, ADOPTED, loss)
        if fenced is None or not await self.adopt(takeover, fenced):
            return Attempt(Ending.OVERTAKEN)
        return Attempt(Ending.ADOPTED, fenced.row.epoch, orphans=orphans)

    async def _load(self, takeover: BegunTakeover, found: Findings, permission: Permission) -> Attempt:
        """Step 5 where Redis and the ledger differ: what Redis alone has is listed first, then it is loaded."""
        async with self._loader.load_of(takeover, found.row) as load:
            if load is None:
                return Attempt(Ending.LOADER_BUSY)
            try:
                await load.check_room()
                return await self._run_load(load, takeover, found, permission)
            except CannotLoad as error:
                return await self._freeze(takeover, Ending.NEEDS_RESTORE, f"{NEEDS_RESTORE}: {error}")

    async def _run_load(
        self, load: ShardLoad, takeover: BegunTakeover, found: Findings, permission: Permission
    ) -> Attempt:
        loss, orphans = await self._accept_loss(takeover, found, permission)
        fenced = await self.fence(takeover, found.row, LOADED, loss)
        if fenced is None or not await load.run(fenced):
            return Attempt(Ending.OVERTAKEN)
        return Attempt(Ending.LOADED, fenced.row.epoch, orphans=orphans)

    async def _accept_loss(
        self, takeover: BegunTakeover, found: Findings, permission: Permission
    ) -> tuple[AcceptedLoss | None, int]:
        """List what the outbox has and the ledger has not, before it is dropped; how many changes these are.

        What Kafka alone has is listed by the persister, which reads the partition again.
        """
        if not found.known_lost:
            return None, 0
        kept = 0
        async for commits in self._outbox_of(takeover.shard):
            kept += await self._orphans.keep(takeover.shard, commits, ACCEPTED_LOSS)
        beginning = (await self._offsets.offsets(takeover.shard)).beginning
        return AcceptedLoss(permission.accepted_by, beginning), kept

    async def _outbox_of(self, shard: int) -> AsyncIterator[Sequence[Commit]]:
        after = CommitId(0, 0)
        while commits := await self._outbox.read_after(shard, after, wait_ms=1):
            yield commits
            after = commits[-1].commit_id

    async def _refuse(self, takeover: BegunTakeover, found: Findings) -> Attempt:
        """Freeze the shard for what keeps it from serving."""
        if found.ledger_refuses:
            attempt = await self._freeze(takeover, Ending.LEDGER_REFUSES, found.row.frozen_reason)
            return attempt._replace(detail=f"{attempt.detail}; {found.remedy}")
        why = "; ".join(found.objections) or _stands(takeover, found.row)
        return await self._freeze(takeover, Ending.NEEDS_RESTORE, f"{NEEDS_RESTORE}: {why}; {found.remedy}")

    async def _freeze(self, takeover: BegunTakeover, ending: Ending, reason: str) -> Attempt:
        await self._shards.freeze(takeover.shard, takeover.epoch, reason, takeover.token)
        return Attempt(ending, detail=reason)

    async def _could_follow(self, takeover: BegunTakeover, row: LedgerRow) -> bool:
        """Whether the outbox still has the commit that the ledger needs next."""
        return await next_in_outbox(self._outbox, row, takeover.epoch) is not None


def _no_row(shard: int, shard_count: int) -> LedgerRow:
    """The row of a shard that the ledger does not know: epoch 0, as a blank Redis."""
    return LedgerRow(shard, shard_count, epoch=0, seq=0, hash="", settled_epoch=0, settled_seq=0, frozen_reason="")


def _stands(takeover: BegunTakeover, row: LedgerRow) -> str:
    redis = f"commit {takeover.epoch}-{takeover.seq} ({takeover.hash[:12] or 'none'})" if takeover.epoch else "nothing"
    return f"the ledger ends at commit {row.commit_id} ({row.hash[:12] or 'none'}) and Redis holds {redis}"


def _objections(takeover: BegunTakeover, comparison: Comparison, row: LedgerRow, caught_up: CatchUp) -> Iterator[str]:
    """What tells that commits would be lost, a sentence each."""
    if comparison is Comparison.BEYOND:
        yield _stands(takeover, row) if row.epoch else "the ledger has no row of the shard"
    if row.seen > row.commit_id:
        yield f"Kafka has shown the ledger commit {row.seen}, which it could not apply, and it ends at {row.commit_id}"
    if caught_up is CatchUp.RECORDS_DELETED:
        yield f"Kafka has deleted records from offset {row.read_offset} on that the ledger had not read"
