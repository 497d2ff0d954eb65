"""Moves: what can be done to a reservation, in one table. The reference for lua/lib/judge_move.lua and lua/move.lua."""

from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from typing import Final, NamedTuple

from holdfast.inventory.v1.error_reason_pb2 import (
    ERROR_REASON_CONFIRMED_OTHERWISE,
    ERROR_REASON_MORE_THAN_HELD,
    ERROR_REASON_MORE_THAN_SOLD,
)

from inventory_service.domain.keys import Position, SaleKey
from inventory_service.domain.reservation import (
    COMPENSATED,
    CONFIRMED,
    EXPIRED,
    HELD,
    ID_REUSED,
    NEW,
    RELEASED,
    RETURNED,
    Line,
    Reservation,
    Units,
)
from inventory_service.domain.reserve import new_reservation
from inventory_service.domain.results import (
    Failure,
    Granted,
    reservation_not_found,
    revision_mismatch,
    sale_not_found,
    wrong_state,
)
from inventory_service.domain.shard_state import StoredReservation, StoredSale, Transaction
from inventory_service.domain.units import units_in


class MoveKind(StrEnum):
    """The moves that a caller may ask for; the scripts have the same words."""

    CONFIRM = "CONFIRM"  # sell what is held, or some of it
    RELEASE = "RELEASE"  # give back what is held
    SPEND = "SPEND"  # release, and where there is no such id yet, end it before it is ever used
    EXTEND = "EXTEND"  # let a hold live longer
    RETURN = "RETURN"  # take back what was sold, or some of it


class Move(NamedTuple):
    """Move a reservation on."""

    sale: SaleKey
    reservation_id: str
    kind: MoveKind
    note: str = ""
    expected_revision: int | None = None  # that must be found; None: any
    lines: tuple[Line, ...] = ()  # of a CONFIRM, what is sold; of a RETURN, what has come back in all; none: everything
    hold_ttl_ms: int = 0  # of an EXTEND: the life of the hold from its creation
    discards: bool = False  # of a RETURN: what comes back with it leaves the sale


class Compensate(NamedTuple):
    """Give back what the ledger refused: acts only on the reservation created at `created`."""

    sale: SaleKey
    reservation_id: str
    created: Position
    reason: int  # a CompensationReason
    detail: str


class MoveRule(NamedTuple):
    """A row of the table: the outcome of a move in each state; a state that is not in it has no such move."""

    outcomes: Mapping[int, int]  # state as every call sees it, NEW where there is none -> new state, or REPLAYED
    sets_note: bool  # else the reservation keeps the note that it has


REPLAYED: Final = -1  # not a state: it stands so already
_GIVE_BACK: Final = {HELD: RELEASED, RELEASED: REPLAYED, EXPIRED: REPLAYED, COMPENSATED: REPLAYED, RETURNED: REPLAYED}

MOVES: Final[Mapping[MoveKind, MoveRule]] = {
    MoveKind.CONFIRM: MoveRule({HELD: CONFIRMED, CONFIRMED: REPLAYED}, sets_note=False),
    MoveKind.RELEASE: MoveRule(_GIVE_BACK, sets_note=True),
    MoveKind.SPEND: MoveRule({NEW: RELEASED, **_GIVE_BACK}, sets_note=True),
    MoveKind.EXTEND: MoveRule({HELD: HELD}, sets_note=False),
    MoveKind.RETURN: MoveRule({CONFIRMED: RETURNED, RETURNED: RETURNED}, sets_note=True),
}


class Step(NamedTuple):
    """What a move leads to."""

    state: int
    lines: tuple[Units, ...]
    expire_time_ms: int


def move(transaction: Transaction, request: Move) -> Granted | Failure:
    """Judge one move, and carry it out."""
    sale = transaction.shard.sales.get(request.sale)
    if sale is None:
        return sale_not_found(request.sale)
    stored = sale.reservations.get(request.reservation_id)
    if request.kind == MoveKind.SPEND and stored is None:
        stored = StoredReservation(new_reservation(transaction, request.sale, request.reservation_id), fingerprint="")
    if stored is None or is_unknown(stored.reservation, request.kind):
        return reservation_not_found(request.sale, request.reservation_id, transaction.head())
    return move_stored(transaction, sale, stored, request)


def move_stored(
    transaction: Transaction, sale: StoredSale, stored: StoredReservation, request: Move
) -> Granted | Failure:
    """Judge a move of a reservation that is there, or that a SPEND makes, and carry it out."""
    reservation = transaction.effective(sale, stored.reservation)
    step = judge_move(reservation, request, sale.settings.max_hold_ttl_ms)
    if isinstance(step, Failure):
        return step
    if step is None:
        return Granted(reservation, replayed=True, read_time_ms=transaction.now_ms)
    note = request.note if MOVES[request.kind].sets_note else reservation.note
    stored = stored._replace(reservation=stored.reservation._replace(expire_time_ms=step.expire_time_ms))
    discarded = request.kind == MoveKind.RETURN and request.discards
    moved = transaction.move(sale, stored, step.state, step.lines, note, discarded=discarded)
    return Granted(moved, replayed=False, read_time_ms=transaction.now_ms)


