"""What states mean: where a reservation's units lie, which moves there are, and what a sale does at a moment."""

from typing import Final

from holdfast.inventory.v1.error_reason_pb2 import (
    ERROR_REASON_RESERVATION_NOT_FOUND,
    ERROR_REASON_WRONG_RESERVATION_STATE,
)
from holdfast.inventory.v1.reservation_pb2 import (
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
    ReservationState,
)
from holdfast.inventory.v1.sale_pb2 import (
    SALE_STATE_CLOSED,
    SALE_STATE_ENDED,
    SALE_STATE_OPEN,
    SALE_STATE_PAUSED,
    SALE_STATE_SCHEDULED,
)

from inventory_service.domain.requests import Confirm, Release, SaleKey
from inventory_service.domain.verdicts import Failure, Granted, Reservation

UNMADE: Final = int(RESERVATION_STATE_UNSPECIFIED)  # the state before the first
HELD: Final = int(RESERVATION_STATE_HELD)
CONFIRMED: Final = int(RESERVATION_STATE_CONFIRMED)
RELEASED: Final = int(RESERVATION_STATE_RELEASED)
EXPIRED: Final = int(RESERVATION_STATE_EXPIRED)
COMPENSATED: Final = int(RESERVATION_STATE_COMPENSATED)
RETURNED: Final = int(RESERVATION_STATE_RETURNED)

# Where the units of a reservation lie, by its state: a move carries them from one account of the item to another.
ACCOUNT: Final = {
    UNMADE: "available",
    HELD: "held",
    CONFIRMED: "sold",
    RELEASED: "available",
    EXPIRED: "available",
    COMPENSATED: "available",
    RETURNED: "available",
}

REPLAYED: Final = -1  # not a state: it stands so already
_CONFIRM: Final = {HELD: CONFIRMED, CONFIRMED: REPLAYED}
_GIVE_BACK: Final = {HELD: RELEASED, RELEASED: REPLAYED, EXPIRED: REPLAYED, COMPENSATED: REPLAYED, RETURNED: REPLAYED}


def is_overdue(reservation: Reservation, now_ms: int) -> bool:
    """Tell whether a hold's end has come; it stands strictly before that moment."""
    return reservation.state == HELD and now_ms >= reservation.expire_time_ms


def ledger_state(state: int, epoch: int, seq: int, settled: tuple[int, int]) -> int:
    """Say what the ledger has said of a change; Redis knows of a refusal only once the units are back."""
    if state == COMPENSATED:
        return LEDGER_STATE_REFUSED
    return LEDGER_STATE_RECORDED if (epoch, seq) <= settled else LEDGER_STATE_PENDING


def as_seen(reservation: Reservation, now_ms: int, settled: tuple[int, int]) -> Reservation:
    """A reservation as everyone sees it now: an overdue hold is EXPIRED, swept or not."""
    state = EXPIRED if is_overdue(reservation, now_ms) else reservation.state
    position = reservation.position
    return reservation._replace(state=state, ledger_state=ledger_state(state, position.epoch, position.seq, settled))


def sale_state(start_ms: int, end_ms: int | None, paused: bool, closed: bool, now_ms: int) -> int:
    """What a sale does at a moment; the first that applies."""
    if closed:
        return SALE_STATE_CLOSED
    if end_ms is not None and now_ms >= end_ms:
        return SALE_STATE_ENDED
    if now_ms < start_ms:
        return SALE_STATE_SCHEDULED
    return SALE_STATE_PAUSED if paused else SALE_STATE_OPEN


def settling(request: Confirm | Release, state: int) -> int | None:
    """What a move on a reservation in `state` comes to: a new state, REPLAYED, or None: there is no such move."""
    return (_CONFIRM if isinstance(request, Confirm) else _GIVE_BACK).get(state)


def settle_late(request: Confirm | Release, found: Reservation, read_time_ms: int) -> Granted | Failure | None:
    """What a move comes to on a reservation that left Redis and was read from the ledger.

    It left because it is final, so nothing can move. None says that it has not left: it is held, made after Redis was
    asked, and Redis must be asked again.
    """
    outcome = settling(request, found.state)
    if outcome is None:
        return wrong_state(found)
    return Granted(found, replayed=True, read_time_ms=read_time_ms) if outcome == REPLAYED else None


def wrong_state(reservation: Reservation) -> Failure:
    """Refuse a move that the table of moves does not have."""
    state = ReservationState.Name(ReservationState.ValueType(reservation.state))
    return Failure(ERROR_REASON_WRONG_RESERVATION_STATE, {"state": state}, reservation)


def reservation_not_found(sale: SaleKey, reservation_id: str) -> Failure:
    """Refuse a move of what is not there."""
    return Failure(ERROR_REASON_RESERVATION_NOT_FOUND, {"sale_id": sale.sale_id, "reservation_id": reservation_id})
