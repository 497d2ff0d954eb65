"""Keep the shards' house: send each outbox to Kafka, trim what the ledger holds, expire holds, have it taken over.

Two relays of one shard are only wasteful: each starts at the first untrimmed commit, the ledger drops what it has,
Redis trims once, and a take-over is a compare-and-set. So a lease, by which one of them sends and sweeps and the other
stands by, need not be right; and what costs next to nothing (to trim, to freeze, to look) each of them does.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing, suppress
from functools import partial
from typing import NamedTuple

from structlog.typing import FilteringBoundLogger

from inventory_service.domain.backlog import Backlog, RelayGauges
from inventory_service.domain.ports import StockMaintenance
from inventory_service.domain.shard_ports import CommitTopic, LedgerRows, Outbox, ProgressTopic, Shards
from inventory_service.domain.shards import (
    Commit,
    CommitId,
    KafkaUnavailable,
    LedgerProgress,
    ShardCountMismatch,
    ShardStatus,
)
from inventory_service.domain.window import SendWindow
from inventory_service.entrypoints.patience import repeat
from inventory_service.service.relay.lease import ShardLease
from inventory_service.service.relay.maintenance import ShardMaintenance
from inventory_service.service.relay.shard_monitor import ShardMonitor
from inventory_service.service.relay.takeover import ShardTakeover

WAIT_FOR_COMMITS_MS = 500
WAIT_FOR_ROOM_S = 1.0
WATCH_S = 0.5
SHUTDOWN_S = 1.0  # for what a relay that ends still has to say


class Parts(NamedTuple):
    """Everything a relay works with."""

    outbox: Outbox
    shards: Shards
    commits: CommitTopic
    progress: ProgressTopic
    ledger: LedgerRows
    stock: StockMaintenance
    takeover: ShardTakeover
    gauges: RelayGauges
    log: FilteringBoundLogger
    monotonic: Callable[[], float]  # seconds, for waiting
    time: Callable[[], float]  # seconds since 1970, for ages
    waited: Callable[[str], None]  # hears the name of a server that was away, for each attempt


class Options(NamedTuple):
    """How a relay behaves."""

    name: str  # that no other relay has, nor had this one before it was started again
    shard_count: int
    window_bytes: int
    expiry: bool = True
    retention_ms: int = 86_400_000  # for which a record is kept after it is final
    stall_timeout_s: float = 3.0  # before it goes back by itself
    takeover_timeout_s: float = 5.0  # before a claim of somebody else is believed to be abandoned


async def run(parts: Parts, options: Options) -> None:
    """Runs until cancelled; raises `ShardCountMismatch` if settings and servers contradict each other."""
    relays = [ShardRelay(shard, parts, options) for shard in range(options.shard_count)]
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(repeat(partial(listen, parts.progress, relays), parts.log, parts.waited))
            for relay in relays:
                for step in relay.steps():
                    group.create_task(repeat(step, relay.log, parts.waited))
    except* ShardCountMismatch as disagreements:
        raise disagreements.exceptions[0] from None
    finally:
        with suppress(TimeoutError):
            async with asyncio.timeout(SHUTDOWN_S):
                await asyncio.gather(*(relay.end() for relay in relays))


async def listen(progress: ProgressTopic, relays: Sequence["ShardRelay"]) -> None:
    """Hand every report to its shard's relay; where several wait, the latest says it all."""
    async with aclosing(progress.reports()) as reports:
        async for report in reports:
            if report.shard < len(relays):
                relays[report.shard].told(report)


