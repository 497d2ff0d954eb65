"""Blocks and unblocks buyers: in the ledger first, which decides, then in the shards' copies, as far as they answer."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

from inventory_service.domain.blocked_buyers import BlockChange
from inventory_service.domain.ports import BlockedCopies, BlockedList
from inventory_service.domain.results import Failure
from inventory_service.domain.shards import RedisUnavailable
from inventory_service.service.bulkhead import Bulkhead

COPY_S = 2.0  # for all copies; the relays bring every copy up to date within seconds

TimeLeft = Callable[[], float | None]  # seconds until the caller's deadline; None: there is none


class BlockedBuyers:
    """The list in the ledger and its copies. A repeat changes the copies again, for it may have been made to.

    Changes of the list wait for each other in the ledger; the bulkhead keeps them from taking all connections to it.
    """

    def __init__(self, ledger: BlockedList, bulkhead: Bulkhead, copies: BlockedCopies, shards: int) -> None:
        self._ledger = ledger
        self._bulkhead = bulkhead
        self._copies = copies
        self._shards = shards

    async def block(
        self, tenant: str, buyer_id: str, reason: str, actor: str, time_left: TimeLeft
    ) -> BlockChange | Failure:
        """Reject and refuse what this buyer asks for from now on."""
        change = await self._bulkhead.ask(lambda: self._ledger.block_buyer(tenant, buyer_id, reason, actor))
        return await self._copied(change, time_left)

    async def unblock(self, tenant: str, buyer_id: str, time_left: TimeLeft) -> BlockChange | Failure:
        """Take a block back."""
        change = await self._bulkhead.ask(lambda: self._ledger.unblock_buyer(tenant, buyer_id))
        return await self._copied(change, time_left)

    async def _copied(self, change: BlockChange | Failure, time_left: TimeLeft) -> BlockChange | Failure:
        if not isinstance(change, Failure):
            left_s = time_left()
            within_s = COPY_S if left_s is None else min(COPY_S, left_s / 2)
            await asyncio.gather(*(self._copy(shard, change, within_s) for shard in range(self._shards)))
        return change

    async def _copy(self, shard: int, change: BlockChange, within_s: float) -> None:
        with suppress(RedisUnavailable, TimeoutError):
            async with asyncio.timeout(within_s):
                await self._copies.change(shard, change)
