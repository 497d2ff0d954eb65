"""Compares each item's units in Redis with those in the ledger every few seconds, at little cost.

`holdfast audit` compares everything and waits for the ledger; this compares a shard only if both sides are at the same
commit, and leaves a busier shard for the next round.
"""

import asyncio
from collections.abc import Callable
from typing import Protocol

from inventory_service.domain.audit_ports import LedgerSnapshots, RedisSnapshots
from inventory_service.domain.reconciliation import item_differences

ROUND_INTERVAL_S = 10.0  # between two rounds over all shards
MAX_TRIES, RETRY_S = 10, 0.2  # an idle shard's ledger catches up within that time
MIN_RESERVATIONS = 1  # none are compared here


class DriftGauges(Protocol):
    """Exports the result."""

    def show_drift(self, shard: int, items: int, time_s: float) -> None: ...


class DriftWatch:
    """Compares all shards, one after the other. Several watches at once only read twice."""

    def __init__(
        self,
        shard_count: int,
        redis: RedisSnapshots,
        ledger: LedgerSnapshots,
        gauges: DriftGauges,
        time: Callable[[], float],
    ) -> None:
        self._shard_count = shard_count
        self._redis = redis
        self._ledger = ledger
        self._gauges = gauges
        self._time = time

    async def run_round(self) -> None:
        """Compare every shard once, then pause; the relay process repeats it."""
        for shard in range(self._shard_count):
            await self._compare_if_quiet(shard)
        await asyncio.sleep(ROUND_INTERVAL_S)

    async def _compare_if_quiet(self, shard: int) -> None:
        if not await self._redis.sales(shard):
            return
        for _ in range(MAX_TRIES):
            items = await self.count(shard)
            if items is not None:
                self._gauges.show_drift(shard, items, self._time())
                return
            await asyncio.sleep(RETRY_S)

    async def count(self, shard: int) -> int | None:
        """How many items differ; None if the shard has no sales, or both sides were not at one commit throughout."""
        async with self._ledger.snapshot(shard) as snapshot:
            found, sales = 0, await self._redis.sales(shard)
            balances = await snapshot.balances(sales)
            for sale in sales:
                page = await self._redis.page(shard, sale, 0, MIN_RESERVATIONS)
                if (page.head, page.hash) != (snapshot.commit_id, snapshot.hash):
                    return None
                differences = item_differences(sale, page.items, balances.get(sale, ()))
                found += len({difference.where for difference in differences})
        return found if sales else None
