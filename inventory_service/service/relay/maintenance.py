"""What has to be done to a shard's stock from time to time: take overdue holds back, forget what is long over, count.

All of it may be done by several relays at once: a hold is taken back once, and a record that is gone stays gone.
"""

import asyncio
from collections.abc import Callable

from inventory_service.domain.backlog import RelayGauges
from inventory_service.domain.ports import StockMaintenance
from inventory_service.domain.results import Failure
from inventory_service.service.relay.archiver import Archiver

SWEEP_S = 0.5
COUNT_S = 5.0


class ShardMaintenance:
    """One shard's upkeep. A shard that refuses is left alone until the next sweep: a take-over will open it."""

    def __init__(
        self,
        shard: int,
        stock: StockMaintenance,
        gauges: RelayGauges,
        monotonic: Callable[[], float],
        retention_ms: int,
        expiry: bool,
    ) -> None:
        self._shard = shard
        self._stock = stock
        self._gauges = gauges
        self._monotonic = monotonic
        self._next_count = monotonic()
        self._archiver = Archiver(shard, stock, monotonic, retention_ms)
        self._expiry = expiry

    async def sweep(self) -> None:
        """One sweep; the owner repeats it. While more is due it goes on at once, and only counts beside it."""
        more_is_due = self._expiry and await self._expire()
        await self._count_now_and_then()
        if not more_is_due:
            await self._archiver.look()
            await asyncio.sleep(SWEEP_S)

    def stand_by(self) -> None:
        """Another relay has the shard; once it is ours again it is counted at once, for nobody else shows it then."""
        self._next_count = self._monotonic()

    async def _count_now_and_then(self) -> None:
        if self._monotonic() < self._next_count:
            return
        self._next_count = self._monotonic() + COUNT_S
        holds = await self._stock.count_holds(self._shard)
        if not isinstance(holds, Failure):
            self._gauges.show_holds(self._shard, holds)

    async def _expire(self) -> bool:
        """Whether more is due than one call takes back; a call that found nothing was overtaken by another relay's."""
        taken_back = await self._stock.expire(self._shard)
        return not isinstance(taken_back, Failure) and taken_back.holds > 0 and taken_back.more_is_due
