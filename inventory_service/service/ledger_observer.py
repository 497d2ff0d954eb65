"""Observes in the ledger which commits a shard's Redis must have, so that an older Redis is refused from the start."""

import asyncio
from contextlib import suppress

from inventory_service.domain.heads import ObservedHeads
from inventory_service.domain.shard_ports import LedgerRows
from inventory_service.domain.shards import LedgerUnavailable

INTERVAL_S = 10.0
TIMEOUT_S = 5.0


class LedgerObserver:
    """Best effort: without the ledger a server serves all the same, by the commits that Redis' replies name."""

    def __init__(self, ledger: LedgerRows, heads: ObservedHeads) -> None:
        self._ledger = ledger
        self._heads = heads

    async def run(self) -> None:
        """Observe for ever."""
        while True:
            await asyncio.sleep(INTERVAL_S)
            await self.observe()

    async def observe(self) -> None:
        """Observe the last commit that the ledger has of each shard, or the epoch that a take-over began in it."""
        with suppress(LedgerUnavailable, TimeoutError):
            async with asyncio.timeout(TIMEOUT_S):
                for shard, row in (await self._ledger.rows()).items():
                    self._heads.observe(shard, row.commit_id)
