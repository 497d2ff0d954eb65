"""The rule of sales: how one is made, once, and what it is told as. The reference for create_sale.lua."""

from holdfast.inventory.v1.error_reason_pb2 import ERROR_REASON_FIELD_OUT_OF_BOUNDS, ERROR_REASON_SALE_ID_REUSED

from inventory_service.domain.bodies import sale_body
from inventory_service.domain.requests import CreateSale, SaleKey
from inventory_service.domain.shard_book import Call, SaleBook, SaleMade
from inventory_service.domain.states import sale_state
from inventory_service.domain.verdicts import Failure, Item, Sale, SaleFound, SaleUnknown


def create_sale(call: Call, request: CreateSale, unknown: SaleUnknown | None) -> SaleFound | SaleUnknown | Failure:
    """Say that a sale was made so before, or make one that was `unknown`, unless a sale has left the shard since.

    One without a start begins now, by its shard's clock.
    """
    sale = call.shard.sales.get(request.sale)
    if sale is not None:
        reused = sale.body != sale_body(request)
        return sale_id_reused(request.sale) if reused else found_sale(call, sale, replayed=True)
    now_unknown = SaleUnknown(f"{call.shard.epoch}-{call.shard.sales_left}")
    if unknown != now_unknown:
        return now_unknown
    start_ms = call.now_ms if request.start_time_ms is None else request.start_time_ms
    if request.end_time_ms is not None and request.end_time_ms <= start_ms:
        return sale_ends_too_early()
    items = {sku: {"available": total, "held": 0, "sold": 0} for sku, total in request.items}
    made = SaleBook(request, sale_body(request), start_ms, call.next_position(), call.now_ms, items)
    call.shard.sales[request.sale] = made
    call.tell(SaleMade(request, start_ms))
    return found_sale(call, made)


def sale_id_reused(sale: SaleKey) -> Failure:
    """Refuse the id of another sale."""
    return Failure(ERROR_REASON_SALE_ID_REUSED, {"sale_id": sale.sale_id})


def sale_ends_too_early() -> Failure:
    """Refuse a sale whose end does not come after its start."""
    return Failure(ERROR_REASON_FIELD_OUT_OF_BOUNDS)


def found_sale(call: Call, book: SaleBook, replayed: bool = False) -> SaleFound:
    """A sale as it stands at this call's moment."""
    request = book.request
    sale = Sale(
        sale=request.sale,
        title=request.title,
        start_time_ms=book.start_time_ms,
        end_time_ms=request.end_time_ms,
        hold_ttl_ms=request.hold_ttl_ms,
        max_hold_ttl_ms=request.max_hold_ttl_ms,
        buyer_limit=request.buyer_limit,
        state=sale_state(book.start_time_ms, request.end_time_ms, book.paused, book.closed, call.now_ms),
        items=tuple(_item(sku, book.items[sku]) for sku in sorted(book.items)),
        etag=etag_of(book.made.epoch, book.made.seq, book.made.index),
        create_time_ms=book.create_time_ms,
        update_time_ms=book.create_time_ms,
    )
    return SaleFound(sale, call.as_of(), call.now_ms, replayed)


def _item(sku: str, accounts: dict[str, int]) -> Item:
    return Item(sku, sum(accounts.values()), accounts["available"], accounts["held"], accounts["sold"])


def etag_of(epoch: int, seq: int, index: int) -> str:
    """A sale's etag: where its settings were last changed."""
    return f"{epoch}-{seq}-{index}"
