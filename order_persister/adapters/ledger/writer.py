"""Applies batches of commits, each commit once: rows and watermark in one transaction a shard.

Everything may come twice, late, or to two persisters at once: the watermark row, locked and read inside the
transaction, says what is a repeat.
"""

import asyncio
import time
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

import structlog

from holdfast_runtime.retry import Retrier
from order_persister.adapters.ledger.booking import Booking, BrokenInvariant
from order_persister.adapters.ledger.postgres import Database, Transaction
from order_persister.adapters.ledger.queries import Queries
from order_persister.domain.chain import (
    AcceptedCommit,
    ApplyPlan,
    Delivery,
    KafkaRecord,
    ReceivedCommit,
    Undecodable,
    Watermark,
    already_applied,
    deliveries,
    is_ahead,
    plan,
)
from order_persister.domain.fold import DeadLetter
from order_persister.domain.refusals import PermanentError
from order_persister.domain.rows import columns
from order_persister.domain.shards import Outcome, ShardRow
from order_persister.metrics import LedgerMetrics

# What one transaction takes: large enough that its fixed cost does not show, small enough to be done in a blink.
TRANSACTION_BYTES = 512 * 1024

log = structlog.get_logger()


class Applied(NamedTuple):
    """What one transaction came to, told to logs and metrics once it is committed."""

    row: ShardRow
    plan: ApplyPlan
    letters: Sequence[DeadLetter] = ()


class CannotApply(Exception):
    """The ledger takes nothing of a piece while it stands at `row`; the message is why, for whoever mends the shard."""

    def __init__(self, row: ShardRow, why: BrokenInvariant | PermanentError) -> None:
        super().__init__(str(why) if isinstance(why, BrokenInvariant) else f"LEDGER_BROKEN: {why}")
        self.row = row


