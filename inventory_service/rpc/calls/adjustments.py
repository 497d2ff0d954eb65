"""Calls that change how many units are on sale: AdjustStock."""

from holdfast.inventory.v1 import error_reason_pb2 as reasons
from holdfast.inventory.v1 import inventory_admin_service_pb2 as admin

from inventory_service.domain.keys import SaleKey
from inventory_service.domain.results import Failure
from inventory_service.domain.sale import MAX_TOTAL, Adjusted, AdjustStock
from inventory_service.rpc.auth import actor_of, tenant_of
from inventory_service.rpc.calls.call import Context, StockCalls
from inventory_service.rpc.messages import adjustment_to_proto, item_to_proto
from inventory_service.rpc.status import CallFailed, Violation, value_or_fail
from inventory_service.rpc.validation import MAX_TEXT, Validator

_TOO_MANY = Violation("delta", f"takes the total above {MAX_TOTAL}")


class AdjustmentCalls(StockCalls):
    """The calls that change stock."""

    async def AdjustStock(self, request: admin.AdjustStockRequest, context: Context) -> admin.AdjustStockResponse:
        """Change the total of an item. The stock, or the ledger once the sale has left Redis, answers repeats."""
        command = adjust_stock_from_proto(request, tenant_of(context), actor_of(context))
        result = await self._stock.change_sale(command)
        if isinstance(result, Failure) and result.reason == reasons.ERROR_REASON_FIELD_OUT_OF_BOUNDS:
            raise CallFailed(Failure(result.reason, {"sale_id": request.sale_id}), [_TOO_MANY])
        adjusted = value_or_fail(result, command.sale)
        assert isinstance(adjusted, Adjusted), "what answers an AdjustStock"
        return admin.AdjustStockResponse(
            adjustment=adjustment_to_proto(adjusted.adjustment),
            replayed=adjusted.replayed,
            item=item_to_proto(adjusted.item),
        )


def adjust_stock_from_proto(request: admin.AdjustStockRequest, tenant: str, actor: str) -> AdjustStock:
    """How to change the stock of an item, and why."""
    fields = Validator()
    fields.ids(request, "sale_id", "sku", "adjustment_id")
    delta, new_total = _change(request, fields)
    expected_total = request.expected_total if request.HasField("expected_total") else None
    if expected_total is not None:
        fields.number("expected_total", expected_total, 0, MAX_TOTAL)
    fields.text("reason", request.reason, 1, MAX_TEXT)
    fields.text("reference", request.reference, 0, MAX_TEXT)
    fields.raise_if_invalid()
    return AdjustStock(
        sale=SaleKey(tenant, request.sale_id),
        adjustment_id=request.adjustment_id,
        sku=request.sku,
        delta=delta,
        new_total=new_total,
        expected_total=expected_total,
        reason=request.reason,
        reference=request.reference,
        actor=actor,
    )


def _change(request: admin.AdjustStockRequest, fields: Validator) -> tuple[int | None, int | None]:
    """The units to add, or the total to reach."""
    match request.WhichOneof("change"):
        case "delta":
            fields.number("delta", request.delta, -MAX_TOTAL, MAX_TOTAL)
            if request.delta == 0:
                fields.add_violation("delta", "must not be 0")
            return request.delta, None
        case "new_total":
            fields.number("new_total", request.new_total, 0, MAX_TOTAL)
            return None, request.new_total
    fields.add_violation("change", "must be delta or new_total")
    return None, None
