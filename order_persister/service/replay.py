"""Replays a shard's commits from Kafka when the ledger has gone back, for example because Postgres was restored.

Redis has trimmed the commits that the ledger had reported, so Kafka alone still has them. Every commit comes a second
time, which the watermark makes harmless: the ledger drops what it holds and applies what follows.
"""

from collections.abc import Awaitable, Callable, Iterable
from contextlib import aclosing
from functools import partial

import structlog

from holdfast_runtime.retry import Retrier
from order_persister.domain.chain import deliveries_from
from order_persister.domain.ports import CommitRecords, UnpublishedRecords
from order_persister.domain.shards import Outcome, ShardRow
from order_persister.service.apply import LedgerWriter

log = structlog.get_logger()


class Replayer:
    """Remembers the ledger's highest position in each assigned shard: a lower one means that the ledger went back."""

    def __init__(
        self,
        records: CommitRecords,
        ledger: LedgerWriter,
        publish: Callable[[Iterable[Outcome]], Awaitable[None]],
        unpublished: UnpublishedRecords,
        retrier: Retrier,
    ) -> None:
        self._records = records
        self._ledger = ledger
        self._publish = publish
        self._unpublished = unpublished
        self._retrier = retrier
        self._highest: dict[int, tuple[int, int]] = {}

    def observe(self, outcomes: Iterable[Outcome]) -> None:
        """Remember the ledger's positions after a batch."""
        for shard, row, _ in outcomes:
            if shard in self._highest:
                self._highest[shard] = max(self._highest[shard], row.position)

    async def replay_where_ledger_went_back(self, shards: Iterable[int]) -> None:
        """Replay those of the assigned shards that are below their highest position. A frozen one takes nothing."""
        assigned = set(shards)
        for shard in self._highest.keys() - assigned:
            del self._highest[shard]  # another persister raises it now
        for shard in assigned - self._highest.keys():
            self._highest[shard] = await self._retrier.retry("Kafka", partial(self._acknowledged_position, shard))
        highest = dict(self._highest)  # copied before the rows are read, because these may rise meanwhile
        for shard, row in (await self._unpublished.shard_rows(assigned)).items():
            if row.position < highest[shard] and not row.frozen_reason:
                await self._replay(shard, row, highest[shard])

    async def _acknowledged_position(self, shard: int) -> tuple[int, int]:
        """The last commit that the group has acknowledged in a partition that has just been assigned."""
        record = await self._records.last_acknowledged(shard)
        received = deliveries_from([record])[shard].received if record is not None else []
        return (received[-1].epoch, received[-1].seq) if received else (0, 0)

    async def _replay(self, shard: int, row: ShardRow, highest: tuple[int, int]) -> None:
        log.warning("ledger_went_back", shard=shard, position=row.position, highest=highest)
        await self._retrier.retry("Kafka", partial(self._replay_all, shard))
        row = (await self._unpublished.shard_rows([shard])).get(shard, row)
        # If Kafka lacks some of the commits, another replay would not bring them either.
        self._highest[shard] = row.position
        log.info("replayed", shard=shard, position=row.position, complete=row.position >= highest)

    async def _replay_all(self, shard: int) -> None:
        async with aclosing(self._records.all_records(shard)) as batches:
            async for records in batches:
                await self._publish(await self._ledger.apply(records))
