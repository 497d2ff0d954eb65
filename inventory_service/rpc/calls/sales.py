"""Calls that make sales and change their settings: CreateSale and UpdateSale."""

from holdfast.inventory.v1 import inventory_admin_service_pb2 as admin

from inventory_service.domain.keys import SaleKey
from inventory_service.domain.sale import CreateSale, UpdateSale
from inventory_service.rpc.auth import actor_of, tenant_of
from inventory_service.rpc.calls.call import Context, StockCalls
from inventory_service.rpc.messages import sale_to_proto
from inventory_service.rpc.sale_settings import SETTINGS, sale_or_fail, settings_named
from inventory_service.rpc.validation import Validator

UPDATABLE = (*SETTINGS, "items")


class SaleCalls(StockCalls):
    """The calls that make and update sales."""

    async def CreateSale(self, request: admin.CreateSaleRequest, context: Context) -> admin.CreateSaleResponse:
        """Make a sale, unless its id belongs to another one, in Redis or archived."""
        command = create_sale_from_proto(request, tenant_of(context))
        made = sale_or_fail(await self._stock.change_sale(command), command.sale)
        return admin.CreateSaleResponse(sale=sale_to_proto(made.sale), replayed=made.replayed)

    async def UpdateSale(self, request: admin.UpdateSaleRequest, context: Context) -> admin.UpdateSaleResponse:
        """Change settings and add items. A repeat finds that the sale stands so already."""
        command = update_sale_from_proto(request, tenant_of(context), actor_of(context))
        changed = sale_or_fail(await self._stock.change_sale(command), command.sale)
        return admin.UpdateSaleResponse(sale=sale_to_proto(changed.sale), replayed=changed.replayed)


def create_sale_from_proto(request: admin.CreateSaleRequest, tenant: str) -> CreateSale:
    """A sale to make; fields that are unset get their defaults, output-only fields are ignored."""
    sale, fields = request.sale, Validator()
    fields.id("sale.sale_id", sale.sale_id)
    settings = settings_named(sale, SETTINGS, fields)
    items = fields.items(sale.items)
    fields.raise_if_invalid()
    if settings["max_hold_ttl_ms"] is None:
        settings["max_hold_ttl_ms"] = settings["hold_ttl_ms"]
    return CreateSale(SaleKey(tenant, sale.sale_id), items=items, **settings)  # type: ignore[arg-type]


def update_sale_from_proto(request: admin.UpdateSaleRequest, tenant: str, actor: str) -> UpdateSale:
    """The settings and items that the mask names; the other fields of the sale are ignored, but its id and etag."""
    sale, fields, named = request.sale, Validator(), set(request.update_mask.paths)
    fields.id("sale.sale_id", sale.sale_id)
    if not named or not named.issubset(UPDATABLE):
        fields.add_violation("update_mask", f"must name at least one of {', '.join(UPDATABLE)}, and nothing else")
    settings = settings_named(sale, [name for name in SETTINGS if name in named], fields)
    items = fields.items(sale.items) if "items" in named else ()
    fields.raise_if_invalid()
    return UpdateSale(SaleKey(tenant, sale.sale_id), settings, items, sale.etag, actor)
