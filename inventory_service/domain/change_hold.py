"""ChangeReservation: the request, and the rule. The reference for lua/change_hold.lua; the same tests run on both."""

from typing import NamedTuple

from inventory_service.domain.call_again import CallAgain
from inventory_service.domain.checks import (
    Wanted,
    count_attempt,
    judge_attempts,
    judge_backpressure,
    judge_block,
    judge_item_limits,
    judge_limit,
    judge_stock,
    judge_window,
)
from inventory_service.domain.keys import SaleKey
from inventory_service.domain.moves import is_unknown
from inventory_service.domain.reservation import HELD, NEW, Line, Reservation
from inventory_service.domain.results import (
    Failure,
    Granted,
    Rejected,
    item_not_found,
    reservation_not_found,
    revision_mismatch,
    sale_not_found,
    wrong_state,
)
from inventory_service.domain.shard_state import StoredSale, Transaction
from inventory_service.domain.units import usual_units


class ChangeHold(NamedTuple):
    """Set what a hold holds: fewer units are always granted, more are judged as a Reserve is, all or none."""

    sale: SaleKey
    reservation_id: str
    lines: tuple[Line, ...]  # sorted by SKU, equal SKUs summed
    expected_revision: int | None = None  # that must be found; None: any


ChangeResult = Granted | Rejected | Failure


def change_hold(transaction: Transaction, request: ChangeHold, is_full: bool = False) -> ChangeResult | CallAgain:
    """Judge one change of a hold and carry it out; CALL_AGAIN must never reach a caller."""
    sale = transaction.shard.sales.get(request.sale)
    if sale is None:
        return sale_not_found(request.sale)
    stored = sale.reservations.get(request.reservation_id)
    if stored is None or is_unknown(stored.reservation):
        return reservation_not_found(request.sale, request.reservation_id, transaction.head())
    found, lines = transaction.effective(sale, stored.reservation), usual_units(request.lines, NEW)
    if found.state != HELD:
        return wrong_state(found)
    if lines == found.lines:
        return Granted(found, replayed=True, read_time_ms=transaction.now_ms)
    if request.expected_revision not in (None, found.revision):
        return revision_mismatch(found)
    wanted = rises(found, request)
    refused = judge_rises(transaction, sale, wanted, is_full)
    result = refused or Granted(
        transaction.move(sale, stored, HELD, lines, found.note), replayed=False, read_time_ms=transaction.now_ms
    )
    if wanted.lines:
        count_attempt(transaction, sale, wanted.buyer_id, result)
    return result


def rises(found: Reservation, request: ChangeHold) -> Wanted:
    """What a change asks for beyond what is held; `units` are less those that it gives back."""
    held = {units.sku: units.claimed for units in found.lines}
    more = tuple(Line(sku, asked - held.get(sku, 0)) for sku, asked in request.lines if asked > held.get(sku, 0))
    units = sum(asked for _, asked in request.lines) - sum(held.values())
    return Wanted(request.sale, found.buyer_id, more, units, found)


def judge_rises(
    transaction: Transaction, sale: StoredSale, wanted: Wanted, is_full: bool
) -> Rejected | Failure | CallAgain | None:
    """The checks in their order, for what rises; `judge` in change_hold.lua has the same."""
    if not wanted.lines:
        return None
    return (
        judge_names(sale, wanted)
        or judge_backpressure(is_full)
        or judge_window(transaction, sale)
        or judge_block(transaction, wanted)
        or judge_attempts(transaction, sale, wanted)
        or judge_stock(transaction, sale, wanted)
        or judge_item_limits(transaction, sale, wanted)
        or judge_limit(transaction, sale, wanted)
    )


def judge_names(sale: StoredSale, wanted: Wanted) -> Failure | None:
    """The items must be the sale's."""
    for sku, _ in wanted.lines:
        if sku not in sale.items:
            return item_not_found(wanted.sale, sku)
    return None
