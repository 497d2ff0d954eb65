"""Walk over a shard's sales for what may leave Redis, in small steps, and only when there may be something.

Done by several relays at once it harms nothing: what is gone stays gone.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from inventory_service.domain.keys import SaleKey
from inventory_service.domain.ports import StockMaintenance
from inventory_service.domain.results import Failure

STEPS_AT_ONCE = 20  # each looks at a hundred records or so: no look keeps Redis, or its caller, for long
LIST_S = 60.0  # between two lists of the shard's sales
WALKS_A_RETENTION = 24  # of one sale at most: what is dropped is gathered, and leaves this much late


@dataclass
class _Walk:
    """A walk over one sale that is under way."""

    sale: SaleKey
    cursor: int
    wait_ms: int  # nothing that was met can leave before


class Archiver:
    """One shard's forgetting. What it has found out of its sales is kept here alone, so a new relay walks once more."""

    def __init__(self, shard: int, stock: StockMaintenance, monotonic: Callable[[], float], retention_ms: int) -> None:
        self._shard = shard
        self._stock = stock
        self._monotonic = monotonic
        self._retention_ms = retention_ms
        self._pause_s = retention_ms / 1000 / WALKS_A_RETENTION
        self._next_list = 0.0
        self._next_walk: dict[SaleKey, float] = {}
        self._waiting: deque[SaleKey] = deque()
        self._walk: _Walk | None = None

    async def look(self) -> None:
        """Take the next steps, if it is time for any; a shard that refuses one is left alone until the next look."""
        for _ in range(STEPS_AT_ONCE):
            self._walk = self._walk or await self._begin()
            if self._walk is None or not await self._step(self._walk):
                return

    async def _begin(self) -> _Walk | None:
        if not self._waiting and self._monotonic() >= self._next_list:
            await self._list()
        return _Walk(self._waiting.popleft(), 0, self._retention_ms) if self._waiting else None

    async def _list(self) -> None:
        """Queue the sales whose time has come; one that was not met before is looked at at once."""
        sales = await self._stock.list_sales(self._shard)
        if isinstance(sales, Failure):
            return
        now = self._monotonic()
        self._next_list = now + min(LIST_S, self._pause_s)
        self._next_walk = {sale: self._next_walk.get(sale, now) for sale in sales}
        self._waiting.extend(sale for sale, at in self._next_walk.items() if at <= now)

    async def _step(self, walk: _Walk) -> bool:
        """False if the shard refuses; the walk goes on where it was."""
        step = await self._stock.archive(walk.sale, self._retention_ms, walk.cursor)
        if isinstance(step, Failure):
            return False
        walk.cursor, walk.wait_ms = step.cursor, min(walk.wait_ms, step.wait_ms)
        if step.cursor == 0:
            self._next_walk[walk.sale] = self._monotonic() + max(walk.wait_ms / 1000, self._pause_s)
            self._walk = None
        return True
