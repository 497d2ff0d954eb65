"""Runs a shard's background work: publishes its outbox, trims it to the ledger's watermark, expires overdue holds, and
starts a take-over when the shard does not serve.

Two relays of one shard are only wasteful: each starts at the first untrimmed commit, the ledger drops what it has,
Redis trims once, and a take-over is a compare-and-set. So the lease, by which one relay publishes and sweeps while the
others stand by, need not be exact; and what costs next to nothing (trim, freeze, check) every relay does.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing, suppress
from functools import partial
from typing import NamedTuple

from structlog.typing import FilteringBoundLogger

from holdfast_runtime.retry import Outage, Retrier
from inventory_service.domain.backlog import RelayGauges
from inventory_service.domain.ports import BlockedCopies, BlockedList, StockMaintenance
from inventory_service.domain.restore import NOTHING, Permission
from inventory_service.domain.shard_ports import CommitOffsets, CommitTopic, LedgerRows, Outbox, ProgressTopic, Shards
from inventory_service.domain.shards import (
    Commit,
    CommitId,
    KafkaUnavailable,
    LedgerProgress,
    ShardCountMismatch,
    ShardStatus,
)
from inventory_service.domain.window import SendWindow
from inventory_service.service import audit
from inventory_service.service.audit import audit_shard
from inventory_service.service.relay.backlog import read_backlog
from inventory_service.service.relay.blocked_buyers import BlockedBuyersCopier
from inventory_service.service.relay.lease import ShardLease
from inventory_service.service.relay.maintenance import ShardMaintenance
from inventory_service.service.relay.shard_monitor import MonitorPorts, ShardMonitor
from inventory_service.service.relay.takeover import ShardTakeover
from inventory_service.service.relay.turn import TAKEOVER_TIMEOUT_S, ShardTurn

WAIT_FOR_COMMITS_MS = 500
# While the ledger has all that was sent, so that nothing can be sent again; a read ends with the first commit anyway.
IDLE_WAIT_FOR_COMMITS_MS = 2000
WAIT_FOR_ROOM_S = 1.0
RETRY_S = 0.5
WATCH_S = 0.6  # a little more than lies between two checks of the monitor, whose status the watch shares
AUDIT_S = 120.0  # for an audit of a shard that was loaded, which waits for a moment without calls
LOGGED_DIFFERENCES = 20
SHUTDOWN_S = 1.0  # to release the leases


class Dependencies(NamedTuple):
    """What a relay depends on."""

    outbox: Outbox
    shards: Shards
    commits: CommitTopic
    progress: ProgressTopic
    ledger: LedgerRows
    offsets: CommitOffsets
    stock: StockMaintenance
    blocked: BlockedList
    copies: BlockedCopies
    takeover: ShardTakeover
    audit: audit.Dependencies
    gauges: RelayGauges
    log: FilteringBoundLogger
    monotonic: Callable[[], float]  # seconds, for waiting
    time: Callable[[], float]  # seconds since 1970, for ages
    retrier: Retrier


class Options(NamedTuple):
    """How a relay behaves."""

    name: str  # unique to this process and this start
    shard_count: int
    window_bytes: int
    expiry: bool = True
    retention_ms: int = 86_400_000  # for which a record is kept after it is final
    stall_timeout_s: float = 3.0  # without progress, before the relay rewinds by itself
    takeover_timeout_s: float = TAKEOVER_TIMEOUT_S
    permission: Permission = NOTHING  # what a take-over may load from the ledger


async def run(dependencies: Dependencies, options: Options) -> None:
    """Runs until cancelled; raises `ShardCountMismatch` if settings and servers contradict each other."""
    relays = [ShardRelay(shard, dependencies, options) for shard in range(options.shard_count)]
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(
                dependencies.retrier.follow_forever(partial(listen, dependencies.progress, relays), dependencies.log)
            )
            for relay in relays:
                for step in relay.steps():
                    group.create_task(dependencies.retrier.retry_forever(step, relay.log))
    except* ShardCountMismatch as mismatches:
        raise mismatches.exceptions[0] from None
    finally:
        with suppress(TimeoutError):
            async with asyncio.timeout(SHUTDOWN_S):
                await asyncio.gather(*(relay.shut_down() for relay in relays))


async def listen(topic: ProgressTopic, relays: Sequence["ShardRelay"], outage: Outage) -> None:
    """Pass every progress record to its shard's relay; where several wait, the latest replaces the others."""
    async with aclosing(topic.reports(outage.recovered)) as records:
        async for progress in records:
            if progress.shard < len(relays):
                relays[progress.shard].on_progress(progress)


