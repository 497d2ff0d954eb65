"""Turns the status of a failed call into its typed error: by its reason or, if that is unknown, by its code."""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import TypeVar

import grpc
from google.protobuf.message import DecodeError, Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

from holdfast import errors
from holdfast.inventory.v1.error_reason_pb2 import ErrorReason
from holdfast.inventory.v1.reservation_pb2 import Reservation

Detail = TypeVar("Detail", bound=Message)

DOMAIN = "holdfast.inventory"
STATUS_DETAILS = "grpc-status-details-bin"  # the trailer in which gRPC carries a google.rpc.Status

BY_REASON: Mapping[int, type[errors.HoldfastError]] = {
    ErrorReason.ERROR_REASON_FIELD_OUT_OF_BOUNDS: errors.InvalidRequest,
    ErrorReason.ERROR_REASON_UNREADABLE: errors.InvalidRequest,
    ErrorReason.ERROR_REASON_UNKNOWN_FIELD: errors.InvalidRequest,
    ErrorReason.ERROR_REASON_NOT_BUILT: errors.NotBuilt,
    ErrorReason.ERROR_REASON_SALE_NOT_FOUND: errors.SaleNotFound,
    ErrorReason.ERROR_REASON_ITEM_NOT_FOUND: errors.ItemNotFound,
    ErrorReason.ERROR_REASON_RESERVATION_NOT_FOUND: errors.ReservationNotFound,
    ErrorReason.ERROR_REASON_DEAD_LETTER_NOT_FOUND: errors.DeadLetterNotFound,
    ErrorReason.ERROR_REASON_RESERVATION_ID_REUSED: errors.ReservationIdReused,
    ErrorReason.ERROR_REASON_SALE_ID_REUSED: errors.SaleIdReused,
    ErrorReason.ERROR_REASON_ADJUSTMENT_ID_REUSED: errors.AdjustmentIdReused,
    ErrorReason.ERROR_REASON_WRONG_RESERVATION_STATE: errors.WrongReservationState,
    ErrorReason.ERROR_REASON_CONFIRMED_OTHERWISE: errors.ConfirmedOtherwise,
    ErrorReason.ERROR_REASON_MORE_THAN_HELD: errors.MoreThanHeld,
    ErrorReason.ERROR_REASON_MORE_THAN_SOLD: errors.MoreThanSold,
    ErrorReason.ERROR_REASON_SALE_WITHOUT_HOLDS: errors.SaleWithoutHolds,
    ErrorReason.ERROR_REASON_WRONG_SALE_STATE: errors.WrongSaleState,
    ErrorReason.ERROR_REASON_STOCK_IN_USE: errors.StockInUse,
    ErrorReason.ERROR_REASON_WRONG_DEAD_LETTER_STATE: errors.WrongDeadLetterState,
    ErrorReason.ERROR_REASON_ETAG_MISMATCH: errors.EtagMismatch,
    ErrorReason.ERROR_REASON_TOTAL_MISMATCH: errors.TotalMismatch,
    ErrorReason.ERROR_REASON_REVISION_MISMATCH: errors.RevisionMismatch,
    ErrorReason.ERROR_REASON_TOKEN_INVALID: errors.TokenInvalid,
    ErrorReason.ERROR_REASON_TOKEN_REVOKED: errors.TokenRevoked,
    ErrorReason.ERROR_REASON_SCOPE_MISSING: errors.ScopeMissing,
    ErrorReason.ERROR_REASON_THROTTLED: errors.Throttled,
    ErrorReason.ERROR_REASON_OVERLOADED: errors.Overloaded,
    ErrorReason.ERROR_REASON_STORE_UNREACHABLE: errors.StoreUnreachable,
    ErrorReason.ERROR_REASON_SHARD_NOT_SERVING: errors.ShardNotServing,
    ErrorReason.ERROR_REASON_LEDGER_BEHIND: errors.LedgerBehind,
    ErrorReason.ERROR_REASON_LEDGER_UNREACHABLE: errors.LedgerUnreachable,
    ErrorReason.ERROR_REASON_OUTCOME_UNKNOWN: errors.OutcomeUnknown,
    ErrorReason.ERROR_REASON_SERVER_DRAINING: errors.ServerDraining,
    ErrorReason.ERROR_REASON_DEADLINE_TOO_SHORT: errors.DeadlineTooShort,
}

