"""Builds the arguments of create_sale.lua, and parses sales as the scripts return them."""

from holdfast.inventory.v1.commit_pb2 import SaleMade
from holdfast.inventory.v1.sale_pb2 import Item as ProtoItem
from holdfast.inventory.v1.sale_pb2 import Sale as ProtoSale

from inventory_service.adapters.redis.call import CallHead, Values
from inventory_service.adapters.redis.connection import Argument
from inventory_service.domain.fingerprints import sale_fingerprint
from inventory_service.domain.keys import SaleKey
from inventory_service.domain.results import Failure, field_out_of_bounds
from inventory_service.domain.sale import CreateSale, Item, Sale, SaleRead, SaleUnknown, Settings, etag_of, sale_state
from inventory_service.domain.sales import sale_id_reused
from inventory_service.domain.shard_load import StoredSettings


def create_sale_arguments(request: CreateSale) -> list[Argument]:
    """The arguments of a call; without `start_ms` if the request has no start."""
    fingerprint = sale_fingerprint(request)
    settings: dict[str, Argument] = {
        "end_ms": -1 if request.end_time_ms is None else request.end_time_ms,
        "hold_ttl_ms": request.hold_ttl_ms,
        "max_hold_ttl_ms": request.max_hold_ttl_ms,
        "buyer_limit": request.buyer_limit,
        "attempts_per_minute": request.attempts_per_minute,
        "return_window_ms": request.return_window_ms,
        "title": request.title,
        "fingerprint": fingerprint,
    }
    if request.start_time_ms is not None:
        settings["start_ms"] = request.start_time_ms
    arguments: list[Argument] = [request.generation, _sale_made(request, fingerprint), len(settings)]
    for values in (*settings.items(), *request.items):
        arguments += values
    return arguments


def _sale_made(request: CreateSale, fingerprint: str) -> bytes:
    """A SaleMade; the script appends the start, which it alone knows if the request has none."""
    sale = ProtoSale(
        sale_id=request.sale.sale_id,
        title=request.title,
        buyer_limit=request.buyer_limit,
        attempts_per_minute=request.attempts_per_minute,
        items=[ProtoItem(sku=sku, total=total, buyer_limit=limit) for sku, total, limit in request.items],
    )
    sale.hold_ttl.FromMilliseconds(request.hold_ttl_ms)
    sale.max_hold_ttl.FromMilliseconds(request.max_hold_ttl_ms)
    if request.start_time_ms is not None:
        sale.start_time.FromMilliseconds(request.start_time_ms)
    if request.end_time_ms is not None:
        sale.end_time.FromMilliseconds(request.end_time_ms)
    if request.return_window_ms:
        sale.return_window.FromMilliseconds(request.return_window_ms)
    return SaleMade(tenant=request.sale.tenant, sale=sale, body=fingerprint).SerializeToString()


def create_sale_result(head: CallHead, sale: SaleKey, result: Values) -> SaleRead | SaleUnknown | Failure:
    """Parse the result of creating a sale."""
    if result[0] == b"ID_REUSED":
        return sale_id_reused(sale)
    if result[0] == b"UNKNOWN":
        return SaleUnknown(result[1].decode())
    if result[0] == b"ENDS_TOO_EARLY":
        return field_out_of_bounds("end_time")
    return sale_from_values(head, sale, result)


def sale_from_values(head: CallHead, key: SaleKey, result: Values) -> SaleRead:
    """Parse a sale as `sale_reply` in lua/lib/sale.lua returns it."""
    name, *numbers, title, fingerprint, release_reason, stock = result
    stored = StoredSettings._make([*numbers, title.decode(), fingerprint.decode(), release_reason.decode()])
    settings = _settings_from(stored)
    sale = Sale(
        sale=key,
        settings=settings,
        state=sale_state(settings, head.now_ms),
        items=tuple(sorted(_item(*stock[at : at + 5]) for at in range(0, len(stock), 5))),
        etag=etag_of(stored.epoch, stored.seq, stored.index),
        create_time_ms=stored.create_ms,
        update_time_ms=stored.update_ms,
    )
    return SaleRead(sale, head.position(head.seq), head.now_ms, replayed=name == b"REPLAYED")


def _settings_from(stored: StoredSettings) -> Settings:
    return Settings(
        title=stored.title,
        start_time_ms=stored.start_ms,
        end_time_ms=None if stored.end_ms < 0 else stored.end_ms,
        hold_ttl_ms=stored.hold_ttl_ms,
        max_hold_ttl_ms=stored.max_hold_ttl_ms,
        buyer_limit=stored.buyer_limit,
        attempts_per_minute=stored.attempts_per_minute,
        return_window_ms=stored.return_window_ms,
        paused=bool(stored.paused),
        close_time_ms=stored.close_ms,
        release_time_ms=stored.release_ms,
        release_reason=stored.release_reason,
    )


def _item(sku: bytes, available: int, held: int, sold: int, limit: int) -> Item:
    return Item(sku.decode(), available + held + sold, available, held, sold, limit)
