"""Applies batches of commits to the ledger, each commit once: rows and watermark in one transaction a shard.

A commit may arrive twice, late, or at two persisters at once: the watermark, locked and read inside the transaction,
tells which commits are repeats. The same transaction moves the row's read mark, which alone says what this ledger has
read of its partition, and notes what it was shown and could not apply.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from functools import partial
from typing import NamedTuple

import structlog

from holdfast_runtime.retry import Retrier
from order_persister.domain.chain import (
    MAX_SEQ,
    ApplyPlan,
    Delivery,
    KafkaRecord,
    Quarantined,
    ReadMark,
    already_applied,
    deliveries_from,
    epochs_entered,
    is_ahead,
    plan_apply,
    quarantined_commit,
    read_mark_after,
    read_to,
    seen_after,
)
from order_persister.domain.dead_letters import DeadLetter
from order_persister.domain.orphans import EPOCH_IS_OVER, orphans_from
from order_persister.domain.ports import Ledger, LedgerTransaction
from order_persister.domain.refusals import PermanentError
from order_persister.domain.shards import Outcome, ShardRow
from order_persister.metrics import LedgerMetrics
from order_persister.service.booking import Booking, BrokenInvariant

# The payload of one transaction: enough to make its fixed cost negligible, and little enough to end within a second.
TRANSACTION_BYTES = 512 * 1024

Publish = Callable[[Iterable[Outcome]], Awaitable[None]]

log = structlog.get_logger()


class Applied(NamedTuple):
    """The result of one transaction, for logs and metrics once it is committed."""

    row: ShardRow
    plan: ApplyPlan
    quarantined: list[Quarantined]
    dead_letters: list[DeadLetter]
    unread_from: int  # the offset from which records have to be read again; MAX_SEQ: none


class CannotApply(Exception):
    """The ledger rejects a chunk permanently while the shard is at `row`; the message is the reason, for operators."""

    def __init__(self, row: ShardRow, error: BrokenInvariant | PermanentError) -> None:
        super().__init__(str(error) if isinstance(error, BrokenInvariant) else f"LEDGER_BROKEN: {error}")
        self.row = row


class LedgerWriter:
    """Applies commits to the ledger, retrying transient errors for as long as they last."""

    def __init__(self, ledger: Ledger, metrics: LedgerMetrics, retrier: Retrier) -> None:
        self._ledger = ledger
        self._metrics = metrics
        self._retrier = retrier

    async def apply(self, records: Iterable[KafkaRecord], publish: Publish | None = None) -> list[Outcome]:
        """Apply a batch; one outcome for each of its shards that the ledger has a row of.

        `publish` gets the outcome of each transaction before the shard's next one begins, and of a shard that needs a
        resend that one too. So what a batch decodes does not stay in memory until its end.
        """
        deliveries = deliveries_from(records).items()
        found = await asyncio.gather(*(self._apply(*delivery, publish or _publish_nothing) for delivery in deliveries))
        return [outcome for outcome in found if outcome is not None]

    async def restart_reading(self, shard: int, mark: ReadMark) -> None:
        """Have a shard's row read its partition from the start, if its read mark is still this one."""
        await self._retrier.retry("Postgres", partial(self._restart_reading, shard, mark))

    async def _restart_reading(self, shard: int, mark: ReadMark) -> None:
        async with self._ledger.transaction(shard) as transaction:
            await transaction.restart_reading(mark)

    async def _apply(self, shard: int, delivery: Delivery, publish: Publish) -> Outcome | None:
        """Apply one shard's part of a batch, a transaction a chunk."""

        has_refused = False

        async def apply_and_publish(chunk: Delivery) -> Applied | None:
            nonlocal has_refused
            try:
                applied = await self._retrier.retry("Postgres", partial(self._apply_chunk, shard, chunk))
            except CannotApply:  # for one of several commits, of which those before it are applied
                return await _in_order(chunks(chunk, limit=1), apply_and_publish)
            if applied is not None:
                has_refused |= bool(applied.dead_letters)
                await publish([Outcome(shard, applied.row, 0, applied.plan.accepted, bool(applied.dead_letters))])
            return applied

        applied = await _in_order(chunks(delivery), apply_and_publish)
        if applied is None:
            return None
        row = applied.row
        has_gap = bool(delivery.quarantined) or is_ahead(delivery.received, row.watermark)
        # A resend would not make this version know an event of a later one, and a frozen shard takes nothing.
        needs_resend = has_gap and applied.unread_from == MAX_SEQ and not row.frozen_reason
        outcome = Outcome(shard, row, row.seq + 1 if needs_resend else 0, has_refused=has_refused)
        if needs_resend:
            self._metrics.gaps.inc()
            await publish([outcome])
        return outcome

    async def _apply_chunk(self, shard: int, chunk: Delivery) -> Applied | None:
        """Apply a chunk; if the ledger rejects its one commit, freeze the shard. CannotApply: it has several."""
        started = time.monotonic()
        try:
            applied = await self._transact(shard, chunk)
        except CannotApply as error:
            if len(chunk.received) > 1:
                raise
            return await self._freeze(shard, chunk, error)
        self._metrics.apply_s.observe(time.monotonic() - started)
        if applied is not None:
            self._record(shard, applied)
        return applied

    async def _transact(self, shard: int, chunk: Delivery) -> Applied | None:
        """One transaction; None if the ledger has no row of the shard. A permanent error concerns this shard alone."""
        row: ShardRow | None = None
        try:
            async with self._ledger.transaction(shard) as transaction:
                row = await transaction.lock_shard()
                if row is not None:
                    return await _apply_in(transaction, row, chunk)
        except (BrokenInvariant, PermanentError) as error:
            if row is None:
                raise
            raise CannotApply(row, error) from error
        log.warning("shard_unknown", shard=shard, why="the ledger has no row of it: run `holdfast init`")
        return None

    async def _freeze(self, shard: int, chunk: Delivery, error: CannotApply) -> Applied | None:
        """Freeze a shard at the rejected commit, unless another persister or a take-over has moved it on.

        The read mark stays where it is: what was rejected is read again once the cause is repaired.
        """
        async with self._ledger.transaction(shard) as transaction:
            await transaction.freeze(*error.row.position, str(error))
            row = await transaction.lock_shard()
            if row is None:
                return None
            row = await _note_seen(transaction, row, chunk)
        rejected = min((commit.offset for commit in chunk.received), default=MAX_SEQ)
        applied = Applied(row, ApplyPlan(row.watermark), [], [], rejected)
        self._record(shard, applied)
        return applied

    def _record(self, shard: int, applied: Applied) -> None:
        """Logs and metrics of one committed transaction."""
        self._record_plan(shard, applied.plan)
        self._metrics.frozen.labels(str(shard)).set(bool(applied.row.frozen_reason))
        if applied.row.frozen_reason:
            log.error("shard_frozen", shard=shard, seq=applied.row.seq, why=applied.row.frozen_reason)
        for item in applied.quarantined:
            self._metrics.quarantined.labels(item.why).inc()
            log.error("record_quarantined", shard=shard, offset=item.offset, why=item.why, size=len(item.payload))
        for one in applied.dead_letters:
            self._metrics.refused.labels(one.reason).inc()
            log.warning("order_refused", shard=shard, reservation=one.reservation_id, reason=one.reason, why=one.detail)

    def _record_plan(self, shard: int, plan: ApplyPlan) -> None:
        accepted = plan.accepted
        self._metrics.apply_commits.observe(len(accepted))
        self._metrics.commits.labels("applied").inc(len(accepted))
        self._metrics.commits.labels("repeated").inc(plan.repeats)
        self._metrics.commits.labels("orphaned").inc(len(plan.orphans))
        self._metrics.changes.inc(sum(len(commit.events.orders) for commit in accepted))
        if accepted:
            self._metrics.age_s.labels(str(shard)).set(max(0.0, time.time() - accepted[-1].events.time_ms / 1000))
        if plan.unknown_event is not None:
            why = "a later version wrote it: upgrade the persister"
            log.error("event_unknown", shard=shard, seq=plan.unknown_event.seq, why=why)