class ShardRelay:
    """One shard's relay: steps that are each repeated for ever, beside each other."""

    def __init__(self, shard: int, parts: Parts, options: Options) -> None:
        self._shard = shard
        self._parts = parts
        self.log = parts.log.bind(shard=shard)
        self._monitor = ShardMonitor(
            shard,
            options.shard_count,
            parts.shards,
            parts.ledger,
            parts.takeover,
            self.log,
            parts.monotonic,
            options.takeover_timeout_s,
        )
        self._lease = ShardLease(shard, options.name, parts.shards, parts.monotonic, self.log)
        self._window = SendWindow(options.window_bytes, options.stall_timeout_s)
        # Epoch and run_id that the window is of; None: begin anew, once the lease is ours.
        self._window_epoch: tuple[int, str] | None = None
        self._report: LedgerProgress | None = None
        self._was_frozen = False  # by the last report
        self._reported = asyncio.Event()
        self._moved = asyncio.Event()  # the window has room again, or went back
        self._maintenance = ShardMaintenance(
            shard, parts.stock, parts.gauges, parts.monotonic, options.retention_ms, options.expiry
        )

    def steps(self) -> Sequence[Callable[[], Awaitable[None]]]:
        return self._lease.keep, self.send, self.hear, self.watch, self._monitor.look, self.sweep

    async def end(self) -> None:
        """The last thing that a relay does for a shard."""
        await self._lease.let_go()

    def told(self, report: LedgerProgress) -> None:
        """Keep the latest report; a wish that was not heard yet stands while the ledger does not move."""
        before = self._report
        if self._reported.is_set() and before is not None and before.resend and before.commit_id == report.commit_id:
            report = report._replace(resend=True)
        self._report = report
        self._reported.set()

    async def send(self) -> None:
        """Send the next commits of the outbox, whoever serves the shard: also a claimed or frozen one is drained."""
        if not self._lease.is_held:
            self._window_epoch = None
            await self._lease.wait()
            return
        if self._window_epoch is None and not await self._begin():
            return
        self._moved.clear()
        cursor = self._window.cursor
        commits = await self._parts.outbox.read_after(self._shard, cursor, WAIT_FOR_COMMITS_MS)
        is_as_before = self._lease.is_held and self._window_epoch is not None and self._window.cursor == cursor
        if not (commits and is_as_before):  # much may happen while one waits for commits
            return
        if commits[0].commit_id != CommitId(cursor.epoch, cursor.seq + 1):
            await self._handle_gap(commits[0])
        elif fitting := self._window.fitting(commits):
            await self._publish(fitting)
        else:
            await self._wait_for_room()

    async def hear(self) -> None:
        """Trim by the latest report, and go back if the ledger misses something."""
        await self._reported.wait()
        self._reported.clear()
        report = self._report
        assert report is not None, "the event is set after the report"
        if report.frozen_reason:
            await self._parts.shards.freeze(self._shard, report.epoch, report.frozen_reason)
        thawed, self._was_frozen = self._was_frozen and not report.frozen_reason, bool(report.frozen_reason)
        trimmed = await self._parts.shards.trim(report)
        if trimmed.result == "STALE":
            await self._monitor.freeze_if_ledger_went_back()
        elif trimmed.result == "TRIMMED":
            # A frozen ledger drops what comes, so all of it has to come again once it takes commits.
            again = report.resend or thawed
            if self._window_epoch is not None and self._window.heard(trimmed.trimmed, again, self._parts.monotonic()):
                why = "the ledger takes commits again" if thawed else "the persister asked for it"
                self.log.info("resending", after=str(report.commit_id), why=why)
            self._moved.set()

    async def watch(self) -> None:
        """Begin anew when Redis or the epoch is another, go back by itself when it is time, and show the backlog."""
        status = await self._parts.shards.status(self._shard)
        if self._window_epoch != (status.epoch, status.run_id):
            self._window_epoch = None
        elif self._window.overdue(self._parts.monotonic()):
            self.log.warning("resending", after=str(self._window.watermark), why="the ledger stands still below it")
        self._moved.set()
        await self._show_backlog(status)
        await asyncio.sleep(WATCH_S)

    async def sweep(self) -> None:
        """Do what the stock needs from time to time; who stands by leaves it to the other."""
        if self._lease.is_held:
            await self._maintenance.sweep()
        else:
            self._maintenance.stand_by()
            await self._lease.wait()

    async def _begin(self) -> bool:
        """Start at the first untrimmed commit."""
        status = await self._parts.shards.status(self._shard)
        if status.blank:
            await asyncio.sleep(WATCH_S)
            return False
        self._window.start(status.trimmed, self._parts.monotonic())
        self._window_epoch = (status.epoch, status.run_id)
        return True

    async def _publish(self, commits: Sequence[Commit]) -> None:
        try:
            await self._parts.commits.publish(self._shard, commits)
        except KafkaUnavailable:
            self._lease.doubt()
            raise
        self._lease.trust()
        self._window.confirmed(commits, self._parts.monotonic())

    async def _handle_gap(self, first: Commit) -> None:
        """Commits before `first` are missing: trimmed by another relay, of an older epoch, or lost by Redis itself."""
        status = await self._parts.shards.status(self._shard)
        if status.epoch == first.epoch and status.trim_seq + 1 < first.seq:
            lost = f"commit {CommitId(first.epoch, first.seq - 1)} is neither in the outbox nor in the ledger"
            await self._parts.shards.freeze(self._shard, status.epoch, f"CHAIN_BROKEN: {lost}")
            await asyncio.sleep(WATCH_S)
        self._window_epoch = None

    async def _wait_for_room(self) -> None:
        """The ledger's reports make room."""
        with suppress(TimeoutError):
            async with asyncio.timeout(WAIT_FOR_ROOM_S):
                await self._moved.wait()

    async def _show_backlog(self, status: ShardStatus) -> None:
        sends = self._lease.is_held
        cursor = (
            max(self._window.cursor, status.trimmed) if self._window_epoch else status.trimmed
        )  # where it begins anew
        backlog = Backlog(
            serving=status.serving,
            sends=sends,
            outbox=status.outbox_length,
            unsent=max(status.seq - cursor.seq, 0) if sends and cursor.epoch == status.epoch else 0,
            unsent_s=await self._age(cursor) if sends else 0.0,
            unledgered_s=await self._age(status.trimmed),
        )
        self._parts.gauges.show(self._shard, backlog)

    async def _age(self, commit_id: CommitId) -> float:
        """Seconds since the first commit after `commit_id` was made; 0 if there is none."""
        made_ms = await self._parts.outbox.time_after(self._shard, commit_id)
        return max(self._parts.time() - made_ms / 1000, 0.0) if made_ms is not None else 0.0
