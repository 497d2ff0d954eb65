"""Moves: what can be done to a reservation, in one table. The reference for lua/move.lua and lua/compensate.lua."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final, NamedTuple

from inventory_service.domain.keys import Position, SaleKey
from inventory_service.domain.reservation import COMPENSATED, CONFIRMED, EXPIRED, HELD, NEW, RELEASED, RETURNED
from inventory_service.domain.reserve import new_reservation
from inventory_service.domain.results import Failure, Granted, reservation_not_found, sale_not_found, wrong_state
from inventory_service.domain.shard_state import StoredReservation, Transaction
from inventory_service.domain.units import units_in


class MoveKind(StrEnum):
    """The moves that a caller may ask for; move.lua has the same words."""

    CONFIRM = "CONFIRM"  # sell what is held
    RELEASE = "RELEASE"  # give back what is held
    SPEND = "SPEND"  # release, and where there is no such id yet, end it before it is ever used


class Move(NamedTuple):
    """Move a reservation on."""

    sale: SaleKey
    reservation_id: str
    kind: MoveKind
    note: str = ""


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
}


def move(transaction: Transaction, request: Move) -> Granted | Failure:
    """Judge one move by the table, and carry it out."""
    sale = transaction.shard.sales.get(request.sale)
    if sale is None:
        return sale_not_found(request.sale)
    rule, stored = MOVES[request.kind], sale.reservations.get(request.reservation_id)
    if stored is None:
        if NEW not in rule.outcomes:
            return reservation_not_found(request.sale, request.reservation_id)
        stored = StoredReservation(new_reservation(transaction, request.sale, request.reservation_id), fingerprint="")
    reservation = transaction.effective(sale, stored.reservation)
    outcome = rule.outcomes.get(reservation.state)
    if outcome is None:
        return wrong_state(reservation)
    if outcome == REPLAYED:
        return Granted(reservation, replayed=True, read_time_ms=transaction.now_ms)
    note = request.note if rule.sets_note else reservation.note
    lines = units_in(reservation.lines, outcome)
    moved = transaction.move(sale, stored, outcome, lines, note)
    return Granted(moved, replayed=False, read_time_ms=transaction.now_ms)


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
