"""What has to be done to a shard's stock from time to time: take overdue holds back, forget what is long over.

Both may be done by several relays at once: a hold is taken back once, and a record that is gone stays gone.
"""

import asyncio
from collections.abc import Callable

from inventory_service.domain.ports import Housekeeping
from inventory_service.domain.requests import SaleKey
from inventory_service.domain.verdicts import Refusal

SWEEP_S = 0.5
FORGET_S = 60.0
EXPIRED_AT_ONCE = 100  # holds that one call takes back; so many mean that there may be more


class Upkeep:
    """One shard's upkeep. A shard that refuses is left alone until the next sweep: a take-over will open it."""

    def __init__(
        self, shard: int, stock: Housekeeping, monotonic: Callable[[], float], retention_ms: int, expiry: bool
    ) -> None:
        self._shard = shard
        self._stock = stock
        self._monotonic = monotonic
        self._retention_ms = retention_ms
        self._expiry = expiry
        self._next_forget = 0.0

    async def sweep(self) -> None:
        """One sweep; the owner repeats it."""
        if self._expiry and await self._expired() >= EXPIRED_AT_ONCE:
            return
        if self._monotonic() >= self._next_forget:
            self._next_forget = self._monotonic() + min(FORGET_S, max(self._retention_ms / 1000, SWEEP_S))
            await self._forget()
        await asyncio.sleep(SWEEP_S)

    async def _expired(self) -> int:
        taken_back = await self._stock.expire(self._shard)
        return 0 if isinstance(taken_back, Refusal) else taken_back

    async def _forget(self) -> None:
        sales = await self._stock.sales(self._shard)
        for sale in () if isinstance(sales, Refusal) else sales:
            await self._forget_in(sale)

    async def _forget_in(self, sale: SaleKey) -> None:
        """Walk over one sale in small steps, so that no call blocks Redis for long."""
        cursor = 0
        while True:
            step = await self._stock.forget(sale, self._retention_ms, cursor)
            if isinstance(step, Refusal) or step.cursor == 0:
                return
            cursor = step.cursor
