"""Loads a shard whose Redis is lost from the ledger, as the last step of a take-over.

Whatever ends it, the shard stays void and in its take-over, and serves no call; the next take-over begins at the first
part.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import NamedTuple

from inventory_service.domain.keys import SaleKey
from inventory_service.domain.load_ports import LedgerMoved, LoadSnapshot, LoadSource, LoadTarget, Memory
from inventory_service.domain.shard_load import CannotLoad, LoadSize, SalePart
from inventory_service.domain.shard_ports import Shards
from inventory_service.domain.shards import BegunTakeover, Fenced, LedgerRow, RedisUnavailable
from inventory_service.service.relay.load_parts import LoadParts, TakeoverGone, values_by_sale
from inventory_service.service.relay.load_progress import LoadProgress
from inventory_service.service.relay.load_slots import LoadSlots
from inventory_service.service.relay.tasks import ahead, running

RENEW_S = 1.0  # well below the time after which another relay takes a take-over for abandoned
SALES_AT_ONCE = 200
# Values in one part. A part of 512 stops Redis for about 5 ms, which the calls to its other shards notice; larger parts
# take less time in all.
PART_SIZE, PART_SIZE_OF_IDLE_REDIS = 512, 3000
MIB = 1 << 20


class LoaderPorts(NamedTuple):
    """What loads read and write, and who is told how far they are."""

    source: LoadSource
    target: LoadTarget
    shards: Shards
    memory: Memory
    retention_ms: int  # for which Redis keeps reservations and sales that have ended
    progress: Callable[[LoadProgress], None]


class ShardLoader:
    """Loads shards, a few at the same time."""

    def __init__(self, ports: LoaderPorts) -> None:
        self._ports = ports
        self.slots = LoadSlots()

    @asynccontextmanager
    async def load_of(self, takeover: BegunTakeover, row: LedgerRow) -> AsyncIterator["ShardLoad | None"]:
        """The load of one shard, which has a slot and is renewed inside the block; None if no slot is free."""
        async with self.slots.take(takeover.shard) as has_slot:
            if not has_slot:
                yield None
                return
            load = ShardLoad(self._ports, takeover, row)
            async with running(load.renew()):
                yield load


class ShardLoad:
    """The load of one shard in one take-over."""

    def __init__(self, ports: LoaderPorts, takeover: BegunTakeover, row: LedgerRow) -> None:
        self._ports = ports
        self._takeover = takeover
        self._others = [shard for shard in range(row.shards) if shard != row.shard]
        self._parts = LoadParts(takeover, ports.target, PART_SIZE)
        self._size = LoadSize(0, 0)  # as counted
        self._loaded = 0

    async def renew(self) -> None:
        """Tell other processes that this one goes on, and fit the parts to the shards that serve by now."""
        while True:
            with suppress(RedisUnavailable):
                if not await self._ports.target.renew(self._takeover):
                    return  # the load's own next step meets the same
                await self._fit_parts()
            await asyncio.sleep(RENEW_S)

    async def check_room(self) -> None:
        """`CannotLoad` if a later version wrote the ledger, or if Redis has too little memory.

        The scripts of a load write also above its `maxmemory`. What the shard has now is dropped first, so its place
        counts as free.
        """
        self._size = await self._ports.source.size(self._takeover.shard, self._ports.retention_ms)
        room = await self._ports.memory.room()
        if room is None:
            return
        before = await self._ports.target.size(self._takeover) or LoadSize(0, 0)
        if self._size.bytes - before.bytes > room:  # by a bound of the buyers
            self._size = self._size._replace(buyers=await self._ports.source.count_buyers(self._takeover.shard))
        needed = self._size.bytes - before.bytes
        if needed > room:
            has = f"Redis may take {room / MIB:,.1f} MiB more"
            brings = f"{self._size.reservations:,} reservations and {self._size.buyers:,} buyers"
            raise CannotLoad(f"{has}, and {brings} need about {needed / MIB:,.1f} MiB more: raise its maxmemory")

    async def run(self, fenced: Fenced) -> bool:
        """Load the shard, which is fenced, and let it serve; False if its take-over, its Redis or its fence is gone.

        `CannotLoad` if a later version wrote what the ledger holds.
        """
        try:
            return await self._run(fenced)
        except (LedgerMoved, TakeoverGone):
            return False

    async def _run(self, fenced: Fenced) -> bool:
        ports, takeover = self._ports, self._takeover
        async with ports.source.snapshot(fenced) as snapshot:
            now_ms = await ports.target.begin_load(takeover, snapshot.time_ms)
            if now_ms is None or not await ports.target.clear(takeover):
                raise TakeoverGone
            await self._fit_parts()
            await self._write_all(snapshot, now_ms - ports.retention_ms)
        await ports.source.check(fenced)
        return await ports.target.finish_load(takeover, fenced, snapshot.time_ms, self._parts.written)

    async def _fit_parts(self) -> None:
        self._parts.size = PART_SIZE if await self._another_shard_serves() else PART_SIZE_OF_IDLE_REDIS

    async def _another_shard_serves(self) -> bool:
        for shard in self._others:
            if (await self._ports.shards.status(shard)).serving:
                return True
        return False

    async def _write_all(self, snapshot: LoadSnapshot, cutoff_ms: int) -> None:
        """Final records first, in the order of their commits: an id that was reused then belongs to the later order."""
        sales = await snapshot.sales()
        await self._write_final(snapshot, cutoff_ms, frozenset(key for key, _ in sales))
        for first in range(0, len(sales), SALES_AT_ONCE):
            some = sales[first : first + SALES_AT_ONCE]
            keys = [key for key, _ in some]
            self._parts.released |= {key: settings.release_ms for key, settings in some if settings.release_ms}
            items = values_by_sale(await snapshot.items(keys))
            await self._parts.write_sales([SalePart(key, settings, items[key]) for key, settings in some])
            async for page in ahead(snapshot.holds(keys)):
                await self._parts.write_records(page)
                self._tell(len(page))
            limited = [key for key in keys if any(item.buyer_limit for item in items[key])]
            for pages in (snapshot.buyers(keys), *([snapshot.buyers_of_items(limited)] if limited else [])):
                async for buyers in ahead(pages):
                    await self._parts.write_buyers(buyers)
                    self._tell(len(buyers))
            async for adjustments in ahead(snapshot.adjustments(keys)):
                await self._parts.write_adjustments(adjustments)
        async for refused in ahead(snapshot.refused()):
            await self._parts.write_records(refused)
            self._tell(len(refused))
        self._ports.progress(LoadProgress(self._takeover.shard, self._loaded, self._loaded))

    async def _write_final(self, snapshot: LoadSnapshot, cutoff_ms: int, sales: frozenset[SaleKey]) -> None:
        """Only those of `sales`: a sale that has left took its records along, however long they are kept now."""
        async for records in ahead(snapshot.final_records(cutoff_ms)):
            await self._parts.write_records([record for record in records if record[0] in sales])
            self._tell(len(records))

    def _tell(self, values: int) -> None:
        """That so many more are loaded; there may be some more in all than were counted."""
        self._loaded += values
        self._ports.progress(LoadProgress(self._takeover.shard, self._loaded, max(self._size.values, self._loaded + 1)))
