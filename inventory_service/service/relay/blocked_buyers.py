"""Brings a shard's copy of the list of blocked buyers up to date.

Several relays may do so at once, and any may end at any step: a replacement of a copy ends the one before it, and the
copy counts as complete only with the last step.
"""

import asyncio
from contextlib import suppress

from structlog.typing import FilteringBoundLogger

from inventory_service.domain.ports import BlockedCopies, BlockedList
from inventory_service.domain.shard_ports import Shards
from inventory_service.domain.shards import ShardStatus
from inventory_service.service.relay.lease import ShardLease

COMPARE_INTERVAL_S = 10.0


class BlockedBuyersCopier:
    """The copier of one shard; the relay repeats `run` for ever."""

    def __init__(
        self,
        shard: int,
        shards: Shards,
        ledger: BlockedList,
        copies: BlockedCopies,
        lease: ShardLease,
        log: FilteringBoundLogger,
    ) -> None:
        self._shard = shard
        self._shards = shards
        self._ledger = ledger
        self._copies = copies
        self._lease = lease
        self._log = log
        self._served: tuple[int, str] | None = None  # epoch and Redis in which the shard was last seen to serve
        self._serves_anew = asyncio.Event()

    def on_status(self, status: ShardStatus) -> None:
        """Notice a shard that serves in a new epoch, whose copy is empty."""
        if status.serving and self._served != (status.epoch, status.identity):
            self._served = status.epoch, status.identity
            self._serves_anew.set()

    async def run(self) -> None:
        """Compare once while this relay has the lease, and wait until the next comparison is due."""
        if not self._lease.is_held:
            await self._lease.wait()
            return
        self._serves_anew.clear()
        await self.copy_if_old()
        with suppress(TimeoutError):
            async with asyncio.timeout(COMPARE_INTERVAL_S):
                await self._serves_anew.wait()

    async def copy_if_old(self) -> None:
        """Replace the copy by the list unless it has every change of the list, or the shard does not serve."""
        # The copy is asked before the list: one that is newer shows that the list was set back.
        status = await self._shards.status(self._shard)
        version = await self._ledger.blocked_version()
        if status.serving and status.blocked_version != version:
            await self._replace(version, status.blocked_version)

    async def _replace(self, version: int, seen: int | None) -> None:
        """The pages may have later changes too; the list has a later version then, and the copy is replaced again."""
        await self._copies.begin(self._shard, version, seen)
        buyers, after = 0, None
        while page := await self._ledger.blocked_page(after):
            if not await self._copies.add(self._shard, version, page):
                return
            buyers, after = buyers + len(page), page[-1]
        if await self._copies.drop_others(self._shard, version):
            self._log.info("blocked_buyers_copied", buyers=buyers, version=version)
