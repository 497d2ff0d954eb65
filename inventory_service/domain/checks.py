"""What new units for a buyer must pass, whether a Reserve asks for them or a change of a hold.

The reference for lua/lib/checks.lua. Each check returns None where it has no objection.
"""

from typing import Final, NamedTuple

from holdfast.inventory.v1.error_reason_pb2 import ERROR_REASON_LEDGER_BEHIND
from holdfast.inventory.v1.reservation_pb2 import (
    REJECTION_REASON_ATTEMPT_LIMIT,
    REJECTION_REASON_BUYER_BLOCKED,
    REJECTION_REASON_BUYER_LIMIT,
    REJECTION_REASON_INSUFFICIENT_STOCK,
    REJECTION_REASON_ITEM_LIMIT,
    REJECTION_REASON_SALE_ENDED,
    REJECTION_REASON_SALE_NOT_STARTED,
    REJECTION_REASON_SALE_PAUSED,
    REJECTION_REASON_SOLD_OUT,
)
from holdfast.inventory.v1.sale_pb2 import (
    SALE_STATE_CLOSED,
    SALE_STATE_ENDED,
    SALE_STATE_PAUSED,
    SALE_STATE_SCHEDULED,
)

from inventory_service.domain.attempts import MINUTE_MS, is_attempt
from inventory_service.domain.call_again import CALL_AGAIN, CallAgain
from inventory_service.domain.keys import BuyerKey, SaleKey
from inventory_service.domain.reservation import Line, Reservation
from inventory_service.domain.results import Failure, Rejected, Shortage
from inventory_service.domain.sale import sale_state
from inventory_service.domain.shard_state import StoredSale, Transaction
from inventory_service.domain.units import Accounts, name_of_limited


class Wanted(NamedTuple):
    """What is asked for, beyond what is held already."""

    sale: SaleKey
    buyer_id: str
    lines: tuple[Line, ...]
    units: int  # of all lines; of a change of a hold, less those that it gives back
    own: Reservation | None = None  # the hold that is to be changed: what it has does not come back for it

    def kept(self, sku: str) -> int:
        """What its own hold has of an item."""
        return sum(units.claimed for units in self.own.lines if units.sku == sku) if self.own else 0

    def kept_units(self) -> int:
        """What its own hold has of all items."""
        return sum(units.claimed for units in self.own.lines) if self.own else 0


def wanted_by(sale: SaleKey, buyer_id: str, lines: tuple[Line, ...]) -> Wanted:
    """What a Reserve of these lines asks for."""
    return Wanted(sale, buyer_id, lines, sum(line.quantity for line in lines))


_REJECTION_BY_SALE_STATE: Final[dict[int, int]] = {
    SALE_STATE_CLOSED: REJECTION_REASON_SALE_ENDED,
    SALE_STATE_ENDED: REJECTION_REASON_SALE_ENDED,
    SALE_STATE_SCHEDULED: REJECTION_REASON_SALE_NOT_STARTED,
    SALE_STATE_PAUSED: REJECTION_REASON_SALE_PAUSED,
}


def judge_backpressure(is_full: bool) -> Failure | None:
    """The shard may not be further ahead of the ledger."""
    return Failure(ERROR_REASON_LEDGER_BEHIND) if is_full else None


def judge_window(transaction: Transaction, sale: StoredSale) -> Rejected | None:
    """The sale must be open. One that is paused does not open by itself at its start."""
    now_ms = transaction.now_ms
    state = sale_state(sale.settings, now_ms)
    if state not in _REJECTION_BY_SALE_STATE:
        return None
    opens = state == SALE_STATE_SCHEDULED and not sale.settings.paused
    until_start = sale.settings.start_time_ms - now_ms if opens else None
    return Rejected(_REJECTION_BY_SALE_STATE[state], transaction.as_of(), now_ms, retry_after_ms=until_start)


def judge_block(transaction: Transaction, wanted: Wanted) -> Rejected | None:
    """The buyer must not be blocked."""
    if BuyerKey(wanted.sale.tenant, wanted.buyer_id) not in transaction.shard.blocked.buyers:
        return None
    return Rejected(REJECTION_REASON_BUYER_BLOCKED, transaction.as_of(), transaction.now_ms)


def judge_attempts(transaction: Transaction, sale: StoredSale, wanted: Wanted) -> Rejected | None:
    """The buyer must not have been judged as often within the last 60 seconds as the sale allows."""
    most, now_ms = sale.settings.attempts_per_minute, transaction.now_ms
    time_ms = sale.attempts.time_of(wanted.buyer_id, most, now_ms) if most else None
    if time_ms is None:
        return None
    judged_ms = time_ms + MINUTE_MS
    retry_after_ms = None if _is_over_by(sale, wanted, judged_ms) else judged_ms - now_ms
    return Rejected(REJECTION_REASON_ATTEMPT_LIMIT, transaction.as_of(), now_ms, retry_after_ms=retry_after_ms)


def count_attempt(transaction: Transaction, sale: StoredSale, buyer_id: str, result: object) -> None:
    """Count an attempt by its result, where the sale limits them."""
    if sale.settings.attempts_per_minute and is_attempt(result):
        sale.attempts.add(buyer_id, transaction.now_ms)


