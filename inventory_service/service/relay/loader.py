"""Loads a shard whose Redis is lost from the ledger, as the last step of a take-over.

Whatever ends it, the shard stays void and in its take-over, and serves no call; the next take-over begins at the first
part. A part that is sent twice is written once.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import aclosing, suppress
from typing import Any, NamedTuple, TypeVar

from inventory_service.domain.keys import SaleKey
from inventory_service.domain.load_ports import LedgerMoved, LoadSnapshot, LoadSource, LoadTarget, Memory, RecordOfSale
from inventory_service.domain.shard_load import LoadedAdjustment, LoadedBuyer, LoadedRecord, SalePart
from inventory_service.domain.shard_ports import Shards
from inventory_service.domain.shards import VOID, BegunTakeover, Fenced, LedgerRow, RedisUnavailable

LOADS_AT_ONCE = 2
RENEW_S = 1.0  # well below the time after which another relay takes a take-over for abandoned
SALES_AT_ONCE = 200
# Values in one part. A part of 512 stops Redis for about 5 ms, which the calls to its other shards notice; larger parts
# take less time in all.
PART_SIZE, PART_SIZE_OF_IDLE_REDIS = 512, 3000
BYTES_PER_HOLD = 512  # in Redis, its buyer's units and its place among the ends of holds included

Page = TypeVar("Page")


class CannotLoad(Exception):
    """Redis has too little memory for what the ledger holds; nothing was given up. The message says how much."""


class LoadProgress(NamedTuple):
    """How far one step of a load is: of `total` commits, holds or sales, `done` are loaded."""

    shard: int
    step: str
    done: int
    total: int


class ShardLoader:
    """Loads shards, two at the same time."""

    def __init__(
        self,
        source: LoadSource,
        target: LoadTarget,
        shards: Shards,
        memory: Memory,
        retention_ms: int,
        progress: Callable[[LoadProgress], None],
    ) -> None:
        self._source = source
        self._target = target
        self._shards = shards
        self._memory = memory
        self._retention_ms = retention_ms  # for which Redis keeps reservations and sales that have ended
        self._progress = progress
        self._slots = asyncio.Semaphore(LOADS_AT_ONCE)

    @property
    def is_free(self) -> bool:
        """Whether another load may begin at once."""
        return not self._slots.locked()

    async def until_free(self) -> None:
        """Wait until another load may begin."""
        async with self._slots:
            pass

    async def load(self, takeover: BegunTakeover, fenced: Fenced) -> bool:
        """Load a shard that is fenced and let it serve; False if its take-over, its Redis or its fence is gone."""
        try:
            async with self._slots:
                return await self._load(takeover, fenced)
        except (LedgerMoved, _TakeoverGone):
            return False

    async def _load(self, takeover: BegunTakeover, fenced: Fenced) -> bool:
        async with self._source.snapshot(fenced) as snapshot:
            holds = await snapshot.count_holds()
            if not takeover.epoch and takeover.hash != VOID:  # any other gives up as much first
                await self._check_room(holds)
            now_ms = await self._target.begin_load(takeover, snapshot.time_ms)
            if now_ms is None or not await self._target.clear(takeover):
                raise _TakeoverGone
            size = await self._part_size(fenced.row)
            parts = _Parts(takeover, self._target, size)
            renewal = asyncio.ensure_future(parts.renew())
            try:
                await self._write_all(snapshot, parts, now_ms - self._retention_ms, holds)
            finally:
                await _cancel(renewal)
        await self._source.check(fenced)
        return await self._target.finish_load(takeover, fenced, snapshot.time_ms, parts.written)

    async def _part_size(self, row: LedgerRow) -> int:
        others = [await self._shards.status(other) for other in range(row.shards) if other != row.shard]
        return PART_SIZE if any(other.serving for other in others) else PART_SIZE_OF_IDLE_REDIS

    async def _check_room(self, holds: int) -> None:
        """Before anything is given up: the scripts write even if Redis has used up its `maxmemory`."""
        room, needed = await self._memory.room(), holds * BYTES_PER_HOLD
        if room is not None and needed > room:
            has = f"Redis may take {room >> 20} MiB more"
            raise CannotLoad(f"{has}, and {holds:,} holds need about {needed >> 20} MiB: raise its maxmemory")

    async def _write_all(self, snapshot: LoadSnapshot, parts: "_Parts", cutoff_ms: int, holds: int) -> None:
        """Final records first, in the order of their commits: an id that was reused then belongs to the later order."""
        seen = await self._write_final(snapshot, parts, cutoff_ms)
        sales = await snapshot.sales(cutoff_ms, sorted(seen))
        loaded = 0
        for first in range(0, len(sales), SALES_AT_ONCE):
            some = sales[first : first + SALES_AT_ONCE]
            keys = [sale.sale for sale in some]
            parts.released |= {sale.sale: sale.release_ms for sale in some if sale.release_ms}
            items = _by_sale(await snapshot.items(keys))
            await parts.write([SalePart(sale.sale, settings=sale, items=items[sale.sale]) for sale in some])
            async for page in ahead(snapshot.holds(keys)):
                await parts.write_records(page)
                loaded += len(page)
                self._progress(LoadProgress(parts.shard, "holds", loaded, holds))
            limited = [key for key in keys if any(item.buyer_limit for item in items[key])]
            for pages in (snapshot.buyers(keys), *([snapshot.buyers_of_items(limited)] if limited else [])):
                async for buyers in ahead(pages):
                    await parts.write_buyers(buyers)
            async for adjustments in ahead(snapshot.adjustments(keys)):
                await parts.write_adjustments(adjustments)
            self._progress(LoadProgress(parts.shard, "sales", first + len(some), len(sales)))
        async for refused in ahead(snapshot.refused()):
            await parts.write_records(refused)

    async def _write_final(self, snapshot: LoadSnapshot, parts: "_Parts", cutoff_ms: int) -> set[SaleKey]:
        """Returns the sales that the records are of."""
        seen: set[SaleKey] = set()
        commits, read = await snapshot.count_commits(cutoff_ms), 0
        async for count, records in ahead(snapshot.final_records(cutoff_ms)):
            await parts.write_records(records)
            seen.update(sale for sale, _ in records)
            read += count
            self._progress(LoadProgress(parts.shard, "commits", read, commits))
        return seen


class _TakeoverGone(Exception):
    """Another take-over began, or Redis is another one."""


class _Parts:
    """The parts of one load, of about `size` values each, numbered as they are written."""

    def __init__(self, takeover: BegunTakeover, target: LoadTarget, size: int) -> None:
        self.shard = takeover.shard
        self._takeover = takeover
        self._target = target
        self._size = size
        self._turn = asyncio.Lock()
        self.written = 0
        self.released: dict[SaleKey, int] = {}  # sales whose holds were released -> when

    async def renew(self) -> None:
        """Write an empty part whenever none was written for a while: parts tell other processes that this one loads."""
        with suppress(_TakeoverGone, RedisUnavailable):  # the next part meets the same
            while True:
                written = self.written
                await asyncio.sleep(RENEW_S)
                if self.written == written:
                    await self._write([])

    async def write_records(self, records: Sequence[RecordOfSale]) -> None:
        for some in self._cut(records):
            by_sale: dict[SaleKey, list[LoadedRecord]] = _by_sale(some)
            await self._write(
                [SalePart(sale, records=its, release_ms=self.released.get(sale, 0)) for sale, its in by_sale.items()]
            )

    async def write_buyers(self, buyers: Sequence[tuple[SaleKey, LoadedBuyer]]) -> None:
        for some in self._cut(buyers):
            by_sale: dict[SaleKey, list[LoadedBuyer]] = _by_sale(some)
            await self._write([SalePart(sale, buyers=its) for sale, its in by_sale.items()])

    async def write_adjustments(self, adjustments: Sequence[tuple[SaleKey, LoadedAdjustment]]) -> None:
        for some in self._cut(adjustments):
            by_sale: dict[SaleKey, list[LoadedAdjustment]] = _by_sale(some)
            await self._write([SalePart(sale, adjustments=its) for sale, its in by_sale.items()])

    async def write(self, sales: Iterable[SalePart]) -> None:
        """Write sales with their items; one that has more than a part holds is a part by itself."""
        part: list[SalePart] = []
        for sale in sales:
            if part and sum(each.size for each in part) + sale.size > self._size:
                await self._write(part)
                part = []
            part.append(sale)
        if part:
            await self._write(part)

    async def _write(self, part: Sequence[SalePart]) -> None:
        async with self._turn:
            if not await self._target.write_part(self._takeover, self.written + 1, part):
                raise _TakeoverGone
            self.written += 1

    def _cut(self, values: Sequence[Page]) -> Iterable[Sequence[Page]]:
        return (values[first : first + self._size] for first in range(0, len(values), self._size))


def _by_sale(pairs: Iterable[tuple[SaleKey, Page]]) -> defaultdict[SaleKey, list[Page]]:
    found: defaultdict[SaleKey, list[Page]] = defaultdict(list)
    for sale, value in pairs:
        found[sale].append(value)
    return found


async def _cancel(task: "asyncio.Future[Any]") -> None:
    task.cancel()
    with suppress(asyncio.CancelledError, Exception):
        await task


async def ahead(pages: AsyncGenerator[Page, None]) -> AsyncGenerator[Page, None]:
    """The same pages, each read while the one before it is written."""
    async with aclosing(pages):
        following = asyncio.ensure_future(anext(pages, None))
        try:
            while (page := await following) is not None:
                following = asyncio.ensure_future(anext(pages, None))
                yield page
        finally:
            await _cancel(following)