# For a reason that this version of the client does not know.
BY_CODE: Mapping[grpc.StatusCode, type[errors.HoldfastError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: errors.InvalidRequest,
    grpc.StatusCode.UNIMPLEMENTED: errors.NotBuilt,
    grpc.StatusCode.NOT_FOUND: errors.NotFound,
    grpc.StatusCode.ALREADY_EXISTS: errors.IdReused,
    grpc.StatusCode.FAILED_PRECONDITION: errors.WrongState,
    grpc.StatusCode.ABORTED: errors.Outdated,
    grpc.StatusCode.UNAUTHENTICATED: errors.NotAllowed,
    grpc.StatusCode.PERMISSION_DENIED: errors.NotAllowed,
    grpc.StatusCode.RESOURCE_EXHAUSTED: errors.TryLater,
    grpc.StatusCode.UNAVAILABLE: errors.TryLater,
    grpc.StatusCode.DEADLINE_EXCEEDED: errors.TryLater,
}

# The codes with which gRPC itself, or a proxy, says that the call was not begun. After any other code without a reason
# the outcome is unknown. RESOURCE_EXHAUSTED means that a message is too large, which no repeat changes.
NOT_BEGUN: Mapping[grpc.StatusCode, type[errors.HoldfastError]] = {
    grpc.StatusCode.UNIMPLEMENTED: errors.NotBuilt,
    grpc.StatusCode.RESOURCE_EXHAUSTED: errors.HoldfastError,
    grpc.StatusCode.UNAUTHENTICATED: errors.NotAllowed,
    grpc.StatusCode.PERMISSION_DENIED: errors.NotAllowed,
}
IDS = ("sale_id", "reservation_id", "buyer_id", "sku", "adjustment_id", "dead_letter_id")
CODES: Mapping[int, grpc.StatusCode] = {code.value[0]: code for code in grpc.StatusCode}


def error_from_rpc(failure: grpc.aio.AioRpcError, request: Message) -> errors.HoldfastError:
    """The typed error of a failed call."""
    return _error(failure.code(), failure.details() or "", _status_of(failure.trailing_metadata()), request)


def error_from_status(status: Status, request: Message) -> errors.HoldfastError:
    """The typed error of one of many requests of a call, which failed with this status."""
    return _error(CODES.get(status.code, grpc.StatusCode.UNKNOWN), status.message, status, request)


def ids_of(request: Message) -> Mapping[str, str]:
    """The ids that a request names, by field."""
    named: Message = getattr(request, "sale", request)  # a request about the settings of a sale has them in this field
    return {field: value for field in IDS if (value := getattr(named, field, ""))}


def _error(code: grpc.StatusCode, message: str, status: Status, request: Message) -> errors.HoldfastError:
    details = _details_of(status, ids_of(request))
    return _class_of(code, details.reason)(code, message, details)


def _class_of(code: grpc.StatusCode, reason: str) -> type[errors.HoldfastError]:
    """The class of a reason; of the code if the reason is unknown; without a reason, of what gRPC means by the code."""
    if not reason:
        return NOT_BEGUN.get(code, errors.NoAnswer)
    number = dict(ErrorReason.items()).get(reason, ErrorReason.ERROR_REASON_UNSPECIFIED)
    return BY_REASON.get(number) or BY_CODE.get(code, errors.HoldfastError)


def _status_of(trailers: Iterable[tuple[str, str | bytes]] | None) -> Status:
    """The details of a status; none if it has none that can be read, as a proxy's may have."""
    for key, value in trailers or ():
        if key == STATUS_DETAILS and isinstance(value, bytes):
            with suppress(DecodeError):
                return Status.FromString(value)
    return Status()


def _details_of(status: Status, ids: Mapping[str, str]) -> errors.Details:
    info = _detail(status, ErrorInfo) or ErrorInfo()
    retry = _detail(status, RetryInfo)
    request = _detail(status, BadRequest) or BadRequest()
    is_holdfast = info.domain == DOMAIN
    return errors.Details(
        reason=info.reason if is_holdfast else "",
        metadata=dict(info.metadata) if is_holdfast else {},
        retry_after_s=retry.retry_delay.ToTimedelta().total_seconds() if retry else None,
        reservation=_detail(status, Reservation),
        violations={violation.field: violation.description for violation in request.field_violations},
        ids=ids,
    )


def _detail(status: Status, kind: type[Detail]) -> Detail | None:
    """The first detail of one kind."""
    for packed in status.details:
        detail = kind()
        with suppress(DecodeError):
            if packed.Unpack(detail):
                return detail
    return None
