"""Loads a shard whose Redis is lost from the ledger, as the last step of a take-over.

Whatever ends it, the shard stays void and in its take-over, and serves no call; the next take-over begins at the first
part. A part that is sent twice is written once.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import aclosing, suppress
from typing import NamedTuple, TypeVar

from inventory_service.domain.keys import SaleKey
from inventory_service.domain.load_ports import LoadSnapshot, LoadSource, LoadTarget, RecordOfSale
from inventory_service.domain.shard_load import LoadedBuyer, LoadedRecord, SalePart
from inventory_service.domain.shard_ports import Shards
from inventory_service.domain.shards import BegunTakeover

LOADS_AT_ONCE = 2
SALES_AT_ONCE = 200
# Values in one part. A part of 512 stops Redis for about 5 ms, which the calls to its other shards notice; larger parts
# take less time in all.
PART_SIZE, PART_SIZE_OF_IDLE_REDIS = 512, 3000

Page = TypeVar("Page")


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
        retention_ms: int,
        progress: Callable[[LoadProgress], None],
    ) -> None:
        self._source = source
        self._target = target
        self._shards = shards
        self._retention_ms = retention_ms  # for which Redis keeps reservations and sales that have ended
        self._progress = progress
        self._slots = asyncio.Semaphore(LOADS_AT_ONCE)

    async def load(self, takeover: BegunTakeover, epoch: int) -> bool:
        """Load a shard that was fenced at `epoch` and let it serve; False if the take-over or its Redis is gone.

        `LedgerMoved` if the ledger's row is not as the fence left it.
        """
        async with self._slots, self._source.snapshot(takeover.shard, epoch) as snapshot:
            now_ms = await self._target.begin_load(takeover, snapshot.base)
            if now_ms is None or not await self._target.clear(takeover):
                return False
            size = await self._part_size(takeover.shard, snapshot.base.shards)
            parts = _Parts(takeover, self._target, size)
            try:
                await self._write_all(snapshot, parts, now_ms - self._retention_ms)
            except _TakeoverGone:
                return False
        return await self._target.finish_load(takeover, snapshot.base, parts.written)

    async def _part_size(self, shard: int, shard_count: int) -> int:
        others = [await self._shards.status(other) for other in range(shard_count) if other != shard]
        return PART_SIZE if any(other.serving for other in others) else PART_SIZE_OF_IDLE_REDIS

    async def _write_all(self, snapshot: LoadSnapshot, parts: "_Parts", cutoff_ms: int) -> None:
        """Final records first, in the order of their commits: an id that was reused then belongs to the later order."""
        seen = await self._write_final(snapshot, parts, cutoff_ms)
        sales = await snapshot.sales(cutoff_ms, sorted(seen))
        holds, loaded = await snapshot.count_holds(), 0
        for first in range(0, len(sales), SALES_AT_ONCE):
            some = sales[first : first + SALES_AT_ONCE]
            keys = [sale.sale for sale in some]
            items = _by_sale(await snapshot.items(keys))
            await parts.write([SalePart(sale.sale, settings=sale, items=items[sale.sale]) for sale in some])
            async for page in ahead(snapshot.holds(keys)):
                await parts.write_records(page)
                loaded += len(page)
                self._progress(LoadProgress(snapshot.base.shard, "holds", loaded, holds))
            async for buyers in ahead(snapshot.buyers(keys)):
                await parts.write_buyers(buyers)
            self._progress(LoadProgress(snapshot.base.shard, "sales", first + len(some), len(sales)))
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
            self._progress(LoadProgress(snapshot.base.shard, "commits", read, commits))
        return seen


class _TakeoverGone(Exception):
    """Another take-over began, or Redis is another one."""


class _Parts:
    """The parts of one load, of about `size` values each, numbered as they are written."""

    def __init__(self, takeover: BegunTakeover, target: LoadTarget, size: int) -> None:
        self._takeover = takeover
        self._target = target
        self._size = size
        self.written = 0

    async def write_records(self, records: Sequence[RecordOfSale]) -> None:
        for some in self._cut(records):
            by_sale: dict[SaleKey, list[LoadedRecord]] = _by_sale(some)
            await self._write([SalePart(sale, records=its) for sale, its in by_sale.items()])

    async def write_buyers(self, buyers: Sequence[tuple[SaleKey, LoadedBuyer]]) -> None:
        for some in self._cut(buyers):
            by_sale: dict[SaleKey, list[LoadedBuyer]] = _by_sale(some)
            await self._write([SalePart(sale, buyers=its) for sale, its in by_sale.items()])

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


async def ahead(pages: AsyncGenerator[Page, None]) -> AsyncGenerator[Page, None]:
    """The same pages, each read while the one before it is written."""
    async with aclosing(pages):
        following = asyncio.ensure_future(anext(pages, None))
        try:
            while (page := await following) is not None:
                following = asyncio.ensure_future(anext(pages, None))
                yield page
        finally:
            following.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await following
