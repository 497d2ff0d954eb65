"""Reserve, and the replay of a dead letter: requests, rule. The reference for lua/reserve.lua; one suite for both."""

from typing import NamedTuple

from holdfast.inventory.v1.error_reason_pb2 import ERROR_REASON_SALE_WITHOUT_HOLDS
from holdfast.inventory.v1.reservation_pb2 import LEDGER_STATE_PENDING, REJECTION_REASON_RESERVATION_ENDED
from holdfast.inventory.v1.sale_pb2 import SALE_STATE_CLOSED

from inventory_service.domain.call_again import CALL_AGAIN, CallAgain
from inventory_service.domain.checks import (
    count_attempt,
    judge_attempts,
    judge_backpressure,
    judge_block,
    judge_item_limits,
    judge_limit,
    judge_stock,
    judge_window,
    wanted_by,
)
from inventory_service.domain.fingerprints import reserve_fingerprint
from inventory_service.domain.keys import SaleKey
from inventory_service.domain.reservation import CONFIRMED, HELD, NEW, Line, Reservation
from inventory_service.domain.results import (
    Failure,
    Granted,
    Rejected,
    item_not_found,
    reservation_id_reused,
    sale_not_found,
    wrong_sale_state,
)
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


class Replay(NamedTuple):
    """Reserve anew what a refused order had, whether or not the sale is open and however often its buyer has asked."""

    claim: Reserve  # under a new id; without a `hold_ttl_ms`
    sells: bool  # the units had been sold, and are sold at once


ReserveResult = Granted | Rejected | Failure


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
    result = judge(transaction, sale, request, is_full)
    count_attempt(transaction, sale, request.buyer_id, result)
    return result


def judge(transaction: Transaction, sale: StoredSale, request: Reserve, is_full: bool) -> ReserveResult | CallAgain:
    """The checks in their order: the first that returns a result decides. `judge` in reserve.lua has the same."""
    wanted = wanted_by(request.sale, request.buyer_id, request.lines)
    return (
        judge_repeat(transaction, sale, request)
        or judge_names(sale, request)
        or judge_backpressure(is_full)
        or judge_window(transaction, sale)
        or judge_block(transaction, wanted)
        or judge_attempts(transaction, sale, wanted)
        or judge_stock(transaction, sale, wanted)
        or judge_item_limits(transaction, sale, wanted)
        or judge_limit(transaction, sale, wanted)
        or grant(transaction, sale, request)
    )


def replay(transaction: Transaction, request: Replay, is_full: bool = False) -> ReserveResult | CallAgain:
    """Judge the replay of a dead letter and carry it out; it is no attempt of the buyer. `is_full`: as of `reserve`."""
    sale = transaction.shard.sales.get(request.claim.sale)
    if sale is None:
        return sale_not_found(request.claim.sale)
    return judge_replay(transaction, sale, request, is_full)


def judge_replay(
    transaction: Transaction, sale: StoredSale, request: Replay, is_full: bool
) -> ReserveResult | CallAgain:
    """The checks in their order: the first that returns a result decides. reserve.lua has a function of this name."""
    claim, sells = request.claim, request.sells or sale.settings.hold_ttl_ms == 0
    wanted = wanted_by(claim.sale, claim.buyer_id, claim.lines)
    return (
        judge_repeat(transaction, sale, claim)
        or judge_names(sale, claim)
        or judge_backpressure(is_full)
        or judge_released(sale, sells)
        or judge_block(transaction, wanted)
        or judge_stock(transaction, sale, wanted)
        or judge_item_limits(transaction, sale, wanted)
        or judge_limit(transaction, sale, wanted)
        or grant(transaction, sale, claim, sells)
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


def judge_released(sale: StoredSale, sells: bool) -> Failure | None:
    """Nothing can be held in a sale whose holds were released."""
    return wrong_sale_state(SALE_STATE_CLOSED) if sale.settings.release_time_ms and not sells else None


def grant(transaction: Transaction, sale: StoredSale, request: Reserve, sells: bool = False) -> Granted:
    """Hold the units, or sell them: in a sale without holds, and where `sells`."""
    settings = sale.settings
    asked_ms = settings.hold_ttl_ms if request.hold_ttl_ms is None else request.hold_ttl_ms
    buys = sells or settings.hold_ttl_ms == 0
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
