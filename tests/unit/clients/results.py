"""Requests, and what a server answers to many of them."""

import grpc
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status
from holdfast.inventory.v1.error_reason_pb2 import ErrorReason
from holdfast.inventory.v1.inventory_service_pb2 import (
    BatchReserveRequest,
    BatchReserveResponse,
    ReserveRequest,
    ReserveResponse,
    ReserveResult,
)
from holdfast.inventory.v1.reservation_pb2 import Reservation
from holdfast.messages import reserve_request


def requests(*ids: str) -> list[ReserveRequest]:
    """One request an id."""
    return [reserve_request("lamps", each, "ada", {"lamp": 1}) for each in ids]


def answer(reservation_id: str) -> ReserveResponse:
    """The answer of a server that holds what was asked for."""
    return ReserveResponse(reservation=Reservation(reservation_id=reservation_id))


def held(request: ReserveRequest) -> ReserveResult:
    """The same, as one of many."""
    return ReserveResult(response=answer(request.reservation_id))


def failed(code: grpc.StatusCode, reason: int) -> ReserveResult:
    """A request that could not be judged."""
    status = Status(code=code.value[0], message="The sentence of the server.")
    status.details.add().Pack(ErrorInfo(reason=ErrorReason.Name(reason), domain="holdfast.inventory"))
    return ReserveResult(status=status)


def held_all(request: BatchReserveRequest) -> BatchReserveResponse:
    """The answer to a batch of which everything is held."""
    return BatchReserveResponse(results=map(held, request.requests))
