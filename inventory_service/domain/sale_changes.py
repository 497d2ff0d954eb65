"""The rule of changes to a sale: pause, resume, close and update. The reference for lua/change_sale.lua."""

from typing import NamedTuple

from holdfast.inventory.v1.error_reason_pb2 import ERROR_REASON_ETAG_MISMATCH
from holdfast.inventory.v1.sale_pb2 import SALE_STATE_CLOSED

from inventory_service.domain.events import SaleChanged
from inventory_service.domain.results import Failure, field_out_of_bounds, sale_not_found, wrong_sale_state
from inventory_service.domain.sale import (
    MAX_ITEMS,
    ActOnSale,
    NewItem,
    SaleAction,
    SaleRead,
    Settings,
    UpdateSale,
    etag_of,
    sale_state,
)
from inventory_service.domain.sales import read_sale
from inventory_service.domain.shard_state import StoredSale, Transaction

ChangeSale = ActOnSale | UpdateSale


class _Change(NamedTuple):
    """What a sale would be after the request."""

    settings: Settings
    added: tuple[NewItem, ...]


def change_sale(transaction: Transaction, request: ChangeSale) -> SaleRead | Failure:
    """Judge one change of a sale, and carry it out. change_sale.lua has the same checks in the same order."""
    sale = transaction.shard.sales.get(request.sale)
    if sale is None:
        return sale_not_found(request.sale)
    change = _change_of(request, sale, transaction.now_ms)
    return (
        judge_repeat(transaction, sale, request, change)
        or judge_state(transaction, sale, request, change)
        or judge_etag(sale, request)
        or judge_fields(sale, request, change)
        or carry_out(transaction, sale, request, change)
    )


def judge_repeat(
    transaction: Transaction, sale: StoredSale, request: ChangeSale, change: _Change
) -> SaleRead | Failure | None:
    """A sale that stands so already is read. A closed one is neither paused nor resumed, whatever it was before."""
    if _is_closed(sale) and isinstance(request, ActOnSale) and not _closes(request):
        return None
    is_so = change.settings == sale.settings and not change.added
    return read_sale(transaction, sale, replayed=True) if is_so else None


def judge_state(transaction: Transaction, sale: StoredSale, request: ChangeSale, change: _Change) -> Failure | None:
    """A closed sale can but release its holds; start, and whether there are holds, are fixed once it has started."""
    if _closes(request):
        return None
    if _is_closed(sale):
        return wrong_sale_state(SALE_STATE_CLOSED)
    before, after = sale.settings, change.settings
    moves_start = after.start_time_ms != before.start_time_ms
    switches_holds = (after.hold_ttl_ms == 0) != (before.hold_ttl_ms == 0)
    has_started = transaction.now_ms >= before.start_time_ms
    if has_started and (moves_start or switches_holds):
        return wrong_sale_state(sale_state(before, transaction.now_ms))
    return None


def judge_etag(sale: StoredSale, request: ChangeSale) -> Failure | None:
    """The caller must have read the settings as they stand, if it says which it read."""
    if request.etag in ("", etag_of(sale.changed.epoch, sale.changed.seq, sale.changed.index)):
        return None
    return Failure(ERROR_REASON_ETAG_MISMATCH)


def judge_fields(sale: StoredSale, request: ChangeSale, change: _Change) -> Failure | None:
    """The settings must go together after the change; the field that is named is one that the request sets."""
    after = change.settings
    named = request.settings if isinstance(request, UpdateSale) else {}
    if after.end_time_ms is not None and after.end_time_ms <= after.start_time_ms:
        return field_out_of_bounds("end_time" if "end_time_ms" in named else "start_time")
    if after.hold_ttl_ms > after.max_hold_ttl_ms:
        return field_out_of_bounds("max_hold_ttl" if "max_hold_ttl_ms" in named else "hold_ttl")
    if len(sale.items) + len(change.added) > MAX_ITEMS:
        return field_out_of_bounds("items")
    return None


def carry_out(transaction: Transaction, sale: StoredSale, request: ChangeSale, change: _Change) -> SaleRead:
    """Change the settings; a close that releases the holds takes a hundred of them back at once."""
    sale.settings, sale.changed, sale.update_time_ms = (
        change.settings, transaction.next_position(), transaction.now_ms
    )  # fmt: skip
    sale.add_items(change.added)
    reason = request.reason if isinstance(request, ActOnSale) else ""
    transaction.add_event(SaleChanged(request.sale, sale.settings, change.added, reason, request.actor))
    if sale.settings.release_time_ms:
        transaction.expire_overdue(request.sale)
    return read_sale(transaction, sale)


def _change_of(request: ChangeSale, sale: StoredSale, now_ms: int) -> _Change:
    if isinstance(request, ActOnSale):
        return _Change(_acted_on(sale.settings, request, now_ms), ())
    added = tuple(line for line in request.items if line.sku not in sale.items)
    return _Change(_updated(sale.settings, request, now_ms), added)


def _acted_on(before: Settings, request: ActOnSale, now_ms: int) -> Settings:
    if request.action == SaleAction.PAUSE:
        return before._replace(paused=True)
    if request.action == SaleAction.RESUME:
        return before._replace(paused=False)
    closed = before._replace(close_time_ms=before.close_time_ms or now_ms)
    if request.action == SaleAction.CLOSE or before.release_time_ms:
        return closed
    return closed._replace(release_time_ms=now_ms, release_reason=request.reason)


def _updated(before: Settings, request: UpdateSale, now_ms: int) -> Settings:
    named = dict(request.settings)
    if named.get("start_time_ms", 0) is None:  # now; one that has started goes on
        named["start_time_ms"] = min(now_ms, before.start_time_ms)
    if named.get("max_hold_ttl_ms", 0) is None:
        named["max_hold_ttl_ms"] = named.get("hold_ttl_ms", before.hold_ttl_ms)
    return before._replace(**named)  # type: ignore[arg-type]


def _closes(request: ChangeSale) -> bool:
    closing = (SaleAction.CLOSE, SaleAction.CLOSE_AND_RELEASE)
    return isinstance(request, ActOnSale) and request.action in closing


def _is_closed(sale: StoredSale) -> bool:
    return sale.settings.close_time_ms != 0
