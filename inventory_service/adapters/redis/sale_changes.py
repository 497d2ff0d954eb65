"""Builds the arguments of change_sale.lua and parses its results."""

from typing import Final

from holdfast.inventory.v1.commit_pb2 import SaleChanged
from holdfast.inventory.v1.error_reason_pb2 import ERROR_REASON_ETAG_MISMATCH
from holdfast.inventory.v1.sale_pb2 import Item as ProtoItem

from inventory_service.adapters.redis.call import CallHead, Values
from inventory_service.adapters.redis.connection import Argument
from inventory_service.adapters.redis.sales import sale_from_values
from inventory_service.domain.results import Failure, field_out_of_bounds, sale_not_found, wrong_sale_state
from inventory_service.domain.sale import ActOnSale, SaleRead, UpdateSale
from inventory_service.domain.sale_changes import ChangeSale

# Settings that have another name in the scripts.
_STORED_NAMES: Final = {"start_time_ms": "start_ms", "end_time_ms": "end_ms"}


def change_sale_arguments(request: ChangeSale) -> list[Argument]:
    """The arguments of a call."""
    if isinstance(request, ActOnSale):
        return [request.action.value, request.etag, request.reason, _said(request, request.reason), 0]
    return ["UPDATE", request.etag, "", _said(request, ""), len(request.settings), *_updated(request)]


def _updated(request: UpdateSale) -> list[Argument]:
    arguments: list[Argument] = []
    for name, value in request.settings.items():
        arguments += (_STORED_NAMES.get(name, name), "" if value is None else value)
    for sku, total, limit in request.items:
        added = ProtoItem(sku=sku, total=total, buyer_limit=limit)
        arguments += (sku, total, limit, SaleChanged(added=[added]).SerializeToString())
    return arguments


def _said(request: ChangeSale, reason: str) -> bytes:
    """A SaleChanged without settings and items, which the script appends."""
    tenant, sale_id = request.sale
    return SaleChanged(tenant=tenant, sale_id=sale_id, reason=reason, actor=request.actor).SerializeToString()


def change_sale_result(head: CallHead, request: ChangeSale, result: Values) -> SaleRead | Failure:
    """Parse the result of a change."""
    if result[0] == b"NO_SALE":
        return sale_not_found(request.sale)
    if result[0] == b"ETAG_MISMATCH":
        return Failure(ERROR_REASON_ETAG_MISMATCH)
    if result[0] == b"OUT_OF_BOUNDS":
        return field_out_of_bounds(result[1].decode())
    read = sale_from_values(head, request.sale, result)
    return wrong_sale_state(read.sale.state) if result[0] == b"WRONG_STATE" else read