async def _publish_nothing(outcomes: Iterable[Outcome]) -> None:
    """For a ledger that nothing follows."""


async def _in_order(
    pieces: Iterable[Delivery], apply: Callable[[Delivery], Awaitable[Applied | None]]
) -> Applied | None:
    """Apply the pieces of a delivery; the last result. What one piece leaves unread is not read with a later one."""
    applied: Applied | None = None
    unread_from = MAX_SEQ
    for piece in pieces:
        piece.records = [record for record in piece.records if record.offset < unread_from]
        applied = await apply(piece)
        if applied is not None:
            unread_from = min(unread_from, applied.unread_from)
    return applied and applied._replace(unread_from=unread_from)


async def _apply_in(transaction: LedgerTransaction, row: ShardRow, chunk: Delivery) -> Applied:
    """Apply a chunk within a transaction that holds the shard's row; a frozen shard only quarantines."""
    quarantined = await _quarantine(transaction, chunk.quarantined)
    if row.frozen_reason:
        row = await _note_seen(transaction, row, chunk)
        return Applied(row, ApplyPlan(row.watermark), quarantined, [], MAX_SEQ)
    hashes = await transaction.journal_hashes(already_applied(row.watermark, chunk.received))
    plan = plan_apply(row.watermark, chunk.received, hashes, read_to(row.read_offset, chunk.records))
    quarantined += await _quarantine(
        transaction, [quarantined_commit(orphan, EPOCH_IS_OVER) for orphan in plan.orphans]
    )
    await transaction.insert_orphans(list(orphans_from(plan.orphans)))
    dead_letters = await _book(transaction, row, plan) if plan.accepted else []
    quarantined += await _quarantine_unreadable(transaction, plan)
    row = await _move_row(transaction, row, plan, chunk)
    return Applied(row, plan, quarantined, dead_letters, plan.unread_from)


