"""The rule of sales: how one is made, once, and how it reads. The reference for lua/create_sale.lua."""

from holdfast.inventory.v1.error_reason_pb2 import ERROR_REASON_SALE_ID_REUSED

from inventory_service.domain.events import SaleMade
from inventory_service.domain.fingerprints import sale_fingerprint
from inventory_service.domain.keys import SaleKey
from inventory_service.domain.results import Failure, field_out_of_bounds
from inventory_service.domain.sale import (
    CreateSale,
    Item,
    Sale,
    SaleRead,
    SaleUnknown,
    etag_of,
    sale_state,
    settings_at_creation,
)
from inventory_service.domain.shard_state import StoredSale, Transaction


def create_sale(transaction: Transaction, request: CreateSale) -> SaleRead | SaleUnknown | Failure:
    """Read a sale that was made so before, or make one whose `generation` still is the shard's.

    One without a start begins now, by its shard's clock.
    """
    shard = transaction.shard
    sale = shard.sales.get(request.sale)
    if sale is not None:
        reused = sale.fingerprint != sale_fingerprint(request)
        return sale_id_reused(request.sale) if reused else read_sale(transaction, sale, replayed=True)
    generation = f"{shard.epoch}-{shard.sales_left}"
    if request.generation != generation:
        return SaleUnknown(generation)
    start_ms = transaction.now_ms if request.start_time_ms is None else request.start_time_ms
    if request.end_time_ms is not None and request.end_time_ms <= start_ms:
        return field_out_of_bounds("end_time")  # only the shard knows the start of one that begins now
    position, asked = transaction.next_position(), request._replace(generation="")
    fingerprint = sale_fingerprint(request)
    settings = settings_at_creation(request, start_ms)
    made = StoredSale(request.sale, settings, fingerprint, position, transaction.now_ms, transaction.now_ms, {})
    made.add_items(request.items)
    shard.sales[request.sale] = made
    transaction.add_event(SaleMade(asked, start_ms, fingerprint))
    return read_sale(transaction, made)


def sale_id_reused(sale: SaleKey) -> Failure:
    """The id is that of another sale."""
    return Failure(ERROR_REASON_SALE_ID_REUSED, {"sale_id": sale.sale_id})


def read_sale(transaction: Transaction, stored: StoredSale, replayed: bool = False) -> SaleRead:
    """A sale as it stands at this call's moment."""
    sale = Sale(
        sale=stored.key,
        settings=stored.settings,
        state=sale_state(stored.settings, transaction.now_ms),
        items=tuple(item_of(stored, sku) for sku in sorted(stored.items)),
        etag=etag_of(stored.changed.epoch, stored.changed.seq, stored.changed.index),
        create_time_ms=stored.create_time_ms,
        update_time_ms=stored.update_time_ms,
    )
    return SaleRead(sale, transaction.as_of(), transaction.now_ms, replayed)


def item_of(sale: StoredSale, sku: str) -> Item:
    """An item as it stands."""
    return Item(sku, sum(sale.items[sku].values()), **sale.items[sku], buyer_limit=sale.item_limits.get(sku, 0))
