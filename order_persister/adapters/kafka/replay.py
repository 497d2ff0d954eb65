"""Reads a shard's commits from Kafka once more when the ledger has gone back, as a restore of Postgres lets it.

Redis has trimmed what the ledger had reported, so Kafka alone still has it. Everything comes a second time, which the
watermark makes harmless: the ledger drops what it holds and takes what follows.
"""

from collections.abc import Awaitable, Callable, Iterable
from contextlib import aclosing
from functools import partial

import structlog

from holdfast_runtime.retry import Retrier
from order_persister.adapters.kafka.partitions import Partitions
from order_persister.adapters.ledger.unpublished import Unpublished
from order_persister.adapters.ledger.writer import LedgerWriter
from order_persister.domain.chain import deliveries
from order_persister.domain.shards import Outcome, ShardRow

log = structlog.get_logger()


class Replayer:
    """Remembers how far the ledger was in each shard that is ours, for a ledger never goes back by itself."""

    def __init__(
        self,
        partitions: Partitions,
        ledger: LedgerWriter,
        tell: Callable[[Iterable[Outcome]], Awaitable[None]],
        unpublished: Unpublished,
        retrier: Retrier,
    ) -> None:
        self._partitions = partitions
        self._ledger = ledger
        self._tell = tell
        self._unpublished = unpublished
        self._retrier = retrier
        self._heights: dict[int, tuple[int, int]] = {}

    def observe(self, outcomes: Iterable[Outcome]) -> None:
        """Note how far the ledger is after a batch."""
        for shard, row, _ in outcomes:
            if shard in self._heights:
                self._heights[shard] = max(self._heights[shard], _mark(row))

    async def look(self, shards: Iterable[int]) -> None:
        """Reread those of our shards that stand below where they were. A frozen one would take nothing."""
        ours = set(shards)
        for shard in self._heights.keys() - ours:
            del self._heights[shard]  # another persister moves it on
        for shard in ours - self._heights.keys():
            self._heights[shard] = await self._retrier.retry("Kafka", partial(self._read_before, shard))
        heights = dict(self._heights)  # before the rows are read, for these may rise meanwhile
        for shard, row in (await self._unpublished.rows(ours)).items():
            if _mark(row) < heights[shard] and not row.frozen_reason:
                await self._replay(shard, row, heights[shard])

    async def _read_before(self, shard: int) -> tuple[int, int]:
        """How far the group had read a partition that has just come to us; its records may be long ones."""
        record = await self._partitions.last_acknowledged(shard)
        sent = deliveries([record])[shard].sent if record is not None else []
        return (sent[-1].epoch, sent[-1].seq) if sent else (0, 0)

    async def _replay(self, shard: int, row: ShardRow, height: tuple[int, int]) -> None:
        log.warning("ledger_went_back", shard=shard, stands=_mark(row), stood=height)
        await self._retrier.retry("Kafka", partial(self._read_again, shard))
        row = (await self._unpublished.rows([shard])).get(shard, row)
        # If Kafka did not have it all, reading it over and over would not help.
        self._heights[shard] = _mark(row)
        log.info("replayed", shard=shard, stands=_mark(row), whole=_mark(row) >= height)

    async def _read_again(self, shard: int) -> None:
        async with aclosing(self._partitions.all_records(shard)) as batches:
            async for records in batches:
                await self._tell(await self._ledger.apply(records))


def _mark(row: ShardRow) -> tuple[int, int]:
    return row.epoch, row.seq