async def _book(transaction: LedgerTransaction, row: ShardRow, plan: ApplyPlan) -> list[DeadLetter]:
    """Write the run, the journal, and the epochs that the run enters."""
    dead_letters = await Booking(transaction, plan.accepted).write()
    for base, first in epochs_entered(row.watermark, plan.accepted):
        await transaction.insert_epoch(first.epoch, base)
    await transaction.insert_journal(plan.accepted)
    return dead_letters


async def _move_row(transaction: LedgerTransaction, row: ShardRow, plan: ApplyPlan, chunk: Delivery) -> ShardRow:
    """Write what the chunk changes in the shard's row: watermark, read mark, what was seen above, frozen reason.

    The row afterwards.
    """
    mark = read_mark_after(row.read_mark, chunk.records, plan)
    seen = seen_after(row.seen, plan.watermark, chunk.received)
    if plan.accepted:
        row = await transaction.raise_watermark(plan.watermark, plan.accepted[-1].events.time_ms, mark, seen)
    elif (mark, seen) != (row.read_mark, row.seen):
        await transaction.set_reading(mark, seen)
        row = row._replace(read_offset=mark.offset, read_digest=mark.digest, seen_epoch=seen[0], seen_seq=seen[1])
    if plan.frozen_reason:
        await transaction.freeze(*plan.watermark.position, plan.frozen_reason)
        row = row._replace(frozen_reason=plan.frozen_reason)
    return row


async def _note_seen(transaction: LedgerTransaction, row: ShardRow, chunk: Delivery) -> ShardRow:
    """Store the highest commit that the chunk names, for a row that takes none of them; the row afterwards."""
    seen = seen_after(row.seen, row.watermark, chunk.received)
    if seen != row.seen:
        await transaction.set_reading(row.read_mark, seen)
    return row._replace(seen_epoch=seen[0], seen_seq=seen[1])


async def _quarantine_unreadable(transaction: LedgerTransaction, plan: ApplyPlan) -> list[Quarantined]:
    """Quarantine a commit that does not decode. If it is a resend and its hash follows, the shard has to be frozen."""
    commit = plan.unreadable
    if commit is None or plan.frozen_reason:
        return []
    new = await _quarantine(transaction, [quarantined_commit(commit, "the commit does not decode")])
    if not new and plan.unreadable_is_chained:
        undecodable = f"commit {commit.seq} does not decode although its hash follows, so Redis wrote it like that"
        plan.frozen_reason = f"UNREADABLE: {undecodable}; start the newest persister"
        plan.contradiction = commit
    return new


async def _quarantine(transaction: LedgerTransaction, items: Iterable[Quarantined]) -> list[Quarantined]:
    """Keep bytes for operators to examine; returns those that were not kept already."""
    return [item for item in items if await transaction.quarantine(item)]


def chunks(delivery: Delivery, limit: int = TRANSACTION_BYTES) -> Iterator[Delivery]:
    """Cut a delivery into transactions of about `limit` bytes; the first one has all that is quarantined.

    A record belongs to the transaction that has its last commit.
    """
    chunk, size, first_offset = Delivery(quarantined=delivery.quarantined), 0, 0
    for commit in delivery.received:
        if size >= limit:
            chunk.records = [record for record in delivery.records if first_offset <= record.offset < commit.offset]
            yield chunk
            chunk, size, first_offset = Delivery(), 0, commit.offset
        chunk.received.append(commit)
        size += max(len(commit.payload), 1)
    chunk.records = [record for record in delivery.records if record.offset >= first_offset]
    yield chunk
