"""Scans a shard's sales for records that may leave Redis, in small steps, and only when some may.

Several relays may do so at once: a record that was removed stays removed.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from inventory_service.domain.keys import SaleKey
from inventory_service.domain.ports import StockMaintenance
from inventory_service.domain.results import Failure

MAX_STEPS = 20  # a run; a step scans a hundred records or so, so that neither Redis nor the caller waits long
LIST_INTERVAL_S = 60.0  # between two listings of the shard's sales
SCANS_PER_RETENTION = 24  # of one sale at most, so a record leaves up to a 24th of the retention late


@dataclass
class _Scan:
    """A scan of one sale that is under way."""

    sale: SaleKey
    cursor: int
    wait_ms: int  # no record seen so far can leave sooner


class Archiver:
    """Archives one shard. What it knows of its sales is kept in memory alone, so a new relay scans them once more."""

    def __init__(self, shard: int, stock: StockMaintenance, monotonic: Callable[[], float], retention_ms: int) -> None:
        self._shard = shard
        self._stock = stock
        self._monotonic = monotonic
        self._retention_ms = retention_ms
        self._pause_s = retention_ms / 1000 / SCANS_PER_RETENTION
        self._next_list = 0.0
        self._next_scan: dict[SaleKey, float] = {}
        self._waiting: deque[SaleKey] = deque()
        self._scan: _Scan | None = None

    async def run(self) -> None:
        """Take the next steps, if any is due; a shard that does not serve is left until the next run."""
        for _ in range(MAX_STEPS):
            self._scan = self._scan or await self._next()
            if self._scan is None or not await self._step(self._scan):
                return

    async def _next(self) -> _Scan | None:
        if not self._waiting and self._monotonic() >= self._next_list:
            await self._list()
        return _Scan(self._waiting.popleft(), 0, self._retention_ms) if self._waiting else None

    async def _list(self) -> None:
        """Queue the sales that are due; one not seen before is due at once."""
        sales = await self._stock.list_sales(self._shard)
        if isinstance(sales, Failure):
            return
        now = self._monotonic()
        self._next_list = now + min(LIST_INTERVAL_S, self._pause_s)
        self._next_scan = {sale: self._next_scan.get(sale, now) for sale in sales}
        self._waiting.extend(sale for sale, at in self._next_scan.items() if at <= now)

    async def _step(self, scan: _Scan) -> bool:
        """False if the shard does not serve; the scan goes on where it was."""
        step = await self._stock.archive(scan.sale, self._retention_ms, scan.cursor)
        if isinstance(step, Failure):
            return False
        scan.cursor, scan.wait_ms = step.cursor, min(scan.wait_ms, step.wait_ms)
        if step.cursor == 0:
            self._next_scan[scan.sale] = self._monotonic() + max(scan.wait_ms / 1000, self._pause_s)
            self._scan = None
        return True
