"""The calls of an operator: make sales, change them and their stock, block buyers."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, TypedDict, Unpack

from google.protobuf.field_mask_pb2 import FieldMask

from holdfast.caller import Caller
from holdfast.inventory.v1.inventory_admin_service_pb2 import (
    AdjustStockRequest,
    AdjustStockResponse,
    BlockBuyerRequest,
    BlockBuyerResponse,
    CloseSaleRequest,
    CloseSaleResponse,
    CreateSaleRequest,
    CreateSaleResponse,
    PauseSaleRequest,
    PauseSaleResponse,
    ResumeSaleRequest,
    ResumeSaleResponse,
    UnblockBuyerRequest,
    UnblockBuyerResponse,
    UpdateSaleRequest,
    UpdateSaleResponse,
)
from holdfast.inventory.v1.sale_pb2 import Item, Sale
from holdfast.requests import with_zone


class SaleSettings(TypedDict, total=False):
    """The settings of a sale by the names of the API; None is what a setting is that was never given."""

    title: str
    start_time: datetime | None
    end_time: datetime | None
    hold_ttl: timedelta | None
    max_hold_ttl: timedelta | None
    buyer_limit: int
    attempts_per_minute: int
    return_window: timedelta | None


class SaleCalls(Caller):
    """Each method is one call. An `etag` that is not the sale's is `Outdated`."""

    async def create_sale(
        self,
        sale_id: str,
        items: Mapping[str, int],
        *,
        item_limits: Mapping[str, int] | None = None,
        **settings: Unpack[SaleSettings],
    ) -> CreateSaleResponse:
        """Make a sale of `items` (SKU to units). A repeat must have equal arguments, times included.

        `title`, for people. `start_time` and `end_time`: now and never if not given; a time without a zone is local.
        `hold_ttl`: how long a hold lasts, 10 minutes if not given; zero makes each Reserve a purchase. `max_hold_ttl`:
        the longest that a buyer may ask for. `buyer_limit`: units that one buyer may hold and own; `item_limits` (SKU
        to units) are the same of single items. `attempts_per_minute` of one buyer. `return_window`: for how long after
        its end sold units can come back.
        """
        sale = _sale(sale_id, settings, _items(items, item_limits))
        return await self._ask(lambda stubs: stubs.operators.CreateSale, CreateSaleRequest(sale=sale))

    async def update_sale(
        self,
        sale_id: str,
        *,
        items: Mapping[str, int] | None = None,
        item_limits: Mapping[str, int] | None = None,
        etag: str = "",
        **settings: Unpack[SaleSettings],
    ) -> UpdateSaleResponse:
        """Change the settings that are given, and no others; one that is None becomes what it is in a sale without it.

        `items` (SKU to units) adds those that are missing and changes none that is there; `adjust_stock` does that.
        """
        sale = _sale(sale_id, settings, _items(items or {}, item_limits))
        sale.etag = etag
        mask = FieldMask(paths=[*settings, *(["items"] if items else [])])
        request = UpdateSaleRequest(sale=sale, update_mask=mask)
        return await self._ask(lambda stubs: stubs.operators.UpdateSale, request)

    async def pause_sale(self, sale_id: str, *, reason: str = "", etag: str = "") -> PauseSaleResponse:
        """Stop selling until `resume_sale`; holds go on."""
        request = PauseSaleRequest(sale_id=sale_id, reason=reason, etag=etag)
        return await self._ask(lambda stubs: stubs.operators.PauseSale, request)

    async def resume_sale(self, sale_id: str, *, reason: str = "", etag: str = "") -> ResumeSaleResponse:
        """Sell again after `pause_sale`."""
        request = ResumeSaleRequest(sale_id=sale_id, reason=reason, etag=etag)
        return await self._ask(lambda stubs: stubs.operators.ResumeSale, request)

    async def close_sale(
        self, sale_id: str, *, release_holds: bool = False, reason: str = "", etag: str = ""
    ) -> CloseSaleResponse:
        """Stop selling for good; with `release_holds` also give back all that is held, at this very moment."""
        request = CloseSaleRequest(sale_id=sale_id, release_holds=release_holds, reason=reason, etag=etag)
        return await self._ask(lambda stubs: stubs.operators.CloseSale, request)

    async def adjust_stock(
        self,
        sale_id: str,
        sku: str,
        adjustment_id: str,
        reason: str,
        *,
        delta: int | None = None,
        new_total: int | None = None,
        expected_total: int | None = None,
        reference: str = "",
    ) -> AdjustStockResponse:
        """Change how many units of an item are on sale: by `delta`, or to `new_total`.

        Choose one `adjustment_id` for each change and keep it, as with a reservation: a repeat changes nothing more.
        """
        if (delta is None) == (new_total is None):
            raise TypeError("adjust_stock takes either delta or new_total")
        request = AdjustStockRequest(
            sale_id=sale_id,
            sku=sku,
            adjustment_id=adjustment_id,
            delta=delta,
            new_total=new_total,
            expected_total=expected_total,
            reason=reason,
            reference=reference,
        )
        return await self._ask(lambda stubs: stubs.operators.AdjustStock, request)

    async def block_buyer(self, buyer_id: str, reason: str) -> BlockBuyerResponse:
        """Reject what this buyer asks for from now on; the ledger refuses what is under way."""
        request = BlockBuyerRequest(buyer_id=buyer_id, reason=reason)
        return await self._ask(lambda stubs: stubs.operators.BlockBuyer, request)

    async def unblock_buyer(self, buyer_id: str) -> UnblockBuyerResponse:
        """Take a block back; orders that were refused meanwhile stay refused."""
        return await self._ask(lambda stubs: stubs.operators.UnblockBuyer, UnblockBuyerRequest(buyer_id=buyer_id))


def _sale(sale_id: str, settings: SaleSettings, items: list[Item]) -> Sale:
    if unknown := set(settings) - SaleSettings.__optional_keys__:
        raise TypeError(f"a sale has no setting {', '.join(sorted(unknown))}")
    values: dict[str, Any] = {**settings}
    for field in ("start_time", "end_time"):
        values[field] = with_zone(values.get(field))
    return Sale(sale_id=sale_id, items=items, **values)


def _items(items: Mapping[str, int], limits: Mapping[str, int] | None) -> list[Item]:
    limits = limits or {}
    if unknown := set(limits) - set(items):
        raise ValueError(f"item_limits name what items does not: {', '.join(sorted(unknown))}")
    return [Item(sku=sku, total=total, buyer_limit=limits.get(sku, 0)) for sku, total in items.items()]
