"""The messages and enums that the client returns and takes, in one place, and what a response means in one word."""

from holdfast.inventory.v1.error_reason_pb2 import ErrorReason
from holdfast.inventory.v1.inventory_admin_service_pb2 import (
    AdjustStockResponse,
    BlockBuyerResponse,
    CloseSaleResponse,
    CreateSaleResponse,
    PauseSaleResponse,
    ResumeSaleResponse,
    UnblockBuyerResponse,
    UpdateSaleResponse,
)
from holdfast.inventory.v1.inventory_service_pb2 import (
    ChangeReservationResponse,
    ConfirmReservationResponse,
    ExtendReservationResponse,
    GetReservationResponse,
    GetSaleResponse,
    ReleaseReservationResponse,
    ReserveResponse,
    ReturnReservationResponse,
)
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
from holdfast.sale_calls import SaleSettings

__all__ = [
    "AdjustStockResponse",
    "Adjustment",
    "BlockBuyerResponse",
    "ChangeReservationResponse",
    "CloseSaleResponse",
    "CompensationReason",
    "ConfirmReservationResponse",
    "CreateSaleResponse",
    "ErrorReason",
    "ExtendReservationResponse",
    "GetReservationResponse",
    "GetSaleResponse",
    "Item",
    "LedgerState",
    "Line",
    "PauseSaleResponse",
    "Position",
    "Rejection",
    "RejectionReason",
    "ReleaseReservationResponse",
    "Reservation",
    "ReservationLine",
    "ReservationState",
    "ReserveResponse",
    "ResumeSaleResponse",
    "ReturnReservationResponse",
    "Sale",
    "SaleSettings",
    "SaleState",
    "Shortage",
    "UnblockBuyerResponse",
    "UpdateSaleResponse",
    "held",
]

_CLAIMS = (ReservationState.RESERVATION_STATE_HELD, ReservationState.RESERVATION_STATE_CONFIRMED)


def held(response: ReserveResponse) -> Reservation | None:
    """The reservation, if the buyer has its units now: held or sold. A state that this client does not know is none."""
    reservation = response.reservation
    return reservation if response.HasField("reservation") and reservation.state in _CLAIMS else None
