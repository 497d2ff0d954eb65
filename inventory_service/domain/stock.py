"""The rule: what a claim and its moves come to, in order of precedence. The reference for lua/; tests hold it to it."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

from holdfast.inventory.v1.error_reason_pb2 import (
    ERROR_REASON_ITEM_NOT_FOUND,
    ERROR_REASON_LEDGER_BEHIND,
    ERROR_REASON_RESERVATION_ID_REUSED,
    ERROR_REASON_SALE_NOT_FOUND,
    ERROR_REASON_SALE_WITHOUT_HOLDS,
)
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

from inventory_service.domain.bodies import reserve_body
from inventory_service.domain.requests import Compensate, Confirm, Release, Reserve, SaleKey
from inventory_service.domain.shard_book import Call, Record, SaleBook
from inventory_service.domain.states import (
    COMPENSATED,
    CONFIRMED,
    HELD,
    RELEASED,
    REPLAYED,
    UNMADE,
    reservation_not_found,
    sale_state,
    settling,
    wrong_state,
)
from inventory_service.domain.verdicts import (
    Failure,
    Granted,
    Rejected,
    Reservation,
    ReserveResult,
    Shortage,
)

CALL_AGAIN: Final = None  # not an answer: more holds are overdue than one call takes back

Request = TypeVar("Request")
Verdict = TypeVar("Verdict")

_WINDOW: Final[dict[int, int]] = {
    SALE_STATE_CLOSED: REJECTION_REASON_SALE_ENDED,
    SALE_STATE_ENDED: REJECTION_REASON_SALE_ENDED,
    SALE_STATE_SCHEDULED: REJECTION_REASON_SALE_NOT_STARTED,
    SALE_STATE_PAUSED: REJECTION_REASON_SALE_PAUSED,
}


async def until_judged(
    requests: Sequence[Request], judge: Callable[[Sequence[Request]], Awaitable[Sequence[Verdict | None]]]
) -> list[Verdict]:
    """Ask until each request has its answer, those that must come again in their old order: CALL_AGAIN ends here.

    Each call that leaves something over takes back a hundred overdue holds, so this ends.
    """
    answers: dict[int, Verdict] = {}
    while len(answers) < len(requests):
        waiting = [at for at in range(len(requests)) if at not in answers]
        verdicts = await judge([requests[at] for at in waiting])
        answers.update((at, verdict) for at, verdict in zip(waiting, verdicts, strict=True) if verdict is not None)
    return [answers[at] for at in range(len(requests))]


def sale_not_found(sale: SaleKey) -> Failure:
    """Refuse what names a sale that is not there."""
    return Failure(ERROR_REASON_SALE_NOT_FOUND, {"sale_id": sale.sale_id})


# ---------------------------------------------------------------------------------------------------- Reserve


def reserve(call: Call, request: Reserve, ledger_is_behind: bool = False) -> ReserveResult | None:
    """Judge one Reserve, the first that applies, and carry it out; CALL_AGAIN must never reach a caller.

    While the ledger is behind nothing is taken back or granted, and what needs no commit is answered as ever.
    """
    if call.must_wait(request.sale):
        return CALL_AGAIN
    sale = call.shard.sales.get(request.sale)
    if sale is None:
        return sale_not_found(request.sale)
    known = sale.records.get(request.reservation_id)
    if known is not None:
        return _known(call, known, request)
    behind = Failure(ERROR_REASON_LEDGER_BEHIND) if ledger_is_behind else None
    return _names(sale, request) or behind or _window(call, sale) or _units(call, sale, request)


def _known(call: Call, record: Record, request: Reserve) -> ReserveResult:
    spent = not record.body
    if not spent and record.body != reserve_body(request):
        return id_reused(request)
    reservation = call.seen(record.reservation)
    if reservation.state in (HELD, CONFIRMED):
        return Granted(reservation, replayed=True, read_time_ms=call.now_ms)
    ended = REJECTION_REASON_RESERVATION_ENDED
    return Rejected(ended, call.as_of(), call.now_ms, ended=reservation, replayed=not spent)


def id_reused(request: Reserve) -> Failure:
    """Refuse an id that was used with another body."""
    metadata = {"sale_id": request.sale.sale_id, "reservation_id": request.reservation_id}
    return Failure(ERROR_REASON_RESERVATION_ID_REUSED, metadata)


def _names(sale: SaleBook, request: Reserve) -> Failure | None:
    for sku, _ in request.lines:
        if sku not in sale.items:
            return Failure(ERROR_REASON_ITEM_NOT_FOUND, {"sale_id": request.sale.sale_id, "sku": sku})
    if request.hold_ttl_ms is not None and sale.request.hold_ttl_ms == 0:
        return Failure(ERROR_REASON_SALE_WITHOUT_HOLDS)
    return None


def _window(call: Call, sale: SaleBook) -> Rejected | None:
    state = sale_state(sale.start_time_ms, sale.request.end_time_ms, sale.paused, sale.closed, call.now_ms)
    if state not in _WINDOW:
        return None
    until_start = sale.start_time_ms - call.now_ms if state == SALE_STATE_SCHEDULED else None
    return Rejected(_WINDOW[state], call.as_of(), call.now_ms, retry_after_ms=until_start)


def _units(call: Call, sale: SaleBook, request: Reserve) -> Granted | Rejected | None:
    """Judge stock, then the buyer's limit; overdue holds are taken back before either says no."""
    if _short(sale, request):
        if not call.take_back(request.sale):
            return CALL_AGAIN
        if _short(sale, request):
            return _shortage(call, sale, request)
    if _over_limit(sale, request):
        if not call.take_back(request.sale):
            return CALL_AGAIN
        if _over_limit(sale, request):
            return _limit(call, sale, request)
    return _grant(call, sale, request)


