"""See whether a shard serves, and take it over when it does not, again and again with growing delays."""

import asyncio
from collections.abc import Callable

from structlog.typing import FilteringBoundLogger

from inventory_service.domain.shard_ports import LedgerRows, Shards
from inventory_service.domain.shards import LEDGER_WENT_BACK, NEEDS_RESTORE, ShardStatus, check_shard_count
from inventory_service.entrypoints.patience import GrowingDelay
from inventory_service.service.relay.takeover import Ending, ShardTakeover

LOOK_S = 0.5
COMPARE_S = 10.0  # between two looks at the row of a shard that serves
LONGEST_RETRY_S = 30.0


class ShardMonitor:
    """One shard's keeper. `look` is one look, with what it calls for; whoever owns the keeper repeats it for ever."""

    def __init__(
        self,
        shard: int,
        shard_count: int,
        shards: Shards,
        ledger: LedgerRows,
        takeover: ShardTakeover,
        log: FilteringBoundLogger,
        monotonic: Callable[[], float],
        takeover_timeout_s: float,
    ) -> None:
        self._shard = shard
        self._shard_count = shard_count
        self._shards = shards
        self._ledger = ledger
        self._take_over = takeover
        self._log = log
        self._monotonic = monotonic
        self._takeover_timeout_s = takeover_timeout_s
        self._foreign_takeover = ("", 0.0)  # and when it was first seen
        self._retry = GrowingDelay(first_s=0.2, longest_s=LONGEST_RETRY_S)
        self._said = ""
        self._next_comparison = monotonic()

    async def look(self) -> None:
        status = await self._shards.status(self._shard)
        check_shard_count(self._shard_count, status.shards, "Redis")
        self._say(status)
        if status.serving:
            await self._compare_with_ledger_if_due()
        if status.serving or await self._recover(status):
            self._retry.reset()
            await asyncio.sleep(LOOK_S)
        else:
            await self._retry.wait()

    async def freeze_if_ledger_went_back(self) -> None:
        """Freeze the shard if its row, read after the trim point was, stands below it: then Postgres was set back."""
        status = await self._shards.status(self._shard)
        row = await self._ledger.row(self._shard)
        if status.blank or (row is not None and row.commit_id >= status.trimmed):
            return
        stands = f"at commit {row.commit_id}" if row else "nowhere"
        reason = f"{LEDGER_WENT_BACK}: the ledger stands {stands}, and had reported commit {status.trimmed}"
        await self._shards.freeze(self._shard, status.epoch, reason)

    async def _compare_with_ledger_if_due(self) -> None:
        """A ledger that was wiped or made anew reports nothing, so somebody has to look."""
        if self._monotonic() >= self._next_comparison:
            await self.freeze_if_ledger_went_back()
            self._next_comparison = self._monotonic() + COMPARE_S

    async def _recover(self, status: ShardStatus) -> bool:
        if status.blank:
            await self._mark_lost(status)
            return False
        if self._taken_over_by_another(status):
            return False
        attempt = await self._take_over.attempt(self._shard)
        self._log.info("takeover", ending=attempt.ending.value, epoch=attempt.epoch, detail=attempt.detail)
        if attempt.ending is Ending.NEWER_EPOCH:
            await self.freeze_if_ledger_went_back()
        return attempt.ending is Ending.ADOPTED

    async def _mark_lost(self, status: ShardStatus) -> None:
        """Only `init` opens a blank shard, and nobody does if the ledger has commits of it: Redis then says so too."""
        row = await self._ledger.row(self._shard)
        if row is not None and row.hash and not status.frozen_reason:
            lost = f"the ledger ends at commit {row.commit_id} and Redis holds nothing"
            await self._shards.freeze(self._shard, 0, f"{NEEDS_RESTORE}: {lost}")

    def _taken_over_by_another(self, status: ShardStatus) -> bool:
        """A take-over that began just now is left alone, lest two relays end each other's; an old one was abandoned."""
        if not status.takeover_token or self._take_over.made(self._shard, status.takeover_token):
            return False
        if status.takeover_token != self._foreign_takeover[0]:
            self._foreign_takeover = (status.takeover_token, self._monotonic())
        return self._monotonic() - self._foreign_takeover[1] < self._takeover_timeout_s

    def _say(self, status: ShardStatus) -> None:
        """Log what the shard does when it does something else than before."""
        doing = _doing(status)
        if doing != self._said:
            self._said = doing
            self._log.info("shard_state", state=doing, epoch=status.epoch, seq=status.seq)


def _doing(status: ShardStatus) -> str:
    if status.frozen_reason:
        return f"frozen: {status.frozen_reason}"
    if status.blank:
        return "blank: opened by `holdfast init`, if the ledger holds nothing of it"
    if status.takeover_token:
        return "in a take-over"
    return "serving" if status.serving else "not owned: Redis is another process than it was opened for"
