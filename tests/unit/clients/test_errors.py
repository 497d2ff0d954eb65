"""The errors of failed calls: what they say, and that they can be handed to another process."""

import copy
import pickle
from collections.abc import Callable

import grpc
import pytest
from google.protobuf.any_pb2 import Any
from google.rpc.status_pb2 import Status
from grpc.aio import AioRpcError, Metadata
from holdfast import errors
from holdfast.inventory.v1.error_reason_pb2 import ErrorReason
from holdfast.inventory.v1.inventory_service_pb2 import ReserveRequest
from holdfast.inventory.v1.reservation_pb2 import Reservation, ReservationState
from holdfast.statuses import BY_REASON, error_from_rpc

EXPIRED = Reservation(reservation_id="r-1", state=ReservationState.RESERVATION_STATE_EXPIRED)
WRONG_STATE = errors.WrongReservationState(
    grpc.StatusCode.FAILED_PRECONDITION,
    "It cannot be done now.",
    errors.Details(
        reason="ERROR_REASON_WRONG_RESERVATION_STATE",
        metadata={"sale_id": "lamps", "state": "RESERVATION_STATE_EXPIRED"},
        reservation=EXPIRED,
        ids={"sale_id": "lamps", "reservation_id": "r-1"},
    ),
)


def test_every_reason_has_a_class_of_its_kind() -> None:
    """A reason that is added to the proto is added here."""
    reasons = set(ErrorReason.values()) - {ErrorReason.ERROR_REASON_UNSPECIFIED}

    assert set(BY_REASON) == reasons


@pytest.mark.parametrize("again", [lambda error: pickle.loads(pickle.dumps(error)), copy.copy, copy.deepcopy])
@pytest.mark.parametrize("error", [WRONG_STATE, errors.Closed()], ids=["with-details", "closed"])
def test_an_error_can_be_pickled_and_copied(
    error: errors.HoldfastError, again: Callable[[errors.HoldfastError], errors.HoldfastError]
) -> None:
    """Process pools and task queues carry errors from one process to another."""
    error = again(error)
    error.outcome_unknown = True

    copied = again(error)

    assert type(copied) is type(error)
    assert vars(copied) == vars(error)
    assert str(copied) == str(error)


def test_an_error_says_what_it_is_about_and_why() -> None:
    """A line of a log is enough to find the reservation and the reason in the docs."""
    assert str(WRONG_STATE) == (
        "reservation r-1 of sale lamps: It cannot be done now."
        " [WRONG_RESERVATION_STATE, state RESERVATION_STATE_EXPIRED]"
    )


def test_an_error_without_a_reason_has_its_code_and_whether_the_outcome_is_unknown() -> None:
    """That is what decides about a repeat."""
    error = errors.NoAnswer(grpc.StatusCode.UNAVAILABLE, "Connection refused.", errors.Details(ids={"buyer_id": "ada"}))

    assert str(error) == "buyer ada: Connection refused. [UNAVAILABLE, outcome unknown]"


@pytest.mark.parametrize(
    "details",
    [
        b"\xff\xff",
        Status(
            details=[Any(type_url="type.googleapis.com/google.rpc.ErrorInfo", value=b"\xff\xff")]
        ).SerializeToString(),
    ],
    ids=["no-status", "no-detail"],
)
def test_details_that_cannot_be_read_are_none(details: bytes) -> None:
    """A proxy may have made them: the call may have been done, and is repeated, as after any status of another's."""
    trailers = Metadata(("grpc-status-details-bin", details))
    failure = AioRpcError(grpc.StatusCode.UNAVAILABLE, Metadata(), trailers, "The sentence of a proxy.")

    error = error_from_rpc(failure, ReserveRequest(sale_id="lamps", reservation_id="r-1"))

    assert isinstance(error, errors.NoAnswer)
    assert error.outcome_unknown


def test_an_error_about_fields_names_them() -> None:
    """Otherwise the line would only say that some field is wrong."""
    details = errors.Details(reason="ERROR_REASON_FIELD_OUT_OF_BOUNDS", violations={"buyer_id": "is empty"})

    error = errors.InvalidRequest(grpc.StatusCode.INVALID_ARGUMENT, "Fields are out of bounds.", details)

    assert str(error) == "Fields are out of bounds. buyer_id: is empty. [FIELD_OUT_OF_BOUNDS]"