class ShardRelay:
    """One shard's relay: steps that run beside each other, each repeated for ever."""

    def __init__(self, shard: int, dependencies: Dependencies, options: Options) -> None:
        self._shard = shard
        self._dependencies = dependencies
        self.log = dependencies.log.bind(shard=shard)
        self._was_loaded = asyncio.Event()
        ports = MonitorPorts(
            dependencies.shards,
            dependencies.ledger,
            dependencies.offsets,
            dependencies.takeover,
            dependencies.monotonic,
        )
        turn = ShardTurn(shard, ports.shards, ports.takeover, ports.monotonic, options.takeover_timeout_s)
        self._monitor = ShardMonitor(
            shard, options.shard_count, ports, turn, options.permission, self.log, self._was_loaded.set, self._on_status
        )
        self._status: ShardStatus | None = None  # that the monitor has read, until the watch takes it
        self._has_status = asyncio.Event()
        self._lease = ShardLease(shard, options.name, dependencies.shards, dependencies.monotonic, self.log)
        self._window = SendWindow(options.window_bytes, options.stall_timeout_s)
        # Epoch and identity that the window belongs to; None: start anew once this relay has the lease.
        self._window_epoch: tuple[int, str] | None = None
        self._progress: LedgerProgress | None = None
        self._was_frozen = False  # by the last progress
        self._has_progress = asyncio.Event()
        self._moved = asyncio.Event()  # the window has room again, or went back
        self._maintenance = ShardMaintenance(
            shard, dependencies.stock, dependencies.gauges, dependencies.monotonic, options.retention_ms, options.expiry
        )

        self._copier = BlockedBuyersCopier(
            shard, dependencies.shards, dependencies.blocked, dependencies.copies, self._lease, self.log
        )

    def steps(self) -> Sequence[Callable[[], Awaitable[None]]]:
        lasting = self._lease.renew, self.send, self.apply_progress, self.watch, self._monitor.check, self.sweep
        return *lasting, self._copier.run, self.audit_after_load

    async def shut_down(self) -> None:
        """Release the lease, so that another relay need not wait for its end."""
        await self._lease.release()

    def on_progress(self, progress: LedgerProgress) -> None:
        """Keep the latest progress; a resend request not yet handled stands while the watermark does not move."""
        before = self._progress
        if (
            self._has_progress.is_set()
            and before is not None
            and before.resend
            and before.commit_id == progress.commit_id
        ):
            progress = progress._replace(resend=True)
        self._progress = progress
        self._has_progress.set()

    async def send(self) -> None:
        """Publish the next commits of the outbox, also of a shard that is being taken over or is frozen."""
        if not self._lease.is_held:
            self._window_epoch = None
            await self._lease.wait()
            return
        if self._window_epoch is None and not await self._begin():
            return
        self._moved.clear()
        cursor = self._window.cursor
        wait_ms = IDLE_WAIT_FOR_COMMITS_MS if cursor == self._window.watermark else WAIT_FOR_COMMITS_MS
        commits = await self._dependencies.outbox.read_after(self._shard, cursor, wait_ms)
        is_as_before = self._lease.is_held and self._window_epoch is not None and self._window.cursor == cursor
        if not (commits and is_as_before):  # the lease or the window may have changed during the read
            return
        if commits[0].commit_id != CommitId(cursor.epoch, cursor.seq + 1):
            await self._handle_gap(commits[0])
        elif fitting := self._window.fitting(commits):
            await self._publish(fitting)
        else:
            await self._wait_for_room()

    async def apply_progress(self) -> None:
        """Trim to the watermark, and rewind if the ledger lacks a commit that was sent."""
        await self._has_progress.wait()
        self._has_progress.clear()
        progress = self._progress
        assert progress is not None, "the event is set after the progress"
        if progress.frozen_reason:
            await self._dependencies.shards.freeze(self._shard, progress.epoch, progress.frozen_reason)
        thawed, self._was_frozen = self._was_frozen and not progress.frozen_reason, bool(progress.frozen_reason)
        trimmed = await self._dependencies.shards.trim(progress)
        if trimmed.result == "STALE":
            await self._monitor.freeze_if_ledger_went_back()
        elif trimmed.result == "TRIMMED":
            # A frozen row drops what arrives, so all of it has to be sent again once the row is thawed.
            resend = progress.resend or thawed
            if self._window_epoch is not None and self._window.on_progress(
                trimmed.trimmed, resend, self._dependencies.monotonic()
            ):
                why = "the shard was thawed" if thawed else "the persister asked for it"
                self.log.info("resending", after=str(progress.commit_id), why=why)
            self._moved.set()

    async def watch(self) -> None:
        """Start anew when Redis or the epoch has changed, rewind when progress stalls, and export the backlog."""
        status = await self._next_status()
        if self._window_epoch != (status.epoch, status.identity):
            self._window_epoch = None
        elif self._window.is_stalled(self._dependencies.monotonic()):
            self.log.warning("resending", after=str(self._window.watermark), why="the ledger's watermark has stalled")
        self._moved.set()
        self._copier.on_status(status)
        self._maintenance.on_status(status)
        await self._export_backlog(status)

    async def sweep(self) -> None:
        """Maintain the shard's stock while this relay has the lease."""
        await self._maintenance.wait()
        if self._lease.is_held:
            await self._maintenance.sweep()
        else:
            self._maintenance.stand_by()

    async def audit_after_load(self) -> None:
        """Compare the shard with the ledger once it was loaded, and log what differs."""
        await self._was_loaded.wait()
        self._was_loaded.clear()
        result = await audit_shard(self._dependencies.audit, self._shard, AUDIT_S)
        if isinstance(result, str):
            self.log.warning("shard_not_audited", why=result)
        elif result.differences:
            self.log.error("shard_differs", differences=[str(each) for each in result.differences[:LOGGED_DIFFERENCES]])
        else:
            self.log.info("shard_audited", reservations=result.reservations)

    def _on_status(self, status: ShardStatus) -> None:
        self._status = status
        self._has_status.set()

    async def _next_status(self) -> ShardStatus:
        """The status that the monitor reads next, or one of its own while the monitor takes the shard over."""
        with suppress(TimeoutError):
            async with asyncio.timeout(WATCH_S):
                await self._has_status.wait()
        self._has_status.clear()
        status, self._status = self._status, None
        return status or await self._dependencies.shards.status(self._shard)

    async def _begin(self) -> bool:
        """Start at the first untrimmed commit."""
        status = await self._dependencies.shards.status(self._shard)
        if status.blank:
            await asyncio.sleep(RETRY_S)
            return False
        self._window.start(status.trimmed, self._dependencies.monotonic())
        self._window_epoch = (status.epoch, status.identity)
        return True

    async def _publish(self, commits: Sequence[Commit]) -> None:
        try:
            await self._dependencies.commits.publish(self._shard, commits)
        except KafkaUnavailable:
            self._lease.yield_shard()
            raise
        self._lease.reclaim()
        self._window.confirmed(commits, self._dependencies.monotonic())

    async def _handle_gap(self, first: Commit) -> None:
        """Commits before `first` are missing: trimmed by another relay, of an older epoch, or lost by Redis."""
        status = await self._dependencies.shards.status(self._shard)
        if status.epoch == first.epoch and status.trim_seq + 1 < first.seq:
            lost = f"commit {CommitId(first.epoch, first.seq - 1)} is neither in the outbox nor in the ledger"
            await self._dependencies.shards.freeze(self._shard, status.epoch, f"CHAIN_BROKEN: {lost}")
            await asyncio.sleep(RETRY_S)
        self._window_epoch = None

    async def _wait_for_room(self) -> None:
        """Wait until progress shrinks the window."""
        with suppress(TimeoutError):
            async with asyncio.timeout(WAIT_FOR_ROOM_S):
                await self._moved.wait()

    async def _export_backlog(self, status: ShardStatus) -> None:
        cursor = status.trimmed  # where it starts anew
        if self._window_epoch:
            cursor = max(self._window.cursor, status.trimmed)
        outbox, now_s = self._dependencies.outbox, self._dependencies.time()
        self._dependencies.gauges.show(
            self._shard, await read_backlog(outbox, status, cursor if self._lease.is_held else None, now_s)
        )
