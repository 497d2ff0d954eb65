"""Maintains a shard's stock: expires overdue holds, archives what ended long ago, and counts holds.

Several relays may do so at once: a hold expires once, and a record that was removed stays removed.
"""

import asyncio
from collections.abc import Callable

from inventory_service.domain.backlog import RelayGauges
from inventory_service.domain.ports import StockMaintenance
from inventory_service.domain.results import Failure
from inventory_service.domain.shards import ShardStatus
from inventory_service.service.relay.archiver import Archiver

COUNT_INTERVAL_S = 5.0


class ShardMaintenance:
    """The maintenance of one shard. Until a take-over has opened a shard that does not serve, a sweep does nothing."""

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
        self._has_overdue = False
        self._has_status = asyncio.Event()

    def on_status(self, status: ShardStatus) -> None:
        """Let the next sweep begin. Of a shard without overdue holds it does not ask which they are."""
        self._has_overdue |= status.overdue_sales > 0
        self._has_status.set()

    async def wait(self) -> None:
        """Until a status has come; not while more holds are overdue than one sweep expires."""
        if not self._has_overdue:
            await self._has_status.wait()
        self._has_status.clear()

    async def sweep(self) -> None:
        """One sweep; the relay repeats it, each time after `wait`."""
        self._has_overdue = self._expiry and self._has_overdue and await self._expire()
        await self._count_if_due()
        if not self._has_overdue:
            await self._archiver.run()

    def stand_by(self) -> None:
        """This relay lost the lease. It counts holds as soon as it has it again: no other relay exports it then."""
        self._next_count = self._monotonic()
        self._has_overdue = False

    async def _count_if_due(self) -> None:
        if self._monotonic() < self._next_count:
            return
        self._next_count = self._monotonic() + COUNT_INTERVAL_S
        holds = await self._stock.count_holds(self._shard)
        if not isinstance(holds, Failure):
            self._gauges.show_holds(self._shard, holds)

    async def _expire(self) -> bool:
        """Whether more holds are overdue than one call expires; if a call found none, another relay was faster."""
        taken_back = await self._stock.expire(self._shard)
        return not isinstance(taken_back, Failure) and taken_back.holds > 0 and taken_back.more_is_due