def judge_stock(transaction: Transaction, sale: StoredSale, wanted: Wanted) -> Rejected | CallAgain | None:
    """Each line must be available; overdue holds are taken back before a request is rejected for it."""
    if not _short(sale, wanted):
        return None
    if not transaction.expire_overdue(wanted.sale):
        return CALL_AGAIN
    return _shortage(transaction, sale, wanted) if _short(sale, wanted) else None


def judge_item_limits(transaction: Transaction, sale: StoredSale, wanted: Wanted) -> Rejected | CallAgain | None:
    """The buyer must keep to each item's limit; overdue holds are taken back before a request is rejected for it."""
    if not _lines_over_limit(sale, wanted):
        return None
    if not transaction.expire_overdue(wanted.sale):
        return CALL_AGAIN
    over = _lines_over_limit(sale, wanted)
    return _item_limit(transaction, sale, wanted, over[0].sku) if over else None


def judge_limit(transaction: Transaction, sale: StoredSale, wanted: Wanted) -> Rejected | CallAgain | None:
    """The buyer must keep to the sale's limit; overdue holds are taken back before a request is rejected for it."""
    if not _is_over_limit(sale, wanted):
        return None
    if not transaction.expire_overdue(wanted.sale):
        return CALL_AGAIN
    return _limit(transaction, sale, wanted) if _is_over_limit(sale, wanted) else None


def _short(sale: StoredSale, wanted: Wanted) -> tuple[Shortage, ...]:
    items = sale.items
    return tuple(
        Shortage(sku, quantity, items[sku]["available"], items[sku]["held"])
        for sku, quantity in wanted.lines
        if items[sku]["available"] < quantity
    )


def _shortage(transaction: Transaction, sale: StoredSale, wanted: Wanted) -> Rejected:
    short = _short(sale, wanted)
    gone = any(line.available == 0 for line in short)
    reason = REJECTION_REASON_SOLD_OUT if gone else REJECTION_REASON_INSUFFICIENT_STOCK
    may_change = all(line.available + line.held - wanted.kept(line.sku) >= line.requested for line in short)
    retry = _until_next_expiry(transaction, sale, wanted) if may_change else None
    return Rejected(reason, transaction.as_of(), transaction.now_ms, shortages=short, retry_after_ms=retry)


def _lines_over_limit(sale: StoredSale, wanted: Wanted) -> list[Line]:
    """The lines that would take the buyer over the limit of their item, in their order."""
    return [line for line in _limited(sale, wanted) if sum(_has(sale, wanted, line).values()) > _room(sale, line)]


def _limited(sale: StoredSale, wanted: Wanted) -> list[Line]:
    return [line for line in wanted.lines if line.sku in sale.item_limits]


def _has(sale: StoredSale, wanted: Wanted, line: Line) -> Accounts:
    """The buyer's units of a limited item."""
    return sale.units_of(name_of_limited(wanted.buyer_id, line.sku))


def _room(sale: StoredSale, line: Line) -> int:
    """How many units of its item a buyer may have before what the line asks for."""
    return sale.item_limits[line.sku] - line.quantity


def _item_limit(transaction: Transaction, sale: StoredSale, wanted: Wanted, sku: str) -> Rejected:
    units = sale.units_of(name_of_limited(wanted.buyer_id, sku))
    may_change = all(
        _has(sale, wanted, line)["sold"] + wanted.kept(line.sku) <= _room(sale, line) for line in _limited(sale, wanted)
    )
    return Rejected(
        REJECTION_REASON_ITEM_LIMIT,
        transaction.as_of(),
        transaction.now_ms,
        buyer_remaining=max(0, sale.item_limits[sku] - sum(units.values())),
        retry_after_ms=_until_next_expiry(transaction, sale, wanted) if may_change else None,
        limited_sku=sku,
    )


def _is_over_limit(sale: StoredSale, wanted: Wanted) -> bool:
    limit = sale.settings.buyer_limit
    return 0 < limit < sum(sale.units_of(wanted.buyer_id).values()) + wanted.units and wanted.units > 0


def _limit(transaction: Transaction, sale: StoredSale, wanted: Wanted) -> Rejected:
    units = sale.units_of(wanted.buyer_id)
    may_change = units["sold"] + wanted.kept_units() + wanted.units <= sale.settings.buyer_limit
    return Rejected(
        REJECTION_REASON_BUYER_LIMIT,
        transaction.as_of(),
        transaction.now_ms,
        buyer_remaining=max(0, sale.settings.buyer_limit - sum(units.values())),
        retry_after_ms=_until_next_expiry(transaction, sale, wanted) if may_change else None,
    )


def _until_next_expiry(transaction: Transaction, sale: StoredSale, wanted: Wanted) -> int | None:
    """How long until the sale's next hold can end: no answer that waits for units changes earlier.

    None: there is none, or the sale or the hold that is to be changed is over by then.
    """
    next_ms = min((hold.expire_time_ms for hold in sale.live_holds(transaction.now_ms)), default=None)
    if next_ms is None or _is_over_by(sale, wanted, next_ms):
        return None
    return next_ms - transaction.now_ms


def _is_over_by(sale: StoredSale, wanted: Wanted, moment_ms: int) -> bool:
    """Whether the sale, or the hold that is to be changed, is over by then."""
    ends_ms = (sale.settings.end_time_ms, wanted.own.expire_time_ms if wanted.own else None)
    return any(end_ms is not None and moment_ms >= end_ms for end_ms in ends_ms)
