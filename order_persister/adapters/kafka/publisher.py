"""Tells what the ledger holds: compensations, facts and progress, each confirmed by Kafka, each repeatable.

It reads everything from the ledger and nothing from memory, so a persister that starts, or whose partition has come to
it, tells what another one left untold. Compensations act once, facts carry their position, progress states how it is.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import NamedTuple

from holdfast.inventory.v1.events_pb2 import LedgerProgress

from order_persister.adapters.ledger.unpublished import Unpublished
from order_persister.domain.facts import Fact
from order_persister.domain.shards import Outcome, ShardRow
from order_persister.metrics import PublishMetrics

PROGRESS_TOPIC = "holdfast.ledger-progress.v1"
COMPENSATIONS_TOPIC = "holdfast.compensations.v1"
FACTS_TOPIC = "holdfast.orders.v1"

# What goes out together is one batch of Kafka's, which arrives whole or not at all: no later fact may arrive where
# an earlier one failed, or readers, who drop what is below the last position they saw, would miss it.
BATCH_BYTES = 384 * 1024
IDLE_INTERVAL_S = 10.0


class Message(NamedTuple):
    """A record to send; its partition is the shard."""

    topic: str  # without the prefix
    shard: int
    key: bytes
    value: bytes


# Sends messages of one topic and shard as one batch, in order, and returns when Kafka has confirmed it.
Send = Callable[[Sequence[Message]], Awaitable[None]]


class Publisher:
    """Tells, for one process; a lock a shard keeps the timer and the batches from telling the same facts twice."""

    def __init__(self, unpublished: Unpublished, send: Send, metrics: PublishMetrics) -> None:
        self._unpublished = unpublished
        self._metrics = metrics
        self._send = send
        self._locks: defaultdict[int, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._last_published: dict[int, tuple[ShardRow, float]] = {}

    async def tell(self, outcomes: Iterable[Outcome]) -> None:
        """After a batch: progress at once, for the relay waits for it, then what the batch brought."""
        outcomes = list(outcomes)
        await asyncio.gather(*(self._publish_progress(*outcome) for outcome in outcomes))
        await asyncio.gather(*(self._publish_rest(outcome.shard, outcome.row) for outcome in outcomes))

    async def publish_due(self, shards: Iterable[int]) -> None:
        """Each second, for the shards that are ours: whatever is due, batch or no batch."""
        rows = await self._unpublished.rows(shards)
        owed = await self._unpublished.open_compensations(rows)
        for shard, row in rows.items():
            self._metrics.open_compensations.labels(str(shard)).set(owed.get(shard, 0))
            if self._is_progress_due(shard, row):
                await self._publish_progress(shard, row)
        for shard, row in rows.items():
            if shard in owed or (row.facts_epoch, row.facts_seq) != (row.epoch, row.seq):
                await self._publish_rest(shard, row)

    def _is_progress_due(self, shard: int, row: ShardRow) -> bool:
        told, at = self._last_published.get(shard, (None, 0.0))
        return told != row._replace(facts_epoch=0, facts_seq=0) or time.monotonic() - at >= IDLE_INTERVAL_S

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
        await self._send([Message(PROGRESS_TOPIC, shard, str(shard).encode(), progress.SerializeToString())])
        self._last_published[shard] = row._replace(facts_epoch=0, facts_seq=0), time.monotonic()

    async def _publish_rest(self, shard: int, row: ShardRow) -> None:
        async with self._locks[shard]:
            await self._publish_compensations(shard)
            await self._publish_facts(shard, row)

    async def _publish_compensations(self, shard: int) -> None:
        while due := await self._unpublished.due_compensations(shard):
            key = str(shard).encode()
            await self._send([Message(COMPENSATIONS_TOPIC, shard, key, one.SerializeToString()) for one in due])
            self._metrics.compensations.inc(len(due))

    async def _publish_facts(self, shard: int, row: ShardRow) -> None:
        """All facts between the mark, read anew, and the watermark."""
        watermark = row.epoch, row.seq
        rows = await self._unpublished.rows([shard])
        mark = rows[shard].facts_epoch, rows[shard].facts_seq
        while mark < watermark:
            found = await self._unpublished.facts_after(shard, mark, watermark)
            for batch in batches(found.facts if found else []):
                await self._send([Message(FACTS_TOPIC, shard, fact.key, fact.value) for fact in batch])
                self._metrics.facts.inc(len(batch))
            # Nothing between mark and watermark: the watermark is the start of an epoch that a take-over has opened.
            mark = (found.epoch, found.seq) if found else watermark
            await self._unpublished.raise_mark(shard, *mark)


def batches(facts: Iterable[Fact], limit: int = BATCH_BYTES) -> list[list[Fact]]:
    """Cut facts into batches of at most `limit` bytes of keys and values."""
    cut: list[list[Fact]] = []
    room = 0
    for fact in facts:
        size = len(fact.key) + len(fact.value)
        if not cut or size > room:
            cut.append([])
            room = limit
        cut[-1].append(fact)
        room -= size
    return cut
