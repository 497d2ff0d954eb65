"""The messages and enums that the client returns and takes, in one place, and what a response means in one word."""

from holdfast.inventory.v1.error_reason_pb2 import ErrorReason
from holdfast.inventory.v1.inventory_service_pb2 import ReserveResponse
from holdfast.inventory.v1.reservation_pb2 import (
    CompensationReason,
    LedgerState,
    Line,
    Position,
    Rejection,
    RejectionReason,
    Reservation,
    ReservationLine,
    ReservationState,
    Shortage,
)
from holdfast.inventory.v1.sale_pb2 import Adjustment, Item, Sale, SaleState

__all__ = [
    "Adjustment",
    "CompensationReason",
    "ErrorReason",
    "Item",
    "LedgerState",
    "Line",
    "Position",
    "Rejection",
    "RejectionReason",
    "Reservation",
    "ReservationLine",
    "ReservationState",
    "Sale",
    "SaleState",
    "Shortage",
    "held",
]

_CLAIMS = (ReservationState.RESERVATION_STATE_HELD, ReservationState.RESERVATION_STATE_CONFIRMED)


def held(response: ReserveResponse) -> Reservation | None:
    """The reservation, if the buyer has its units now: held or sold. A state that this client does not know is none."""
    reservation = response.reservation
    return reservation if response.HasField("reservation") and reservation.state in _CLAIMS else None
