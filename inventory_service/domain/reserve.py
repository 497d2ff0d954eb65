"""Reserve: the request, its results, and the rule. The reference for lua/reserve.lua; the same tests run on both."""

from collections.abc import Awaitable, Callable, Sequence
from enum import Enum
from typing import Final, NamedTuple, TypeVar

from holdfast.inventory.v1.error_reason_pb2 import ERROR_REASON_LEDGER_BEHIND, ERROR_REASON_SALE_WITHOUT_HOLDS
from holdfast.inventory.v1.reservation_pb2 import (
    LEDGER_STATE_PENDING,
    REJECTION_REASON_BUYER_LIMIT,
    REJECTION_REASON_INSUFFICIENT_STOCK,
    REJECTION_REASON_RESERVATION_ENDED,
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

from inventory_service.domain.fingerprints import reserve_fingerprint
from inventory_service.domain.keys import Position, SaleKey
from inventory_service.domain.reservation import CONFIRMED, HELD, NEW, Line, Reservation
from inventory_service.domain.results import Failure, Granted, item_not_found, reservation_id_reused, sale_not_found
from inventory_service.domain.sale import sale_state
from inventory_service.domain.shard_state import StoredReservation, StoredSale, Transaction
from inventory_service.domain.units import usual_units


class Reserve(NamedTuple):
    """Hold (or, in a sale without holds, buy) all lines or none."""

    sale: SaleKey
    reservation_id: str
    buyer_id: str
    lines: tuple[Line, ...]  # sorted by SKU, equal SKUs summed
    hold_ttl_ms: int | None  # as asked; None: the sale's
    reference: str = ""  # the caller's name for what this belongs to; '': none


class Shortage(NamedTuple):
    """A line that could not be filled."""

    sku: str
    requested: int
    available: int
    held: int


class Rejected(NamedTuple):
    """An answer: no units, and why."""

    reason: int  # a RejectionReason
    as_of: Position  # index 0
    read_time_ms: int
    shortages: tuple[Shortage, ...] = ()
    buyer_remaining: int = 0
    retry_after_ms: int | None = None
    ended: Reservation | None = None  # for RESERVATION_ENDED
    replayed: bool = False  # for RESERVATION_ENDED, unless the id was spent


ReserveResult = Granted | Rejected | Failure


class CallAgain(Enum):
    """Not a result: more holds are overdue than one call takes back."""

    CALL_AGAIN = "CALL_AGAIN"


CALL_AGAIN: Final = CallAgain.CALL_AGAIN

Request = TypeVar("Request")
Result = TypeVar("Result")

_REJECTION_BY_SALE_STATE: Final[dict[int, int]] = {
    SALE_STATE_CLOSED: REJECTION_REASON_SALE_ENDED,
    SALE_STATE_ENDED: REJECTION_REASON_SALE_ENDED,
    SALE_STATE_SCHEDULED: REJECTION_REASON_SALE_NOT_STARTED,
    SALE_STATE_PAUSED: REJECTION_REASON_SALE_PAUSED,
}


async def until_judged(
    requests: Sequence[Request], judge_some: Callable[[Sequence[Request]], Awaitable[Sequence[Result | CallAgain]]]
) -> list[Result]:
    """Call `judge_some` until each request has its result; those that got CALL_AGAIN are repeated in their order.

    Each call that returns CALL_AGAIN takes back a hundred overdue holds, so this ends.
    """
    results = list(await judge_some(requests))
    while waiting := [at for at, result in enumerate(results) if result is CALL_AGAIN]:
        again = await judge_some([requests[at] for at in waiting])
        for at, result in zip(waiting, again, strict=True):
            results[at] = result
    return [result for result in results if result is not CALL_AGAIN]


def reserve(transaction: Transaction, request: Reserve, is_full: bool = False) -> ReserveResult | CallAgain:
    """Judge one Reserve and carry it out; CALL_AGAIN must never reach a caller.

    `is_full`: the shard may be no further ahead of the ledger. Then nothing is taken back or granted; a request that
    needs no commit is still answered.
    """
    if transaction.must_wait(request.sale):
        return CALL_AGAIN
    sale = transaction.shard.sales.get(request.sale)
    if sale is None:
        return sale_not_found(request.sale)
    return judge(transaction, sale, request, is_full)


def judge(transaction: Transaction, sale: StoredSale, request: Reserve, is_full: bool) -> ReserveResult | CallAgain:
    """The checks in their order: the first that returns a result decides. `judge` in reserve.lua has the same."""
    return (
        judge_repeat(transaction, sale, request)
        or judge_names(sale, request)
        or judge_backpressure(is_full)
        or judge_window(transaction, sale)
        or judge_stock(transaction, sale, request)
        or judge_limit(transaction, sale, request)
        or grant(transaction, sale, request)
    )


def judge_repeat(transaction: Transaction, sale: StoredSale, request: Reserve) -> ReserveResult | None:
    """A request whose id is known gets its reservation as it stands, in whatever state."""
    stored = sale.reservations.get(request.reservation_id)
    if stored is None:
        return None
    spent = not stored.fingerprint
    if not spent and stored.fingerprint != fingerprint_of(request):
        return reservation_id_reused(request.sale, request.reservation_id)
    reservation = transaction.effective(sale, stored.reservation)
    if reservation.state in (HELD, CONFIRMED):
        return Granted(reservation, replayed=True, read_time_ms=transaction.now_ms)
    ended = REJECTION_REASON_RESERVATION_ENDED
    return Rejected(ended, transaction.as_of(), transaction.now_ms, ended=reservation, replayed=not spent)


def judge_names(sale: StoredSale, request: Reserve) -> Failure | None:
    """The items must be the sale's, and a request to a sale without holds must have no `hold_ttl`."""
    for sku, _ in request.lines:
        if sku not in sale.items:
            return item_not_found(request.sale, sku)
    if request.hold_ttl_ms is not None and sale.settings.hold_ttl_ms == 0:
        return Failure(ERROR_REASON_SALE_WITHOUT_HOLDS)
    return None


def judge_backpressure(is_full: bool) -> Failure | None:
    """The shard may not be further ahead of the ledger."""
    return Failure(ERROR_REASON_LEDGER_BEHIND) if is_full else None


def judge_window(transaction: Transaction, sale: StoredSale) -> Rejected | None:
    """The sale must be open."""
    now_ms = transaction.now_ms
    state = sale_state(sale.settings, now_ms)
    if state not in _REJECTION_BY_SALE_STATE:
        return None
    until_start = sale.settings.start_time_ms - now_ms if state == SALE_STATE_SCHEDULED else None
    return Rejected(_REJECTION_BY_SALE_STATE[state], transaction.as_of(), now_ms, retry_after_ms=until_start)


def judge_stock(transaction: Transaction, sale: StoredSale, request: Reserve) -> Rejected | CallAgain | None:
    """Each line must be available; overdue holds are taken back before a request is rejected for it."""
    if not _short(sale, request):
        return None
    if not transaction.expire_overdue(request.sale):
        return CALL_AGAIN
    return _shortage(transaction, sale, request) if _short(sale, request) else None


def judge_limit(transaction: Transaction, sale: StoredSale, request: Reserve) -> Rejected | CallAgain | None:
    """The buyer must keep to the sale's limit; overdue holds are taken back before a request is rejected for it."""
    if not _is_over_limit(sale, request):
        return None
    if not transaction.expire_overdue(request.sale):
        return CALL_AGAIN
    return _limit(transaction, sale, request) if _is_over_limit(sale, request) else None


def grant(transaction: Transaction, sale: StoredSale, request: Reserve) -> Granted:
    """Hold the units, or sell them in a sale without holds."""
    settings = sale.settings
    asked_ms = settings.hold_ttl_ms if request.hold_ttl_ms is None else request.hold_ttl_ms
    buys = settings.hold_ttl_ms == 0
    expire_ms = 0 if buys else transaction.now_ms + min(asked_ms, settings.max_hold_ttl_ms)
    made = new_reservation(
        transaction, request.sale, request.reservation_id, request.buyer_id, request.lines, expire_ms, request.reference
    )
    stored = StoredReservation(made, fingerprint_of(request))
    state = CONFIRMED if buys else HELD
    reservation = transaction.move(sale, stored, state, usual_units(request.lines, state), note="")
    return Granted(reservation, replayed=False, read_time_ms=transaction.now_ms)


def fingerprint_of(request: Reserve) -> str:
    """The text that a repeat of this request has too, and another use of its id has not."""
    return reserve_fingerprint(request.buyer_id, request.hold_ttl_ms, request.lines, request.reference)


def new_reservation(
    transaction: Transaction,
    sale: SaleKey,
    reservation_id: str,
    buyer_id: str = "",
    lines: tuple[Line, ...] = (),
    expire_time_ms: int = 0,
    reference: str = "",
) -> Reservation:
    """A reservation that the next event will make; one of no buyer and no lines spends an id."""
    return Reservation(
        sale=sale,
        reservation_id=reservation_id,
        buyer_id=buyer_id,
        lines=usual_units(lines, NEW),
        state=NEW,
        revision=0,
        create_time_ms=transaction.now_ms,
        update_time_ms=transaction.now_ms,
        expire_time_ms=expire_time_ms,
        created=transaction.next_position(),
        position=transaction.next_position(),
        ledger_state=LEDGER_STATE_PENDING,
        compensation_reason=0,
        note="",
        reference=reference,
    )


def _short(sale: StoredSale, request: Reserve) -> tuple[Shortage, ...]:
    items = sale.items
    return tuple(
        Shortage(sku, quantity, items[sku]["available"], items[sku]["held"])
        for sku, quantity in request.lines
        if items[sku]["available"] < quantity
    )


def _shortage(transaction: Transaction, sale: StoredSale, request: Reserve) -> Rejected:
    short = _short(sale, request)
    gone = any(line.available == 0 for line in short)
    reason = REJECTION_REASON_SOLD_OUT if gone else REJECTION_REASON_INSUFFICIENT_STOCK
    may_change = all(line.available + line.held >= line.requested for line in short)
    retry = _until_next_expiry(transaction, sale) if may_change else None
    return Rejected(reason, transaction.as_of(), transaction.now_ms, shortages=short, retry_after_ms=retry)


def _is_over_limit(sale: StoredSale, request: Reserve) -> bool:
    asked = sum(line.quantity for line in request.lines)
    limit = sale.settings.buyer_limit
    return limit != 0 and sum(sale.units_of(request.buyer_id).values()) + asked > limit


def _limit(transaction: Transaction, sale: StoredSale, request: Reserve) -> Rejected:
    units = sale.units_of(request.buyer_id)
    may_change = units["sold"] + sum(line.quantity for line in request.lines) <= sale.settings.buyer_limit
    return Rejected(
        REJECTION_REASON_BUYER_LIMIT,
        transaction.as_of(),
        transaction.now_ms,
        buyer_remaining=max(0, sale.settings.buyer_limit - sum(units.values())),
        retry_after_ms=_until_next_expiry(transaction, sale) if may_change else None,
    )


def _until_next_expiry(transaction: Transaction, sale: StoredSale) -> int | None:
    """How long until the sale's next hold can end: no answer that waits for units changes earlier.

    None: there is none, or the sale is over by then.
    """
    next_ms = min((hold.expire_time_ms for hold in sale.live_holds(transaction.now_ms)), default=None)
    end_ms = sale.settings.end_time_ms
    if next_ms is None or (end_ms is not None and next_ms >= end_ms):
        return None
    return next_ms - transaction.now_ms
