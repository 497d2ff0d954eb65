"""Results that several calls share: a Failure says why a request could not be judged, all others are answers."""

from typing import NamedTuple

from holdfast.inventory.v1.error_reason_pb2 import (
    ERROR_REASON_FIELD_OUT_OF_BOUNDS,
    ERROR_REASON_ITEM_NOT_FOUND,
    ERROR_REASON_RESERVATION_ID_REUSED,
    ERROR_REASON_RESERVATION_NOT_FOUND,
    ERROR_REASON_REVISION_MISMATCH,
    ERROR_REASON_SALE_NOT_FOUND,
    ERROR_REASON_WRONG_RESERVATION_STATE,
    ERROR_REASON_WRONG_SALE_STATE,
)
from holdfast.inventory.v1.reservation_pb2 import ReservationState
from holdfast.inventory.v1.sale_pb2 import SaleState

from inventory_service.domain.keys import Position, SaleKey
from inventory_service.domain.reservation import Reservation
from inventory_service.domain.shards import CommitId


class Failure(NamedTuple):
    """The request could not be judged; nothing was done, unless the reason is OUTCOME_UNKNOWN."""

    reason: int  # an ErrorReason
    metadata: dict[str, str] = {}  # noqa: RUF012  (never mutated)
    reservation: Reservation | None = None  # for FAILED_PRECONDITION, and ABORTED for its revision
    head: CommitId | None = None  # for RESERVATION_NOT_FOUND of a move: the shard's last commit before the call


class Granted(NamedTuple):
    """The request was met, now or by the call that it repeats."""

    reservation: Reservation
    replayed: bool
    read_time_ms: int


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
    limited_sku: str = ""  # for ITEM_LIMIT
    replayed: bool = False  # for RESERVATION_ENDED, unless the id was spent


class ReservationRead(NamedTuple):
    """A reservation, read."""

    reservation: Reservation
    read_time_ms: int
    is_overdue: bool = False  # its hold has ended or was released, and was not taken back yet


def sale_not_found(sale: SaleKey) -> Failure:
    """The request names a sale that is not there."""
    return Failure(ERROR_REASON_SALE_NOT_FOUND, {"sale_id": sale.sale_id})


def item_not_found(sale: SaleKey, sku: str) -> Failure:
    """The request names an item that its sale does not have."""
    return Failure(ERROR_REASON_ITEM_NOT_FOUND, {"sale_id": sale.sale_id, "sku": sku})


def reservation_not_found(sale: SaleKey, reservation_id: str, head: CommitId | None = None) -> Failure:
    """The request names a reservation that is not there."""
    names = {"sale_id": sale.sale_id, "reservation_id": reservation_id}
    return Failure(ERROR_REASON_RESERVATION_NOT_FOUND, names, head=head)


def reservation_id_reused(sale: SaleKey, reservation_id: str) -> Failure:
    """The id was used with another body."""
    return Failure(ERROR_REASON_RESERVATION_ID_REUSED, {"sale_id": sale.sale_id, "reservation_id": reservation_id})


def wrong_sale_state(state: int) -> Failure:
    """A sale in this state does not allow the request."""
    return Failure(ERROR_REASON_WRONG_SALE_STATE, {"state": SaleState.Name(SaleState.ValueType(state))})


def field_out_of_bounds(field: str) -> Failure:
    """Only the shard could judge this field of the request."""
    return Failure(ERROR_REASON_FIELD_OUT_OF_BOUNDS, {"field": field})


def wrong_state(reservation: Reservation) -> Failure:
    """The table of moves has no such move from the reservation's state."""
    state = ReservationState.Name(ReservationState.ValueType(reservation.state))
    return Failure(ERROR_REASON_WRONG_RESERVATION_STATE, {"state": state}, reservation)


def revision_mismatch(reservation: Reservation) -> Failure:
    """The reservation has another revision than the caller expects."""
    return Failure(ERROR_REASON_REVISION_MISMATCH, {"revision": str(reservation.revision)}, reservation)
