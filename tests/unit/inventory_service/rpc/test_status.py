"""From failures to statuses: one row a reason, and no status too large for its trailers."""

import grpc
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from holdfast.inventory.v1 import error_reason_pb2 as reasons
from holdfast.inventory.v1.error_reason_pb2 import ErrorReason
from holdfast.inventory.v1.reservation_pb2 import Reservation as ReservationProto

from inventory_service.domain.keys import Position, SaleKey
from inventory_service.domain.reservation import Reservation, Units
from inventory_service.domain.results import Failure
from inventory_service.rpc.status import CallFailed, Violation, row_of, status_of
from tests.error_reasons import documented

EVERY_REASON = [value for value in ErrorReason.values() if value != reasons.ERROR_REASON_UNSPECIFIED]
RETRYABLE_CODES = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED)
TRAILERS = 8192


def details(failed: CallFailed) -> dict[str, Message]:
    """The details of a status by the name of their type."""
    ((key, raw),) = status_of(failed).trailers
    assert key == "grpc-status-details-bin"
    kinds: list[type[Message]] = [
        error_details_pb2.ErrorInfo,
        error_details_pb2.BadRequest,
        error_details_pb2.RetryInfo,
        ReservationProto,
    ]
    found: dict[str, Message] = {}
    for packed in status_pb2.Status.FromString(raw).details:
        for kind in kinds:
            message = kind()
            if packed.Unpack(message):
                found[kind.__name__] = message
    return found


def reservation(**changed: object) -> Reservation:
    position = Position(3, 1, 7, 0)
    example = Reservation(
        SaleKey("default", "lamp-sale"),
        "r-1",
        "b-1",
        (Units("lamp", 1, 0, 0),),
        3,
        2,
        1000,
        2000,
        3000,
        position,
        position,
        1,
        0,
        "",
    )
    return example._replace(**changed)  # type: ignore[arg-type]


def test_every_reason_has_a_row_and_is_in_its_status() -> None:
    """A client takes a status without ErrorInfo for gRPC's own, so that the outcome is unknown."""
    for reason in EVERY_REASON:
        ending = status_of(CallFailed(Failure(reason, {"sale_id": "s"})))
        info = details(CallFailed(Failure(reason, {"sale_id": "s"})))["ErrorInfo"]

        assert ending.code is row_of(reason).code
        assert ending.sentence.endswith(".")
        assert info == error_details_pb2.ErrorInfo(
            reason=ErrorReason.Name(reason), domain="holdfast.inventory", metadata={"sale_id": "s"}
        )


def test_a_status_is_as_the_protos_say() -> None:
    """Callers know a reason by the comment of its value: its code, and whether RetryInfo comes with it."""
    rows = {ErrorReason.Name(reason).removeprefix("ERROR_REASON_"): row_of(reason) for reason in EVERY_REASON}

    assert {name: (row.code, row.retry_ms is not None) for name, row in rows.items()} == documented()


def test_a_status_has_retry_info_exactly_where_a_repeat_may_succeed() -> None:
    """A repeat of an invalid request only costs time."""
    with_info = {reason for reason in EVERY_REASON if "RetryInfo" in details(CallFailed(Failure(reason)))}

    assert with_info == {reason for reason in EVERY_REASON if row_of(reason).code in RETRYABLE_CODES}


def test_twenty_violations_are_named_and_all_are_counted() -> None:
    """A status above 8 KiB of trailers reaches the client as another one."""
    violations = [Violation(f"sale.items[{n}].sku", "x" * 90) for n in range(1500)]

    failed = CallFailed(Failure(reasons.ERROR_REASON_FIELD_OUT_OF_BOUNDS), violations)

    assert len(details(failed)["BadRequest"].field_violations) == 20  # type: ignore[attr-defined]
    assert details(failed)["ErrorInfo"].metadata["violations"] == "1500"  # type: ignore[attr-defined]
    assert len(status_of(failed).trailers[0][1]) * 4 / 3 < TRAILERS


def test_a_wrong_state_carries_the_reservation_as_it_stands() -> None:
    """The caller need not read the reservation first."""
    failed = CallFailed(Failure(reasons.ERROR_REASON_WRONG_RESERVATION_STATE, reservation=reservation()))

    assert details(failed)["Reservation"].reservation_id == "r-1"  # type: ignore[attr-defined]
    assert details(failed)["ErrorInfo"].metadata["state"] == "RESERVATION_STATE_RELEASED"  # type: ignore[attr-defined]


def test_the_largest_reservation_and_the_longest_reason_fit_the_trailers() -> None:
    """Twenty lines, the longest ids and a note of 256 wide characters."""
    lines = tuple(Units(f"{n:064}", 1000, 1000, 1000) for n in range(20))
    large = reservation(lines=lines, note="🛒" * 256, reservation_id="r" * 64, buyer_id="b" * 64)
    refusal = Failure(reasons.ERROR_REASON_WRONG_RESERVATION_STATE, {"frozen_reason": "x" * 5000}, large)

    assert len(status_of(CallFailed(refusal)).trailers[0][1]) * 4 / 3 < TRAILERS


def test_a_clock_that_is_ahead_is_named_in_the_message() -> None:
    """A comparison with the ledger, of which the usual sentence speaks, would not end it."""
    clock = "Redis' clock is 3600.0 s ahead of this process'"

    arguments = status_of(CallFailed(Failure(reasons.ERROR_REASON_SHARD_NOT_SERVING, {"clock": clock})))

    assert arguments.sentence == f"The sale's shard does not serve, for {clock}. Nothing was done."
    assert status_pb2.Status.FromString(arguments.trailers[0][1]).message == arguments.sentence