def _short(sale: SaleBook, request: Reserve) -> tuple[Shortage, ...]:
    items = sale.items
    return tuple(
        Shortage(sku, quantity, items[sku]["available"], items[sku]["held"])
        for sku, quantity in request.lines
        if items[sku]["available"] < quantity
    )


def _shortage(call: Call, sale: SaleBook, request: Reserve) -> Rejected:
    short = _short(sale, request)
    gone = any(line.available == 0 for line in short)
    reason = REJECTION_REASON_SOLD_OUT if gone else REJECTION_REASON_INSUFFICIENT_STOCK
    retry = _until_next_expiry(call, sale) if any(line.held for line in short) else None
    return Rejected(reason, call.as_of(), call.now_ms, shortages=short, retry_after_ms=retry)


def _over_limit(sale: SaleBook, request: Reserve) -> bool:
    asked = sum(line.quantity for line in request.lines)
    limit = sale.request.buyer_limit
    return limit != 0 and sum(sale.units_of(request.buyer_id).values()) + asked > limit


def _limit(call: Call, sale: SaleBook, request: Reserve) -> Rejected:
    units = sale.units_of(request.buyer_id)
    return Rejected(
        REJECTION_REASON_BUYER_LIMIT,
        call.as_of(),
        call.now_ms,
        buyer_remaining=max(0, sale.request.buyer_limit - sum(units.values())),
        retry_after_ms=_until_next_expiry(call, sale) if units["held"] else None,
    )


def _until_next_expiry(call: Call, sale: SaleBook) -> int | None:
    """How long until the sale's next hold can end: no answer that waits for units changes earlier."""
    ends = [hold.expire_time_ms for hold in sale.live_holds(call.now_ms)]
    return min(ends) - call.now_ms if ends else None


def _grant(call: Call, sale: SaleBook, request: Reserve) -> Granted:
    settings = sale.request
    asked_ms = settings.hold_ttl_ms if request.hold_ttl_ms is None else request.hold_ttl_ms
    buys = settings.hold_ttl_ms == 0
    expire_ms = 0 if buys else call.now_ms + min(asked_ms, settings.max_hold_ttl_ms)
    record = Record(_unmade(call, request, expire_ms), reserve_body(request))
    reservation = call.move(sale, record, CONFIRMED if buys else HELD, note="")
    return Granted(reservation, replayed=False, read_time_ms=call.now_ms)


def _unmade(call: Call, request: Reserve | Release, expire_ms: int) -> Reservation:
    return Reservation(
        sale=request.sale,
        reservation_id=request.reservation_id,
        buyer_id="" if isinstance(request, Release) else request.buyer_id,
        lines=() if isinstance(request, Release) else request.lines,
        state=UNMADE,
        revision=0,
        create_time_ms=call.now_ms,
        update_time_ms=call.now_ms,
        expire_time_ms=expire_ms,
        created=call.next_position(),
        position=call.next_position(),
        ledger_state=LEDGER_STATE_PENDING,
        compensation_reason=0,
        note="",
    )


# ------------------------------------------------------------------------------------------- the other moves


def settle(call: Call, request: Confirm | Release) -> Granted | Failure:
    """Confirm or release, as the table of moves has it."""
    sale = call.shard.sales.get(request.sale)
    if sale is None:
        return sale_not_found(request.sale)
    record = sale.records.get(request.reservation_id)
    if record is None:
        return _spend(call, sale, request)
    seen = call.seen(record.reservation)
    outcome = settling(request, seen.state)
    if outcome is None:
        return wrong_state(seen)
    if outcome == REPLAYED:
        return Granted(seen, replayed=True, read_time_ms=call.now_ms)
    note = request.reason if isinstance(request, Release) else record.reservation.note
    return Granted(call.move(sale, record, outcome, note), replayed=False, read_time_ms=call.now_ms)


def _spend(call: Call, sale: SaleBook, request: Confirm | Release) -> Granted | Failure:
    if isinstance(request, Confirm) or not request.spend_id:
        return reservation_not_found(request.sale, request.reservation_id)
    record = Record(_unmade(call, request, expire_ms=0), body="")
    return Granted(call.move(sale, record, RELEASED, request.reason), replayed=False, read_time_ms=call.now_ms)


def compensate(call: Call, request: Compensate) -> bool:
    """Give a refused order's units back, if it still has any and is the very one that was refused."""
    sale = call.shard.sales.get(request.sale)
    record = sale.records.get(request.reservation_id) if sale else None
    if sale is None or record is None or record.reservation.created != request.created:
        return False
    if call.seen(record.reservation).state not in (HELD, CONFIRMED):
        return False
    call.move(sale, record, COMPENSATED, request.detail, request.reason)
    return True
