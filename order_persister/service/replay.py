"""Replays a shard's commits from Kafka from where the ledger's own row has read its partition to.

The consumer group's offset says what some ledger was shown, not what this one holds: a ledger that was restored from a
backup, or that was frozen meanwhile, has read less, and Redis has trimmed what the other had reported. A commit that
comes a second time is harmless: the ledger drops what it holds and applies what follows.
"""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import aclosing
from functools import partial
from typing import NamedTuple

import structlog

from holdfast_runtime.retry import Retrier
from order_persister.domain.chain import digest_of
from order_persister.domain.ports import CommitRecords, UnpublishedRecords
from order_persister.domain.shards import PartitionState, ShardRow
from order_persister.service.apply import LedgerWriter
from order_persister.service.publisher import Publisher

RECOGNIZE_INTERVAL_S = 30.0  # after which a row that has not moved is compared with its topic again
FIRST_PAUSE_S = 2.0  # after a replay that has moved nothing; doubled after each that follows
LONGEST_PAUSE_S = 60.0
CHECK_S = 1.0  # for which a check waits for what it began
REPLAYS_AT_ONCE = 4

log = structlog.get_logger()


class _Recognized(NamedTuple):
    """Up to where a row had read this topic, and not an earlier one of that name, at a moment."""

    read_offset: int
    monotonic: float


class _InVain(NamedTuple):
    """A replay that has moved nothing: Kafka has deleted what comes next, or a later version wrote it."""

    row: ShardRow
    pause_s: float
    until: float  # by the monotonic clock


class Replayer:
    """Compares the rows of the assigned shards with what the group has acknowledged; `check` is repeated."""

    def __init__(
        self,
        records: CommitRecords,
        ledger: LedgerWriter,
        publisher: Publisher,
        unpublished: UnpublishedRecords,
        retrier: Retrier,
        monotonic: Callable[[], float],
    ) -> None:
        self._records = records
        self._ledger = ledger
        self._publisher = publisher
        self._unpublished = unpublished
        self._retrier = retrier
        self._monotonic = monotonic
        self._recognized: dict[int, _Recognized] = {}
        self._in_vain: dict[int, _InVain] = {}
        self._tasks: dict[int, asyncio.Future[None]] = {}  # by shard
        self._at_once = asyncio.Semaphore(REPLAYS_AT_ONCE)

    async def check(self, partitions: Mapping[int, PartitionState]) -> None:
        """Replay those of the assigned shards that have read less than the group. A frozen one takes nothing.

        Each in a task of its own, which may outlast the call: a partition without a leader holds up no other shard.
        """
        self._recognized = {shard: at for shard, at in self._recognized.items() if shard in partitions}
        for shard in self._tasks.keys() - partitions.keys():
            self._tasks.pop(shard).cancel()
        for shard, row in (await self._unpublished.shard_rows(partitions)).items():
            if shard not in self._tasks and not row.frozen_reason:
                self._tasks[shard] = asyncio.ensure_future(self._check_shard(shard, row, partitions[shard]))
        await self._collect()

    async def close(self) -> None:
        """End what still runs."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def _collect(self) -> None:
        """Forget the tasks that end soon; one that failed raises here."""
        if self._tasks:
            await asyncio.wait(self._tasks.values(), timeout=CHECK_S)
        for shard in [shard for shard, task in self._tasks.items() if task.done()]:
            self._tasks.pop(shard).result()

    async def _check_shard(self, shard: int, row: ShardRow, partition: PartitionState) -> None:
        if not await self._is_recognized(shard, row, partition):
            log.warning("topic_made_anew", shard=shard, read_offset=row.read_offset, end=partition.end)
            await self._ledger.restart_reading(shard, row.read_mark)
            row = row._replace(read_offset=0)
            self._recognized.pop(shard, None)
        if row.read_offset >= min(partition.acknowledged, partition.end):
            self._in_vain.pop(shard, None)
        elif not self._is_paused(shard, row):
            async with self._at_once:
                await self._replay(shard, row, partition)

    async def _is_recognized(self, shard: int, row: ShardRow, partition: PartitionState) -> bool:
        """False if the row has read a topic that was deleted since: this one ends earlier, or has another record."""
        if row.read_offset > partition.end:  # or the partition has grown since
            return row.read_offset <= await self._retrier.retry("Kafka", partial(self._records.end, shard))
        known, now = self._recognized.get(shard), self._monotonic()
        if known is not None and known.read_offset == row.read_offset and now - known.monotonic < RECOGNIZE_INTERVAL_S:
            return True
        has_read_on = known is not None and known.read_offset < row.read_offset  # so a persister reads the topic
        if not has_read_on and not await self._has_last_record(shard, row):
            return False
        self._recognized[shard] = _Recognized(row.read_offset, now)
        return True

    async def _has_last_record(self, shard: int, row: ShardRow) -> bool:
        """Whether the partition has the record that the row has read last; a deleted record counts as there."""
        if not (row.read_offset and row.read_digest):
            return True
        last = await self._retrier.retry("Kafka", partial(self._records.record_at, shard, row.read_offset - 1))
        return last is None or digest_of(last.value) == row.read_digest

    def _is_paused(self, shard: int, row: ShardRow) -> bool:
        """Whether a replay from here has just moved nothing. It is repeated later, for the cause may have gone."""
        before = self._in_vain.get(shard)
        return before is not None and not _has_moved(before.row, row) and self._monotonic() < before.until

    async def _replay(self, shard: int, row: ShardRow, partition: PartitionState) -> None:
        log.warning("replaying", shard=shard, read_offset=row.read_offset, acknowledged=partition.acknowledged)
        with self._publisher.holding_compensations_back(shard):
            await self._retrier.retry("Kafka", partial(self._replay_from_mark, shard, row))
        after = (await self._unpublished.shard_rows([shard])).get(shard, row)
        complete = after.read_offset >= min(partition.acknowledged, partition.end)
        if not complete and not _has_moved(row, after):
            self._pause(shard, row)
        log.info("replayed", shard=shard, position=after.position, read_offset=after.read_offset, complete=complete)

    def _pause(self, shard: int, row: ShardRow) -> None:
        before = self._in_vain.get(shard)
        pause_s = FIRST_PAUSE_S if before is None else min(2 * before.pause_s, LONGEST_PAUSE_S)
        self._in_vain[shard] = _InVain(row, pause_s, self._monotonic() + pause_s)

    async def _replay_from_mark(self, shard: int, row: ShardRow) -> None:
        """Read on from where the row has come by now, perhaps in an earlier attempt."""
        row = (await self._unpublished.shard_rows([shard])).get(shard, row)
        async with aclosing(self._records.records_from(shard, row.read_offset)) as batches:
            async for records in batches:
                await self._ledger.apply(records, self._publisher.publish)


def _has_moved(before: ShardRow, row: ShardRow) -> bool:
    """Whether a row has read on or was set back; it applies commits also without reading on, those beyond a gap."""
    return row.read_offset != before.read_offset or row.position < before.position
