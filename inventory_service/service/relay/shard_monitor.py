"""Checks whether a shard serves, and takes it over when it does not, with growing delays between attempts."""

import asyncio
from collections.abc import Callable
from typing import NamedTuple

from structlog.typing import FilteringBoundLogger

from holdfast_runtime.retry import Backoff
from inventory_service.domain.restore import Comparison, Permission, remedy
from inventory_service.domain.shard_ports import CommitOffsets, LedgerRows, Shards
from inventory_service.domain.shards import NEEDS_RESTORE, CommitId, ShardStatus, check_shard_count
from inventory_service.service.relay.takeover import Ending, ShardTakeover
from inventory_service.service.relay.turn import ShardTurn

CHECK_INTERVAL_S = 0.5
WAITING_CHECK_INTERVAL_S = 1.0  # of a shard that does not serve and waits for its next attempt
COMPARE_INTERVAL_S = 10.0  # between two reads of the ledger's row of a shard that serves
FIRST_RETRY_S, MAX_RETRY_S = 0.2, 10.0
MAX_AHEAD_MS = 1000  # by which a shard's time may be ahead of Redis' clock without a warning


class MonitorPorts(NamedTuple):
    """What monitors depend on."""

    shards: Shards
    ledger: LedgerRows
    offsets: CommitOffsets
    takeover: ShardTakeover
    monotonic: Callable[[], float]


class ShardMonitor:
    """The monitor of one shard; the relay repeats `check` for ever."""

    def __init__(
        self,
        shard: int,
        shard_count: int,
        ports: MonitorPorts,
        turn: ShardTurn,
        permission: Permission,
        log: FilteringBoundLogger,
        loaded: Callable[[], None],
        observe: Callable[[ShardStatus], None] = lambda status: None,
    ) -> None:
        self._shard = shard
        self._shard_count = shard_count
        self._shards, self._ledger, self._offsets, self._takeover, self._monotonic = ports
        self._turn = turn
        self._permission = permission  # what a take-over may load
        self._log = log
        self._loaded = loaded  # called once the shard was loaded
        self._observe = observe  # called with the status of each check
        self._retry = Backoff(FIRST_RETRY_S, MAX_RETRY_S)
        self._logged_state = ""
        self._was_ahead = False
        self._next_comparison = self._monotonic()
        self._deleted: tuple[int, CommitId] | None = None  # what Kafka deleted unread, and Redis' head by then

    async def check(self) -> None:
        """Check once, recover the shard if it does not serve, and wait until the next check is due."""
        status = await self._shards.status(self._shard)
        self._observe(status)
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
        await self._takeover.freeze_if_ledger_went_back(self._shard)

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
        if status.blank and not (status.void or await self._may_load_blank(status)):
            return False
        attempt = await self._turn.attempt(status, self._permission)
        if attempt is None:
            return False
        self._log.info("takeover", ending=attempt.ending.value, epoch=attempt.epoch, detail=attempt.detail)
        if attempt.ending is Ending.NEWER_EPOCH:
            await self.freeze_if_ledger_went_back()
        if attempt.ending is Ending.LOADED:
            self._loaded()
        return attempt.ending in (Ending.ADOPTED, Ending.LOADED)

    async def _may_load_blank(self, status: ShardStatus) -> bool:
        """Freeze a blank shard of which the ledger has commits, unless it may be loaded without being asked.

        One of which the ledger has none is opened by `init`.
        """
        row = await self._ledger.row(self._shard)
        if row is None or not row.hash or self._permission.blank:
            return row is not None and bool(row.hash)
        if not status.frozen_reason:
            lost = f"the ledger ends at commit {row.commit_id} and Redis holds nothing"
            what_to_do = remedy(self._shard, Comparison.BLANK, known_lost=False)
            await self._shards.freeze(self._shard, 0, f"{NEEDS_RESTORE}: {lost}; {what_to_do}")
        return False

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
        """Where Redis and the ledger stand. No attempt that ends without success changes it twice.

        It may freeze and thaw the shard and begin an epoch in the ledger, so those do not count; the hash stays.
        """
        status, row = await self._shards.status(self._shard), await self._ledger.row(self._shard)
        return status.epoch, status.seq, status.hash, status.serving, row and row.hash

    def _log_state(self, status: ShardStatus) -> None:
        """Log the shard's state, and whether its time is ahead of Redis' clock, when it has changed."""
        is_ahead = status.ahead_ms > MAX_AHEAD_MS
        if is_ahead != self._was_ahead:
            self._was_ahead = is_ahead
            self._log.warning("shard_time_ahead", is_ahead=is_ahead, ahead_s=status.ahead_ms / 1000)
        state = _state(status)
        if state != self._logged_state:
            self._logged_state = state
            self._log.info("shard_state", state=state, epoch=status.epoch, seq=status.seq)


def _state(status: ShardStatus) -> str:
    if status.void and status.takeover_token:
        return "being loaded from the ledger"
    if status.frozen_reason:
        return f"frozen: {status.frozen_reason}"
    if status.void:
        return "void: a load from the ledger was cut off"
    if status.blank:
        return "blank: opened by `holdfast init` if it is new, else by `holdfast restore`"
    if status.takeover_token:
        return "being taken over"
    return "serving" if status.serving else "not owned: this Redis is not the one that the shard was opened for"
