"""Checks whether a shard serves, and takes it over when it does not, with growing delays between attempts."""

import asyncio
from collections.abc import Callable

from structlog.typing import FilteringBoundLogger

from holdfast_runtime.retry import Backoff
from inventory_service.domain.shard_ports import CommitOffsets, LedgerRows, Shards
from inventory_service.domain.shards import LEDGER_WENT_BACK, NEEDS_RESTORE, CommitId, ShardStatus, check_shard_count
from inventory_service.service.relay.takeover import Ending, ShardTakeover

CHECK_INTERVAL_S = 0.5
WAITING_CHECK_INTERVAL_S = 1.0  # of a shard that does not serve and waits for its next attempt
COMPARE_INTERVAL_S = 10.0  # between two reads of the ledger's row of a shard that serves
FIRST_RETRY_S, MAX_RETRY_S = 0.2, 10.0


class ShardMonitor:
    """The monitor of one shard; the relay repeats `check` for ever."""

    def __init__(
        self,
        shard: int,
        shard_count: int,
        shards: Shards,
        ledger: LedgerRows,
        offsets: CommitOffsets,
        takeover: ShardTakeover,
        log: FilteringBoundLogger,
        monotonic: Callable[[], float],
        takeover_timeout_s: float,
    ) -> None:
        self._shard = shard
        self._shard_count = shard_count
        self._shards = shards
        self._ledger = ledger
        self._offsets = offsets
        self._takeover = takeover
        self._log = log
        self._monotonic = monotonic
        self._takeover_timeout_s = takeover_timeout_s
        self._foreign_takeover = ("", 0.0)  # and when it was first seen
        self._retry = Backoff(FIRST_RETRY_S, MAX_RETRY_S)
        self._logged_state = ""
        self._next_comparison = monotonic()
        self._deleted: tuple[int, CommitId] | None = None  # what Kafka deleted unread, and Redis' head by then

    async def check(self) -> None:
        """Check once, recover the shard if it does not serve, and wait until the next check is due."""
        status = await self._shards.status(self._shard)
        check_shard_count(self._shard_count, status.shards, "Redis")
        self._log_state(status)
        if status.serving:
            await self._compare_with_ledger_if_due()
        if status.serving or await self._recover(status):
            self._retry.reset()
            await asyncio.sleep(CHECK_INTERVAL_S)
        else:
            await self._wait_for_change()

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
        """A ledger that was emptied publishes no progress, so its row is read from time to time."""
        if self._monotonic() >= self._next_comparison:
            self._next_comparison = self._monotonic() + COMPARE_INTERVAL_S
            await self.freeze_if_ledger_went_back()
            await self._skip_deleted_records()

    async def _skip_deleted_records(self) -> None:
        """Have the row skip records that Kafka deleted unread, once it has all that Redis had made by then.

        A take-over finds a row that has not read such records: then nothing tells what they were.
        """
        beginning = (await self._offsets.offsets(self._shard)).beginning
        status = await self._shards.status(self._shard)
        row = await self._ledger.row(self._shard)
        if row is None or row.read_offset >= beginning or not status.serving:
            self._deleted = None
            return
        if self._deleted is None or self._deleted[1].epoch != status.epoch:
            self._deleted = beginning, status.head
        skip_to, head = self._deleted
        if status.trimmed >= head and await self._ledger.skip_deleted(row, skip_to):
            self._log.info("deleted_records_skipped", first=row.read_offset, next=skip_to)

    async def _recover(self, status: ShardStatus) -> bool:
        if status.blank:
            await self._mark_lost(status)
            return False
        if self._is_taken_over_elsewhere(status):
            return False
        attempt = await self._takeover.attempt(self._shard)
        self._log.info("takeover", ending=attempt.ending.value, epoch=attempt.epoch, detail=attempt.detail)
        if attempt.ending is Ending.NEWER_EPOCH:
            await self.freeze_if_ledger_went_back()
        return attempt.ending is Ending.ADOPTED

    async def _mark_lost(self, status: ShardStatus) -> None:
        """Freeze a blank shard of which the ledger has commits: `init` opens only what both stores have empty."""
        row = await self._ledger.row(self._shard)
        if row is not None and row.hash and not status.frozen_reason:
            lost = f"the ledger ends at commit {row.commit_id} and Redis holds nothing"
            await self._shards.freeze(self._shard, 0, f"{NEEDS_RESTORE}: {lost}")

    async def _wait_for_change(self) -> None:
        """Wait until the next attempt is due, or until one of the stores has moved, which may end what it failed for.

        A store that is unavailable meanwhile ends the wait too: it may come back with other data.
        """
        due, before = self._monotonic() + self._retry.take(), await self._positions()
        while (left_s := due - self._monotonic()) > 0:
            await asyncio.sleep(min(left_s, WAITING_CHECK_INTERVAL_S))
            if await self._positions() != before:
                self._retry.reset()
                return

    async def _positions(self) -> tuple[object, ...]:
        """Where Redis and the ledger stand. An attempt, which may freeze and thaw the shard, changes none of it."""
        status, row = await self._shards.status(self._shard), await self._ledger.row(self._shard)
        return status.epoch, status.seq, status.hash, status.serving, row and (row.commit_id, row.hash)

    def _is_taken_over_elsewhere(self, status: ShardStatus) -> bool:
        """Leave a recent take-over of another process alone, so that two do not interrupt each other for ever."""
        if not status.takeover_token or self._takeover.started(self._shard, status.takeover_token):
            return False
        if status.takeover_token != self._foreign_takeover[0]:
            self._foreign_takeover = (status.takeover_token, self._monotonic())
        return self._monotonic() - self._foreign_takeover[1] < self._takeover_timeout_s

    def _log_state(self, status: ShardStatus) -> None:
        """Log the shard's state when it has changed."""
        state = _state(status)
        if state != self._logged_state:
            self._logged_state = state
            self._log.info("shard_state", state=state, epoch=status.epoch, seq=status.seq)


def _state(status: ShardStatus) -> str:
    if status.frozen_reason:
        return f"frozen: {status.frozen_reason}"
    if status.blank:
        return "blank: opened by `holdfast init`, if the ledger holds nothing of it"
    if status.takeover_token:
        return "being taken over"
    return "serving" if status.serving else "not owned: this Redis process is not the one that the shard was opened for"
