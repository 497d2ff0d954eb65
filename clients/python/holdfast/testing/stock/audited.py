"""The stock in memory as AuditSale reads it."""

from collections.abc import Sequence

from holdfast.testing.ledger.settings import audited_settings
from holdfast.testing.ledger.snapshots import snapshot_of
from inventory_service.domain.buyer_reconciliation import BuyersPage
from inventory_service.domain.in_memory_stock import InMemoryStock
from inventory_service.domain.keys import SaleKey
from inventory_service.domain.reconciliation import ItemInRedis, SalePage
from inventory_service.domain.sale_reconciliation import TakenUnits
from inventory_service.domain.shard_load import StoredSettings
from inventory_service.domain.shard_state import StoredSale
from inventory_service.domain.shards import CommitId


class InMemoryAudited:
    """The port `RedisReservations`; everything is in one page."""

    def __init__(self, stock: InMemoryStock) -> None:
        self._stock = stock

    async def sales(self, shard: int) -> Sequence[SaleKey]:
        return list(self._stock.state(shard).sales)

    async def page(self, shard: int, sale: SaleKey, cursor: int, size: int = 0) -> SalePage:
        found = self._sale(shard, sale)
        page = await self.reservations(shard, sale, list(found.reservations) if found is not None else [])
        return page if found is None else page._replace(items=_items(found), settings=_settings(found))

    async def reservations(self, shard: int, sale: SaleKey, ids: Sequence[str]) -> SalePage:
        state, found = self._stock.state(shard), self._sale(shard, sale)
        records = found.reservations if found is not None else {}
        return SalePage(
            is_late=False,
            head=CommitId(state.epoch, state.seq),
            hash="",
            cursor=0,
            items=(),
            reservations=tuple(snapshot_of(records[each].reservation) for each in ids if each in records),
            settings=None,
            frozen_reason="",
            archived=CommitId(*state.archived),
        )

    async def absent(self, shard: int, sale: SaleKey, ids: Sequence[str]) -> Sequence[str]:
        found = self._sale(shard, sale)
        return [each for each in ids if found is None or each not in found.reservations]

    async def buyers(self, shard: int, sale: SaleKey, cursor: int, size: int) -> BuyersPage:
        found = self._sale(shard, sale)
        return await self.some_buyers(shard, sale, list(found.buyers) if found is not None else [])

    async def some_buyers(self, shard: int, sale: SaleKey, names: Sequence[str]) -> BuyersPage:
        state, found = self._stock.state(shard), self._sale(shard, sale)
        buyers = found.buyers if found is not None else {}
        units = {name: TakenUnits(**buyers[name]) for name in names if name in buyers}
        return BuyersPage(CommitId(state.epoch, state.seq), "", 0, "", units)

    async def absent_buyers(self, shard: int, sale: SaleKey, names: Sequence[str]) -> Sequence[str]:
        found = self._sale(shard, sale)
        return [name for name in names if found is None or name not in found.buyers]

    def _sale(self, shard: int, sale: SaleKey) -> StoredSale | None:
        return self._stock.state(shard).sales.get(sale)


def _items(sale: StoredSale) -> tuple[ItemInRedis, ...]:
    return tuple(
        ItemInRedis(sku, **accounts, buyer_limit=sale.item_limits.get(sku, 0))
        for sku, accounts in sorted(sale.items.items())
    )


def _settings(sale: StoredSale) -> StoredSettings:
    return audited_settings(sale.settings, sale.changed, sale.create_time_ms, sale.update_time_ms, sale.fingerprint)
