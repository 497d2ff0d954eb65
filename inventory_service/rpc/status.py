"""One table: from the reason why a request could not be judged to the gRPC status that its caller gets."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypeVar

import grpc
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from holdfast.inventory.v1 import error_reason_pb2 as reasons
from holdfast.inventory.v1.error_reason_pb2 import ErrorReason
from holdfast.inventory.v1.reservation_pb2 import ReservationState

from inventory_service.domain.keys import SaleKey
from inventory_service.domain.results import Failure
from inventory_service.rpc.messages import reservation_to_proto

DOMAIN = "holdfast.inventory"
MAX_VIOLATIONS = 20  # a status must fit into 8 KiB of trailers
MAX_VALUE_LENGTH = 500  # for the same reason

T = TypeVar("T")


class Violation(NamedTuple):
    """A field out of bounds: its path, and what is valid."""

    field: str
    description: str


class CallFailed(Exception):
    """Ends a call that could not be judged; the middleware turns it into a status."""

    def __init__(self, failure: Failure, violations: Sequence[Violation] = (), retry_ms: int | None = None) -> None:
        """`retry_ms` takes the place of the reason's own, if that has one."""
        super().__init__(ErrorReason.Name(failure.reason))
        self.failure = failure
        self.violations = violations
        own_ms = row_of(failure.reason).retry_ms
        self.retry_ms = own_ms if own_ms is None or retry_ms is None else retry_ms

    @property
    def code(self) -> grpc.StatusCode:
        return _TABLE[self.failure.reason].code


def value_or_fail(result: T | Failure, sale: SaleKey, reservation_id: str = "") -> T:
    """The result, unless it is a failure: that ends the call, and names what the call was about."""
    if isinstance(result, Failure):
        raise failed(result, sale, reservation_id)
    return result


def failed(failure: Failure, sale: SaleKey, reservation_id: str = "") -> CallFailed:
    """What ends a call on a sale, or on a reservation of it."""
    about = {"sale_id": sale.sale_id}
    if reservation_id:
        about["reservation_id"] = reservation_id
    return CallFailed(failure._replace(metadata={**about, **failure.metadata}))


class Row(NamedTuple):
    """The status of one reason; `retry_ms` is set where a later attempt may succeed."""

    code: grpc.StatusCode
    sentence: str
    retry_ms: int | None = None


