"""The rule of AdjustStock: how many units of an item are on sale. The reference for lua/adjust_stock.lua."""

from holdfast.inventory.v1.error_reason_pb2 import (
    ERROR_REASON_ADJUSTMENT_ID_REUSED,
    ERROR_REASON_STOCK_IN_USE,
    ERROR_REASON_TOTAL_MISMATCH,
)

from inventory_service.domain.call_again import CALL_AGAIN, CallAgain
from inventory_service.domain.events import StockAdjusted
from inventory_service.domain.fingerprints import adjustment_body
from inventory_service.domain.results import Failure, field_out_of_bounds, item_not_found, sale_not_found
from inventory_service.domain.sale import MAX_TOTAL, Adjusted, Adjustment, AdjustStock
from inventory_service.domain.sales import item_of
from inventory_service.domain.shard_state import StoredAdjustment, StoredSale, Transaction


def adjust_stock(transaction: Transaction, request: AdjustStock) -> Adjusted | Failure | CallAgain:
    """Judge one adjustment, and carry it out. adjust_stock.lua has the same checks in the same order."""
    sale = transaction.shard.sales.get(request.sale)
    if sale is None:
        return sale_not_found(request.sale)
    return (
        judge_repeat(sale, request)
        or judge_item(sale, request)
        or judge_total(sale, request)
        or judge_units_in_use(transaction, sale, request)
        or carry_out(transaction, sale, request)
    )


def judge_repeat(sale: StoredSale, request: AdjustStock) -> Adjusted | Failure | None:
    """A known id gets the adjustment as it was made, beside the item as it stands."""
    stored = sale.adjustments.get(request.adjustment_id)
    if stored is None:
        return None
    if stored.body != adjustment_body(request):
        return adjustment_id_reused(request)
    return Adjusted(stored.adjustment, item_of(sale, request.sku), replayed=True)


def judge_item(sale: StoredSale, request: AdjustStock) -> Failure | None:
    """The item must be the sale's."""
    return None if request.sku in sale.items else item_not_found(request.sale, request.sku)


def judge_total(sale: StoredSale, request: AdjustStock) -> Failure | None:
    """The total must be the expected one, and no more than an item may have afterwards."""
    total = _total(sale, request)
    if request.expected_total not in (None, total):
        return total_mismatch(request, total)
    return field_out_of_bounds("delta") if _total_after(sale, request) > MAX_TOTAL else None


def judge_units_in_use(transaction: Transaction, sale: StoredSale, request: AdjustStock) -> Failure | CallAgain | None:
    """What is held and sold stays in the sale; overdue holds are taken back before a request is refused for it."""
    after, item = _total_after(sale, request), sale.items[request.sku]
    if after >= item["held"] + item["sold"]:
        return None
    if not transaction.expire_overdue(request.sale):
        return CALL_AGAIN
    item = sale.items[request.sku]
    return None if after >= item["held"] + item["sold"] else stock_in_use(request, item["held"], item["sold"])


def carry_out(transaction: Transaction, sale: StoredSale, request: AdjustStock) -> Adjusted:
    """Add units to what is available, or take them from it."""
    item, after = sale.items[request.sku], _total_after(sale, request)
    change = after - _total(sale, request)
    adjustment = adjustment_made(request, change, after, transaction)
    sale.adjustments[request.adjustment_id] = StoredAdjustment(adjustment, adjustment_body(request))
    sale.adjusted = adjustment.position
    item["available"] += change
    transaction.add_event(StockAdjusted(request, change, after))
    return Adjusted(adjustment, item_of(sale, request.sku))


def adjustment_made(request: AdjustStock, change: int, total_after: int, transaction: Transaction) -> Adjustment:
    """The adjustment that the next event will make."""
    return Adjustment(
        request.sale,
        request.adjustment_id,
        request.sku,
        change,
        total_after,
        request.reason,
        request.reference,
        request.actor,
        transaction.now_ms,
        transaction.next_position(),
    )


def adjustment_id_reused(request: AdjustStock) -> Failure:
    """The id was used with another body."""
    metadata = {"sale_id": request.sale.sale_id, "adjustment_id": request.adjustment_id}
    return Failure(ERROR_REASON_ADJUSTMENT_ID_REUSED, metadata)


def total_mismatch(request: AdjustStock, total: int) -> Failure:
    """The item's total is another than the caller expects."""
    return Failure(ERROR_REASON_TOTAL_MISMATCH, {"sku": request.sku, "total": str(total)})


def stock_in_use(request: AdjustStock, held: int, sold: int) -> Failure:
    """Fewer units would remain than are held and sold."""
    return Failure(ERROR_REASON_STOCK_IN_USE, {"sku": request.sku, "held": str(held), "sold": str(sold)})


def _total(sale: StoredSale, request: AdjustStock) -> int:
    return sum(sale.items[request.sku].values())


def _total_after(sale: StoredSale, request: AdjustStock) -> int:
    if request.new_total is not None:
        return request.new_total
    assert request.delta is not None, "either is given"
    return _total(sale, request) + request.delta