def is_unknown(reservation: Reservation, kind: MoveKind | None = None) -> bool:
    """Whether reads and moves find none: the ledger refused it since it knows an earlier one of this id, and answers.

    A SPEND does not take its place.
    """
    return reservation.compensation_reason == ID_REUSED and kind != MoveKind.SPEND


def judge_move(found: Reservation, request: Move, max_hold_ttl_ms: int) -> Step | Failure | None:
    """What a move of a reservation, in the state that every call sees, leads to; None: it stands so already."""
    outcome = MOVES[request.kind].outcomes.get(found.state)
    if outcome is None:
        return wrong_state(found)
    if outcome == REPLAYED:
        return confirmed_otherwise(found, request.lines) if request.kind == MoveKind.CONFIRM else None
    step = _STEPS.get(request.kind, _to_outcome)(found, request, outcome, max_hold_ttl_ms)
    if step == Step(found.state, found.lines, found.expire_time_ms):
        return None
    if found.state != NEW and request.expected_revision not in (None, found.revision):
        return revision_mismatch(found)
    return step


def compensate(transaction: Transaction, request: Compensate) -> bool:
    """Give a refused order's units back, if it still has any and is the very one that was refused."""
    sale = transaction.shard.sales.get(request.sale)
    stored = sale.reservations.get(request.reservation_id) if sale else None
    if sale is None or stored is None or stored.reservation.created != request.created:
        return False
    if transaction.effective(sale, stored.reservation).state not in (HELD, CONFIRMED):
        return False
    lines = units_in(stored.reservation.lines, COMPENSATED)
    transaction.move(sale, stored, COMPENSATED, lines, request.detail, request.reason)
    return True


def _to_outcome(found: Reservation, request: Move, outcome: int, max_hold_ttl_ms: int) -> Step:
    return Step(outcome, units_in(found.lines, outcome), found.expire_time_ms)


def _confirm(found: Reservation, request: Move, outcome: int, max_hold_ttl_ms: int) -> Step | Failure:
    """What is named is sold, and the rest is given back."""
    named = dict(request.lines or _claimed(found).items())
    lines = tuple(units._replace(sold=named.get(units.sku, 0)) for units in found.lines)
    return more_than_held(found, request.lines) or Step(outcome, lines, found.expire_time_ms)


def _extend(found: Reservation, request: Move, outcome: int, max_hold_ttl_ms: int) -> Step:
    """A hold may live as long as its sale allows at this moment, and never shorter than it does."""
    granted_ms = found.create_time_ms + min(request.hold_ttl_ms, max_hold_ttl_ms)
    return Step(outcome, found.lines, max(found.expire_time_ms, granted_ms))


def _return(found: Reservation, request: Move, outcome: int, max_hold_ttl_ms: int) -> Step | Failure:
    """What has come back of an item never becomes less; once all that was sold is back, it is RETURNED."""
    named = dict(request.lines or _sold(found).items())
    lines = tuple(units._replace(came_back=max(units.came_back, named.get(units.sku, 0))) for units in found.lines)
    state = outcome if all(units.came_back == units.sold for units in lines) else CONFIRMED
    return more_than_sold(found, request.lines) or Step(state, lines, found.expire_time_ms)


_STEPS: Final[Mapping[MoveKind, Callable[[Reservation, Move, int, int], Step | Failure]]] = {
    MoveKind.CONFIRM: _confirm,
    MoveKind.EXTEND: _extend,
    MoveKind.RETURN: _return,
}


def more_than_held(found: Reservation, lines: Iterable[Line]) -> Failure | None:
    """What is named must be held."""
    for sku, asked in lines:
        if asked > (held := _claimed(found).get(sku, 0)):
            about = {"sku": sku, "held": str(held), "asked": str(asked)}
            return Failure(ERROR_REASON_MORE_THAN_HELD, about, found)
    return None


def more_than_sold(found: Reservation, lines: Iterable[Line]) -> Failure | None:
    """What is named must have been sold."""
    for sku, asked in lines:
        if asked > (sold := _sold(found).get(sku, 0)):
            about = {"sku": sku, "sold": str(sold), "asked": str(asked)}
            return Failure(ERROR_REASON_MORE_THAN_SOLD, about, found)
    return None


def confirmed_otherwise(found: Reservation, lines: tuple[Line, ...]) -> Failure | None:
    """A repeated confirm must ask for what was sold, whatever has come back since."""
    sold, asked = _sold(found), dict(lines) if lines else _claimed(found)
    for sku in sorted(sold.keys() | asked.keys()):
        if sold.get(sku, 0) != asked.get(sku, 0):
            about = {"sku": sku, "sold": str(sold.get(sku, 0)), "asked": str(asked.get(sku, 0))}
            return Failure(ERROR_REASON_CONFIRMED_OTHERWISE, about, found)
    return None


def _claimed(found: Reservation) -> dict[str, int]:
    return {units.sku: units.claimed for units in found.lines}


def _sold(found: Reservation) -> dict[str, int]:
    return {units.sku: units.sold for units in found.lines}