class LedgerWriter:
    """The ledger as the persister writes it."""

    def __init__(self, database: Database, queries: Queries, metrics: LedgerMetrics, retrier: Retrier) -> None:
        self._database = database
        self._sql = queries
        self._metrics = metrics
        self._retrier = retrier

    async def apply(self, records: Iterable[KafkaRecord]) -> list[Outcome]:
        """Apply a batch; one outcome for each of its shards that the ledger knows. Waits out whatever passes."""
        found = await asyncio.gather(*(self._apply(shard, sent) for shard, sent in deliveries(records).items()))
        return [outcome for outcome in found if outcome is not None]

    async def _apply(self, shard: int, delivery: Delivery) -> Outcome | None:
        """Apply one shard's part in transactions of bearable size."""
        applied: Applied | None = None
        newer_writer = False
        for chunk in chunks(delivery):
            applied = await self._retrier.retry("Postgres", partial(self._apply_chunk, shard, chunk))
            newer_writer |= applied is not None and applied.plan.newer_writer is not None
        if applied is None:
            return None
        row = applied.row
        missing = bool(delivery.undecodable) or is_ahead(delivery.sent, Watermark(row.epoch, row.seq, row.hash))
        # What a newer writer wrote comes again by itself, and asking for it would not make us understand it.
        wanted = missing and not newer_writer and not row.frozen_reason
        if wanted:
            self._metrics.gaps.inc()
        return Outcome(shard, row, row.seq + 1 if wanted else 0)

    async def _apply_chunk(self, shard: int, chunk: Delivery) -> Applied | None:
        """Apply commits at once or, where the ledger is stuck with them, one by one up to the one that sticks."""
        started = time.monotonic()
        try:
            applied = await self._transact(shard, chunk)
        except CannotApply as stuck:
            if len(chunk.sent) <= 1:
                return await self._freeze(shard, stuck)
            applied = None
            for commit in chunk.sent:
                applied = await self._apply_chunk(shard, Delivery([commit], chunk.undecodable))
            return applied
        self._metrics.apply_s.observe(time.monotonic() - started)
        if applied is not None:
            self._tell(shard, applied)
        return applied

    async def _transact(self, shard: int, chunk: Delivery) -> Applied | None:
        """One transaction. What it can never come to is this shard's matter alone: the others go on."""
        row: ShardRow | None = None
        try:
            async with self._database.transaction() as db:
                row = await self._locked_row(db, shard)
                if row is not None:
                    return await self._take(db, shard, row, chunk)
        except (BrokenInvariant, PermanentError) as why:
            if row is None:
                raise
            raise CannotApply(row, why) from why
        log.warning("shard_unknown", shard=shard, why="the ledger has no row of it: run `holdfast init`")
        return None

    async def _take(self, db: Transaction, shard: int, row: ShardRow, chunk: Delivery) -> Applied:
        await self._quarantine(db, shard, chunk.undecodable)
        watermark = Watermark(row.epoch, row.seq, row.hash)
        if row.frozen_reason or not chunk.sent:
            return Applied(row, ApplyPlan(watermark))
        planned = plan(watermark, chunk.sent, await self._hashes(db, shard, already_applied(watermark, chunk.sent)))
        return await self._carry_out(db, shard, planned)

    async def _carry_out(self, db: Transaction, shard: int, planned: ApplyPlan) -> Applied:
        orphans = [
            Undecodable(commit.offset, commit.payload, "an orphan: its epoch is over") for commit in planned.orphans
        ]
        await self._quarantine(db, shard, orphans)
        letters = await self._book(db, shard, planned) if planned.take else []
        frozen_reason = planned.frozen_reason or await self._unreadable_again(db, shard, planned.unreadable, planned)
        if frozen_reason:
            await db.execute(self._sql.freeze, shard, planned.watermark.epoch, planned.watermark.seq, frozen_reason)
        row = await self._locked_row(db, shard)
        assert row is not None, "it is locked"
        return Applied(row, planned, letters)

    async def _book(self, db: Transaction, shard: int, planned: ApplyPlan) -> list[DeadLetter]:
        """Write the run, the journal and the new watermark."""
        await db.fetch(self._sql.index_lookups_only)
        letters = await Booking(db, self._sql, shard, planned.take).write()
        await db.execute(self._sql.insert_journal, shard, *columns([_journal_row(commit) for commit in planned.take]))
        await db.execute(self._sql.raise_watermark, shard, *planned.watermark)
        return letters

    async def _unreadable_again(
        self, db: Transaction, shard: int, commit: ReceivedCommit | None, planned: ApplyPlan
    ) -> str | None:
        """Set a commit that does not decode aside. If it comes again and its hash is right, it was written so."""
        if commit is None:
            return None
        undecodable = Undecodable(commit.offset, commit.payload, "the commit does not decode")
        is_new = bool(await self._quarantine(db, shard, [undecodable]))
        if is_new or not planned.unreadable_is_chained:
            return None
        return f"UNREADABLE: commit {commit.seq} was written so that it cannot be read"

    async def _quarantine(self, db: Transaction, shard: int, undecodable: Iterable[Undecodable]) -> int:
        """Keep bytes for a person to look at; how many were not kept already."""
        kept = 0
        for one in undecodable:
            if await db.fetch(self._sql.set_aside, shard, one.offset, one.why, one.payload):
                kept += 1
                self._metrics.set_aside.labels(one.why).inc()
                log.error("record_quarantined", shard=shard, offset=one.offset, why=one.why, size=len(one.payload))
        return kept

    async def _freeze(self, shard: int, stuck: CannotApply) -> Applied | None:
        """Freeze a shard where it is stuck, unless another persister or a take-over has moved it on."""
        async with self._database.transaction() as db:
            await db.execute(self._sql.freeze, shard, stuck.row.epoch, stuck.row.seq, str(stuck))
            row = await self._locked_row(db, shard)
        if row is None:
            return None
        applied = Applied(row, ApplyPlan(Watermark(row.epoch, row.seq, row.hash)))
        self._tell(shard, applied)
        return applied

    async def _locked_row(self, db: Transaction, shard: int) -> ShardRow | None:
        row = await db.fetch_one(self._sql.lock_row, shard)
        return None if row is None else ShardRow(*row)

    async def _hashes(
        self, db: Transaction, shard: int, known: Sequence[tuple[int, int]]
    ) -> dict[tuple[int, int], str]:
        """The hashes at positions that the ledger is past."""
        if not known:
            return {}
        found = await db.fetch(self._sql.hashes, shard, *columns(known))
        return {(epoch, seq): hash for epoch, seq, hash in found}

    def _tell(self, shard: int, applied: Applied) -> None:
        """Logs and metrics of one committed transaction."""
        take, letters = applied.plan.take, applied.letters
        self._metrics.apply_commits.observe(len(take))
        self._metrics.commits.labels("applied").inc(len(take))
        self._metrics.commits.labels("repeated").inc(applied.plan.repeats)
        self._metrics.commits.labels("orphaned").inc(len(applied.plan.orphans))
        self._metrics.changes.inc(sum(len(commit.body.events) for commit in take))
        self._metrics.frozen.labels(str(shard)).set(bool(applied.row.frozen_reason))
        if take:
            self._metrics.age_s.labels(str(shard)).set(max(0.0, time.time() - take[-1].body.time_ms / 1000))
        if applied.row.frozen_reason:
            log.error("shard_frozen", shard=shard, seq=applied.row.seq, why=applied.row.frozen_reason)
        if applied.plan.newer_writer is not None:
            log.error("event_unknown", shard=shard, seq=applied.plan.newer_writer.seq, why="a newer writer is at work")
        for one in letters:
            self._metrics.refused.labels(one.reason).inc()
            log.warning("order_refused", shard=shard, reservation=one.reservation_id, reason=one.reason, why=one.detail)


def chunks(delivery: Delivery, limit: int = TRANSACTION_BYTES) -> Iterator[Delivery]:
    """Cut a delivery into transactions of about `limit` bytes; what is to be set aside goes with the first."""
    chunk, size = Delivery(undecodable=delivery.undecodable), 0
    for commit in delivery.sent:
        if size >= limit:
            yield chunk
            chunk, size = Delivery(), 0
        chunk.sent.append(commit)
        size += len(commit.payload)
    yield chunk


def _journal_row(commit: AcceptedCommit) -> tuple[int, int, str, bytes]:
    return commit.epoch, commit.seq, commit.hash, commit.payload
