"""A reservation: its lines, its states, and how it stands at a moment."""

from typing import Final, NamedTuple

from holdfast.inventory.v1.reservation_pb2 import (
    COMPENSATION_REASON_ID_REUSED,
    LEDGER_STATE_PENDING,
    LEDGER_STATE_RECORDED,
    LEDGER_STATE_REFUSED,
    RESERVATION_STATE_COMPENSATED,
    RESERVATION_STATE_CONFIRMED,
    RESERVATION_STATE_EXPIRED,
    RESERVATION_STATE_HELD,
    RESERVATION_STATE_RELEASED,
    RESERVATION_STATE_RETURNED,
    RESERVATION_STATE_UNSPECIFIED,
)

from inventory_service.domain.keys import Position, SaleKey

NEW: Final = int(RESERVATION_STATE_UNSPECIFIED)  # the state before the first
HELD: Final = int(RESERVATION_STATE_HELD)
CONFIRMED: Final = int(RESERVATION_STATE_CONFIRMED)
RELEASED: Final = int(RESERVATION_STATE_RELEASED)
EXPIRED: Final = int(RESERVATION_STATE_EXPIRED)
COMPENSATED: Final = int(RESERVATION_STATE_COMPENSATED)
RETURNED: Final = int(RESERVATION_STATE_RETURNED)

ID_REUSED: Final = int(COMPENSATION_REASON_ID_REUSED)


class Line(NamedTuple):
    """Units of one item."""

    sku: str
    quantity: int


class Units(NamedTuple):
    """How a reservation stands with one item; in which state it has which of them is in units.py."""

    sku: str
    claimed: int
    sold: int  # of those claimed
    came_back: int  # of those sold


class Reservation(NamedTuple):
    """A reservation as it stands at the moment of reading."""

    sale: SaleKey
    reservation_id: str
    buyer_id: str
    lines: tuple[Units, ...]  # sorted by SKU; empty only if the id was spent
    state: int  # a ReservationState; an overdue hold is EXPIRED, a released one RELEASED
    revision: int
    create_time_ms: int
    update_time_ms: int
    expire_time_ms: int  # 0: never held
    created: Position  # where it was made: its identity for every later hop
    position: Position  # where the latest change stands
    ledger_state: int  # a LedgerState
    compensation_reason: int  # a CompensationReason; 0 unless COMPENSATED
    note: str
    reference: str = ""  # as the Reserve gave it; '': it gave none


def state_at(reservation: Reservation, now_ms: int, release_time_ms: int) -> int:
    """The state of a reservation as every call sees it, swept or not.

    A hold stands strictly before its end; one that stood when its sale was closed with a release of its holds, at
    `release_time_ms`, is RELEASED from then on. 0: they were not released.
    """
    if reservation.state != HELD:
        return reservation.state
    if 0 < release_time_ms < reservation.expire_time_ms:
        return RELEASED
    return EXPIRED if now_ms >= reservation.expire_time_ms else HELD


def effective(reservation: Reservation, state: int, settled: tuple[int, int]) -> Reservation:
    """A reservation as every call sees it now, in the state that `state_at` tells."""
    position = reservation.position
    return reservation._replace(state=state, ledger_state=ledger_state(state, position.epoch, position.seq, settled))


def ledger_state(state: int, epoch: int, seq: int, settled: tuple[int, int]) -> int:
    """The ledger's judgement of a change, as far as Redis knows it: of a refusal it knows once the units are back."""
    if state == COMPENSATED:
        return LEDGER_STATE_REFUSED
    return LEDGER_STATE_RECORDED if (epoch, seq) <= settled else LEDGER_STATE_PENDING
