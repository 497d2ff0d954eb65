"""Compare, again and again and at little cost, the units that Redis has of each item with those in the ledger.

`holdfast audit` compares everything, and waits for that; this looks whether the two stand at one position at the
moment, and leaves a shard that is busier than that for the next round.
"""

import asyncio
from collections.abc import Callable
from typing import Protocol

from inventory_service.domain.audit_ports import LedgerSnapshots, RedisSnapshots
from inventory_service.domain.reconciliation import item_differences

ROUND_S = 10.0  # between two rounds over all shards
TRIES, BETWEEN_TRIES_S = 10, 0.2  # the ledger follows within such a time
FEW = 1  # reservations are not compared here


class DriftGauges(Protocol):
    """Where the result is shown."""

    def show_drift(self, shard: int, items: int, time_s: float) -> None: ...


class DriftWatch:
    """Compares all shards, one after the other. Several at once only read twice."""

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

    async def look(self) -> None:
        """One round; the owner repeats it."""
        for shard in range(self._shard_count):
            await self._compare_if_quiet(shard)
        await asyncio.sleep(ROUND_S)

    async def _compare_if_quiet(self, shard: int) -> None:
        if not await self._redis.sales(shard):
            return
        for _ in range(TRIES):
            items = await self.count(shard)
            if items is not None:
                self._gauges.show_drift(shard, items, self._time())
                return
            await asyncio.sleep(BETWEEN_TRIES_S)

    async def count(self, shard: int) -> int | None:
        """How many items differ; None if nothing could be compared: no sales, or not at one position all the time."""
        async with self._ledger.snapshot(shard) as snapshot:
            found, sales = 0, await self._redis.sales(shard)
            balances = await snapshot.balances(sales)
            for sale in sales:
                part = await self._redis.part(shard, sale, 0, FEW)
                if (part.head, part.hash) != (snapshot.commit_id, snapshot.hash):
                    return None
                differences = item_differences(sale, part.items, balances.get(sale, ()))
                found += len({difference.where for difference in differences})
        return found if sales else None
