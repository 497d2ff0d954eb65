"""The messages and enums that the client returns and takes, in one place, and what a response means in one word."""

from holdfast.calls.sales import SaleSettings
from holdfast.inventory.v1.error_reason_pb2 import ErrorReason
from holdfast.inventory.v1.inventory_admin_service_pb2 import (
    AdjustStockResponse,
    AuditDifference,
    AuditSaleResponse,
    BlockBuyerResponse,
    BlockedBuyer,
    CloseSaleResponse,
    CreateSaleResponse,
    DeadLetter,
    DeadLetterState,
    ListAdjustmentsResponse,
    ListBlockedBuyersResponse,
    ListDeadLettersResponse,
    ListSalesResponse,
    PauseSaleResponse,
    ReplayDeadLetterResponse,
    ResumeSaleResponse,
    RevokeTokensResponse,
    UnblockBuyerResponse,
    UpdateSaleResponse,
)
from holdfast.inventory.v1.inventory_service_pb2 import (
    ChangeReservationResponse,
    ConfirmReservationResponse,
    ExtendReservationResponse,
    GetReservationResponse,
    GetSaleResponse,
    ListReservationsResponse,
    ReleaseReservationResponse,
    ReserveRequest,
    ReserveResponse,
    ReturnReservationResponse,
    WatchReservationResponse,
    WatchSaleResponse,
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
from holdfast.requests import reserve_request

__all__ = [
    "AdjustStockResponse",
    "Adjustment",
    "AuditDifference",
    "AuditSaleResponse",
    "BlockBuyerResponse",
    "BlockedBuyer",
    "ChangeReservationResponse",
    "CloseSaleResponse",
    "CompensationReason",
    "ConfirmReservationResponse",
    "CreateSaleResponse",
    "DeadLetter",
    "DeadLetterState",
    "ErrorReason",
    "ExtendReservationResponse",
    "GetReservationResponse",
    "GetSaleResponse",
    "Item",
    "LedgerState",
    "Line",
    "ListAdjustmentsResponse",
    "ListBlockedBuyersResponse",
    "ListDeadLettersResponse",
    "ListReservationsResponse",
    "ListSalesResponse",
    "PauseSaleResponse",
    "Position",
    "Rejection",
    "RejectionReason",
    "ReleaseReservationResponse",
    "ReplayDeadLetterResponse",
    "Reservation",
    "ReservationLine",
    "ReservationState",
    "ReserveRequest",
    "ReserveResponse",
    "ResumeSaleResponse",
    "ReturnReservationResponse",
    "RevokeTokensResponse",
    "Sale",
    "SaleSettings",
    "SaleState",
    "Shortage",
    "UnblockBuyerResponse",
    "UpdateSaleResponse",
    "WatchReservationResponse",
    "WatchSaleResponse",
    "held",
    "reserve_request",
]

_CLAIMS = (ReservationState.RESERVATION_STATE_HELD, ReservationState.RESERVATION_STATE_CONFIRMED)


def held(response: ReserveResponse) -> Reservation | None:
    """The reservation, if the buyer has its units now: held or sold. A state that this client does not know is none."""
    reservation = response.reservation
    return reservation if response.HasField("reservation") and reservation.state in _CLAIMS else None
