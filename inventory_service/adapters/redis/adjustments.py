"""Builds the arguments of adjust_stock.lua and parses its results."""

from holdfast.inventory.v1.commit_pb2 import StockAdjusted

from inventory_service.adapters.redis.call import CallHead, Values
from inventory_service.adapters.redis.connection import Argument
from inventory_service.domain.adjustments import adjustment_id_reused, stock_in_use, total_mismatch
from inventory_service.domain.call_again import CALL_AGAIN, CallAgain
from inventory_service.domain.fingerprints import adjustment_body
from inventory_service.domain.keys import Position
from inventory_service.domain.results import Failure, field_out_of_bounds, item_not_found, sale_not_found
from inventory_service.domain.sale import Adjusted, Adjustment, AdjustStock, Item


def adjust_stock_arguments(request: AdjustStock) -> list[Argument]:
    """The arguments of a call."""
    return [request.adjustment_id, adjustment_body(request), request.reason, request.actor, _stock_adjusted(request)]


def _stock_adjusted(request: AdjustStock) -> bytes:
    """A StockAdjusted; the script appends the change that was made and the total after it."""
    return StockAdjusted(
        tenant=request.sale.tenant,
        sale_id=request.sale.sale_id,
        adjustment_id=request.adjustment_id,
        sku=request.sku,
        delta=request.delta,
        new_total=request.new_total,
        expected_total=request.expected_total,
        reason=request.reason,
        reference=request.reference,
        actor=request.actor,
    ).SerializeToString()


def adjust_stock_result(head: CallHead, request: AdjustStock, result: Values) -> Adjusted | Failure | CallAgain:
    """Parse the result of an adjustment."""
    match result:
        case [(b"ADJUSTED" | b"REPLAYED") as name, adjustment, item]:
            made = _adjustment_from(head, request, adjustment)
            return Adjusted(made, Item(request.sku, sum(item[:3]), *item), replayed=name == b"REPLAYED")
        case [b"CALL_AGAIN"]:
            return CALL_AGAIN
    return _failure(request, result)


def _failure(request: AdjustStock, result: Values) -> Failure:
    match result:
        case [b"NO_SALE"]:
            return sale_not_found(request.sale)
        case [b"ID_REUSED"]:
            return adjustment_id_reused(request)
        case [b"NO_ITEM"]:
            return item_not_found(request.sale, request.sku)
        case [b"TOTAL_MISMATCH", total]:
            return total_mismatch(request, total)
        case [b"IN_USE", held, sold]:
            return stock_in_use(request, held, sold)
    assert result == [b"TOO_MANY"], result
    return field_out_of_bounds("delta")


def _adjustment_from(head: CallHead, request: AdjustStock, values: Values) -> Adjustment:
    """An adjustment as it is stored; what its body has is that of the request, which was found equal."""
    _, change, total_after, reason, actor, create_ms, epoch, seq, index = values
    return Adjustment(
        request.sale,
        request.adjustment_id,
        request.sku,
        change,
        total_after,
        reason.decode(),
        request.reference,
        actor.decode(),
        create_ms,
        Position(head.shard, epoch, seq, index),
    )
