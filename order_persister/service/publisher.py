"""Publishes what the ledger holds: compensations, facts and progress, each confirmed by Kafka, each safe to repeat.

Everything is read from the ledger and nothing from memory, so a persister that starts, or that is assigned a partition,
publishes what another one left. Compensations act once, facts have their position, and progress states the present.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from holdfast.inventory.v1.events_pb2 import LedgerProgress

from holdfast_runtime.kafka import COMPENSATIONS, ORDERS, PROGRESS, SALES
from order_persister.domain.chain import AcceptedCommit
from order_persister.domain.facts import Fact
from order_persister.domain.ports import Message, Send, UnpublishedRecords
from order_persister.domain.shards import Outcome, ShardRow
from order_persister.metrics import PublishMetrics

# The facts of one send are one batch of Kafka's, which is stored whole or not at all: if a later fact were stored and
# an earlier one not, readers, who drop what is below the last position that they saw, would miss the earlier one.
BATCH_BYTES = 384 * 1024
IDLE_INTERVAL_S = 10.0


class Publisher:
    """Publishes for one process; a lock a shard keeps the timer and a batch from publishing the same facts."""

    def __init__(self, unpublished: UnpublishedRecords, send: Send, metrics: PublishMetrics) -> None:
        self._unpublished = unpublished
        self._metrics = metrics
        self._send = send
        self._locks: defaultdict[int, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._last_progress: dict[int, tuple[ShardRow, float]] = {}
        self._replayed: set[int] = set()

    @contextmanager
    def holding_compensations_back(self, shard: int) -> Iterator[None]:
        """Publish no compensation of a shard inside the block: its commits are read again, and may have the end of an
        order that is refused again.
        """
        self._replayed.add(shard)
        try:
            yield
        finally:
            self._replayed.discard(shard)

    async def publish(self, outcomes: Iterable[Outcome]) -> None:
        """After a transaction: progress, for which the relay waits, and meanwhile new compensations and facts."""
        await asyncio.gather(*(self._publish(outcome) for outcome in outcomes))

    async def _publish(self, outcome: Outcome) -> None:
        shard, row, resend_from_seq, applied, has_refused = outcome
        await asyncio.gather(
            self._publish_progress(shard, row, resend_from_seq),
            self._publish_rest(shard, applied, compensations=has_refused, only_new=True),
        )

    async def publish_due(self, shards: Iterable[int]) -> None:
        """Each second, for the shards that are assigned: what is due, with or without a batch."""
        rows = await self._unpublished.shard_rows(shards)
        open_compensations = await self._unpublished.open_compensations(rows)
        for shard, row in rows.items():
            self._metrics.show_compensations(shard, *open_compensations.get(shard, (0, 0)))
            if self._is_progress_due(shard, row):
                await self._publish_progress(shard, row)
        for shard, row in rows.items():
            if shard in open_compensations or row.facts_position != row.position:
                await self._publish_rest(shard, only_new=False)

    def _is_progress_due(self, shard: int, row: ShardRow) -> bool:
        published, at = self._last_progress.get(shard, (None, 0.0))
        return published != _reported(row) or time.monotonic() - at >= IDLE_INTERVAL_S

    async def _publish_progress(self, shard: int, row: ShardRow, resend_from_seq: int = 0) -> None:
        progress = LedgerProgress(
            shard=shard,
            epoch=row.epoch,
            seq=row.seq,
            settled_epoch=row.settled_epoch,
            settled_seq=row.settled_seq,
            resend_from_seq=resend_from_seq,
            hash=row.hash.encode(),
            frozen_reason=row.frozen_reason,
        )
        await self._send([Message(PROGRESS, shard, str(shard).encode(), progress.SerializeToString())])
        self._last_progress[shard] = _reported(row), time.monotonic()

    async def _publish_rest(
        self, shard: int, applied: Sequence[AcceptedCommit] = (), *, compensations: bool = True, only_new: bool
    ) -> None:
        async with self._locks[shard]:
            if compensations:
                await self._publish_compensations(shard, only_new)
            await self._publish_facts(shard, applied)

    async def _publish_compensations(self, shard: int, only_new: bool) -> None:
        """Not all that are due: while many are open, there are always more, and no commit is applied meanwhile."""
        if shard not in self._replayed and (due := await self._unpublished.due_compensations(shard, only_new)):
            key = str(shard).encode()
            await self._send([Message(COMPENSATIONS, shard, key, one.SerializeToString()) for one in due])
            self._metrics.compensations.inc(len(due))

    async def _publish_facts(self, shard: int, applied: Sequence[AcceptedCommit]) -> None:
        """All facts above the shard's mark; none further if the ledger was set back meanwhile, for it applies anew."""
        while (found := await self._unpublished.next_facts(shard, applied)) is not None:
            await self._send_facts(ORDERS, shard, found.orders)
            await self._send_facts(SALES, shard, found.sales)
            if not await self._unpublished.record_published(shard, found) or found.reaches_watermark:
                return

    async def _send_facts(self, topic: str, shard: int, facts: Iterable[Fact]) -> None:
        """Returns once Kafka has confirmed all of them."""
        for batch in batches(facts):
            await self._send([Message(topic, shard, fact.key, fact.value) for fact in batch])
            self._metrics.facts.inc(len(batch))


def batches(facts: Iterable[Fact], limit: int = BATCH_BYTES) -> list[list[Fact]]:
    """Cut facts into batches of at most `limit` bytes of keys and values."""
    cut: list[list[Fact]] = []
    bytes_left = 0
    for fact in facts:
        size = len(fact.key) + len(fact.value)
        if not cut or size > bytes_left:
            cut.append([])
            bytes_left = limit
        cut[-1].append(fact)
        bytes_left -= size
    return cut


def _reported(row: ShardRow) -> ShardRow:
    """The part of a row that progress reports."""
    return row._replace(facts_epoch=0, facts_seq=0, read_offset=0, read_digest=b"", seen_epoch=0, seen_seq=0)
