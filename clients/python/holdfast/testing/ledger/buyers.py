"""The list of blocked buyers in the ledger in memory."""

from collections.abc import Callable, Sequence

from holdfast.testing.ledger.tables import Tables
from inventory_service.domain.blocked_buyers import BlockChange
from inventory_service.domain.keys import BuyerKey
from inventory_service.domain.lists import BlockedBuyer

PAGE = 1000


class InMemoryBuyers:
    """The port `BlockedList`."""

    def __init__(self, tables: Tables, now_ms: Callable[[], int]) -> None:
        self._tables = tables
        self._now_ms = now_ms

    async def block_buyer(self, tenant: str, buyer_id: str, reason: str, actor: str) -> BlockChange:
        buyer = BuyerKey(tenant, buyer_id)
        if buyer in self._tables.blocked:
            return self._unchanged(buyer, True)
        self._tables.blocked[buyer] = BlockedBuyer(buyer_id, reason, self._now_ms(), actor)
        return self._changed(buyer, True)

    async def unblock_buyer(self, tenant: str, buyer_id: str) -> BlockChange:
        buyer = BuyerKey(tenant, buyer_id)
        if self._tables.blocked.pop(buyer, None) is None:
            return self._unchanged(buyer, False)
        return self._changed(buyer, False)

    async def blocked_version(self) -> int:
        return self._tables.blocked_version

    async def blocked_page(self, after: BuyerKey | None) -> Sequence[BuyerKey]:
        return [buyer for buyer in sorted(self._tables.blocked) if after is None or buyer > after][:PAGE]

    def _unchanged(self, buyer: BuyerKey, is_blocked: bool) -> BlockChange:
        version = self._tables.blocked_version
        return BlockChange(buyer, is_blocked, version, version)

    def _changed(self, buyer: BuyerKey, is_blocked: bool) -> BlockChange:
        before = self._tables.blocked_version
        self._tables.blocked_version = max(before + 1, self._now_ms())
        return BlockChange(buyer, is_blocked, before, self._tables.blocked_version)