_C = grpc.StatusCode
_TABLE: Mapping[int, Row] = {
    reasons.ERROR_REASON_FIELD_OUT_OF_BOUNDS: Row(
        _C.INVALID_ARGUMENT, "Fields are out of bounds; the details name them."
    ),
    reasons.ERROR_REASON_UNREADABLE: Row(_C.INVALID_ARGUMENT, "These bytes are no message of this call's type."),
    reasons.ERROR_REASON_UNKNOWN_FIELD: Row(
        _C.INVALID_ARGUMENT, "The request has a field that this server does not know and would ignore."
    ),
    reasons.ERROR_REASON_NOT_BUILT: Row(_C.UNIMPLEMENTED, "This server does not support the call or field yet."),
    reasons.ERROR_REASON_SALE_NOT_FOUND: Row(_C.NOT_FOUND, "There is no such sale."),
    reasons.ERROR_REASON_ITEM_NOT_FOUND: Row(_C.NOT_FOUND, "The sale has no such item."),
    reasons.ERROR_REASON_RESERVATION_NOT_FOUND: Row(_C.NOT_FOUND, "There is no such reservation."),
    reasons.ERROR_REASON_DEAD_LETTER_NOT_FOUND: Row(_C.NOT_FOUND, "There is no such dead letter."),
    reasons.ERROR_REASON_RESERVATION_ID_REUSED: Row(
        _C.ALREADY_EXISTS, "The reservation id was used with another body; choose a new one for a new claim."
    ),
    reasons.ERROR_REASON_SALE_ID_REUSED: Row(
        _C.ALREADY_EXISTS, "The sale id was used with another body or by an archived sale; choose a new one."
    ),
    reasons.ERROR_REASON_ADJUSTMENT_ID_REUSED: Row(
        _C.ALREADY_EXISTS, "The adjustment id was used with another body; choose a new one."
    ),
    reasons.ERROR_REASON_WRONG_RESERVATION_STATE: Row(
        _C.FAILED_PRECONDITION, "The reservation is in a state from which this cannot be done."
    ),
    reasons.ERROR_REASON_CONFIRMED_OTHERWISE: Row(_C.FAILED_PRECONDITION, "It was confirmed before with other lines."),
    reasons.ERROR_REASON_MORE_THAN_HELD: Row(_C.FAILED_PRECONDITION, "That is more than is held."),
    reasons.ERROR_REASON_MORE_THAN_SOLD: Row(_C.FAILED_PRECONDITION, "That is more than was sold."),
    reasons.ERROR_REASON_SALE_WITHOUT_HOLDS: Row(
        _C.FAILED_PRECONDITION, "The sale has no holds: every Reserve is a purchase, so hold_ttl must be unset."
    ),
    reasons.ERROR_REASON_WRONG_SALE_STATE: Row(
        _C.FAILED_PRECONDITION, "The sale is in a state from which this cannot be done."
    ),
    reasons.ERROR_REASON_STOCK_IN_USE: Row(_C.FAILED_PRECONDITION, "The total would fall below what is held and sold."),
    reasons.ERROR_REASON_WRONG_DEAD_LETTER_STATE: Row(
        _C.FAILED_PRECONDITION, "The dead letter is not settled, or its order was ended by its caller."
    ),
    reasons.ERROR_REASON_ETAG_MISMATCH: Row(_C.ABORTED, "The sale has changed since it was read; read it again."),
    reasons.ERROR_REASON_TOTAL_MISMATCH: Row(_C.ABORTED, "The total is another than the one expected."),
    reasons.ERROR_REASON_REVISION_MISMATCH: Row(
        _C.ABORTED, "The reservation has changed since it was read; the details have it as it stands."
    ),
    reasons.ERROR_REASON_TOKEN_INVALID: Row(
        _C.UNAUTHENTICATED, "Neither a valid token nor a client certificate says who calls."
    ),
    reasons.ERROR_REASON_TOKEN_REVOKED: Row(_C.UNAUTHENTICATED, "The token was revoked."),
    reasons.ERROR_REASON_SCOPE_MISSING: Row(_C.PERMISSION_DENIED, "The token lacks a scope or the tenant."),
    reasons.ERROR_REASON_THROTTLED: Row(
        _C.RESOURCE_EXHAUSTED, "Too many calls of this caller. Nothing was done.", 1000
    ),
    reasons.ERROR_REASON_OVERLOADED: Row(_C.RESOURCE_EXHAUSTED, "Too many calls are waiting. Nothing was done.", 200),
    reasons.ERROR_REASON_STORE_UNREACHABLE: Row(_C.UNAVAILABLE, "The store cannot be reached. Nothing was done.", 500),
    reasons.ERROR_REASON_SHARD_NOT_SERVING: Row(
        _C.UNAVAILABLE, "The sale's shard must be compared with the ledger before it serves. Nothing was done.", 500
    ),
    reasons.ERROR_REASON_LEDGER_BEHIND: Row(
        _C.UNAVAILABLE, "The ledger is behind, or Redis is full: not now. Nothing was done.", 5000
    ),
    reasons.ERROR_REASON_LEDGER_UNREACHABLE: Row(
        _C.UNAVAILABLE, "Only the ledger could answer, and it cannot be reached.", 1000
    ),
    reasons.ERROR_REASON_OUTCOME_UNKNOWN: Row(
        _C.UNAVAILABLE, "It may have been done. Repeat with the same id to learn what became of it.", 100
    ),
    reasons.ERROR_REASON_SERVER_DRAINING: Row(_C.UNAVAILABLE, "This server is stopping. Nothing was done.", 100),
    reasons.ERROR_REASON_DEADLINE_TOO_SHORT: Row(
        _C.DEADLINE_EXCEEDED, "Too little time was left to start. Nothing was done."
    ),
}


def row_of(reason: int) -> Row:
    """The status of a reason."""
    return _TABLE[reason]


_CLOCK = "The sale's shard does not serve, for {clock}. Nothing was done."


class AbortArguments(NamedTuple):
    """The arguments of gRPC's `abort`."""

    code: grpc.StatusCode
    sentence: str
    trailers: tuple[tuple[str, bytes], ...]


def status_of(failed: CallFailed) -> AbortArguments:
    """The rich status: a code, a sentence, and the details in the trailer that client libraries read."""
    status = status_message(failed)
    return AbortArguments(failed.code, status.message, (("grpc-status-details-bin", status.SerializeToString()),))


def status_message(failed: CallFailed) -> status_pb2.Status:
    """The same as a message, for one of many requests."""
    row = _TABLE[failed.failure.reason]
    sentence = _CLOCK.format(**failed.failure.metadata) if "clock" in failed.failure.metadata else row.sentence
    status = status_pb2.Status(code=row.code.value[0], message=sentence)
    for detail in _details(failed):
        status.details.add().Pack(detail)
    return status


def _details(failed: CallFailed) -> list[Message]:
    failure, violations = failed.failure, failed.violations
    details: list[Message] = [_error_info(failure, len(violations))]
    if violations:
        details.append(_bad_request(violations))
    if failed.retry_ms is not None:
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromMilliseconds(failed.retry_ms)
        details.append(retry)
    if failure.reservation is not None:
        details.append(reservation_to_proto(failure.reservation))
    return details


def _error_info(failure: Failure, violations: int) -> error_details_pb2.ErrorInfo:
    metadata = {key: value[:MAX_VALUE_LENGTH] for key, value in failure.metadata.items()}
    if violations:
        metadata["violations"] = str(violations)
    if failure.reservation is not None:
        metadata["state"] = ReservationState.Name(failure.reservation.state)
    reason = ErrorReason.Name(failure.reason)
    return error_details_pb2.ErrorInfo(reason=reason, domain=DOMAIN, metadata=metadata)


def _bad_request(violations: Sequence[Violation]) -> error_details_pb2.BadRequest:
    bad_request = error_details_pb2.BadRequest()
    for violation in violations[:MAX_VIOLATIONS]:
        bad_request.field_violations.add(field=violation.field, description=violation.description)
    return bad_request
