"""Calls that move a reservation on: confirm, release, extend, change and return."""

from typing import TypeAlias, TypeVar

from holdfast.inventory.v1 import inventory_service_pb2 as calls

from inventory_service.domain.change_hold import ChangeHold
from inventory_service.domain.keys import SaleKey
from inventory_service.domain.moves import Move, MoveKind
from inventory_service.domain.results import Failure, Rejected
from inventory_service.rpc.auth import tenant_of
from inventory_service.rpc.calls.call import ClaimCalls, Context
from inventory_service.rpc.messages import rejection_to_proto, reservation_to_proto, timestamp
from inventory_service.rpc.status import failed, value_or_fail
from inventory_service.rpc.validation import MAX_TEXT, Validator

MoveRequest: TypeAlias = (
    calls.ConfirmReservationRequest
    | calls.ReleaseReservationRequest
    | calls.ExtendReservationRequest
    | calls.ChangeReservationRequest
    | calls.ReturnReservationRequest
)

MoveResponse = TypeVar(
    "MoveResponse",
    calls.ConfirmReservationResponse,
    calls.ReleaseReservationResponse,
    calls.ExtendReservationResponse,
    calls.ReturnReservationResponse,
)


class MoveCalls(ClaimCalls):
    """A move each, which the stock answers; repeats too."""

    async def ConfirmReservation(
        self, request: calls.ConfirmReservationRequest, context: Context
    ) -> calls.ConfirmReservationResponse:
        """Sell the units that are held, or some of them."""
        command = confirm_from_proto(request, tenant_of(context))
        return await self._move(command, calls.ConfirmReservationResponse)

    async def ReleaseReservation(
        self, request: calls.ReleaseReservationRequest, context: Context
    ) -> calls.ReleaseReservationResponse:
        """Give back the units that are held, or spend the id."""
        command = release_from_proto(request, tenant_of(context))
        return await self._move(command, calls.ReleaseReservationResponse)

    async def ExtendReservation(
        self, request: calls.ExtendReservationRequest, context: Context
    ) -> calls.ExtendReservationResponse:
        """Let a hold live longer."""
        command = extend_from_proto(request, tenant_of(context))
        return await self._move(command, calls.ExtendReservationResponse)

    async def ChangeReservation(
        self, request: calls.ChangeReservationRequest, context: Context
    ) -> calls.ChangeReservationResponse:
        """Set what a hold holds, or say why it stays as it is."""
        command = change_from_proto(request, tenant_of(context))
        result = await self._stock.change_hold(command)
        if isinstance(result, Failure):
            raise failed(result, command.sale, command.reservation_id)
        self._outcomes.count_change(result)
        response = calls.ChangeReservationResponse(replayed=result.replayed, read_time=timestamp(result.read_time_ms))
        if isinstance(result, Rejected):
            response.rejection.CopyFrom(rejection_to_proto(result))
        else:
            response.reservation.CopyFrom(reservation_to_proto(result.reservation))
        return response

    async def ReturnReservation(
        self, request: calls.ReturnReservationRequest, context: Context
    ) -> calls.ReturnReservationResponse:
        """Take sold units back, all or some of them."""
        command = return_from_proto(request, tenant_of(context))
        return await self._move(command, calls.ReturnReservationResponse)

    async def _move(self, command: Move, response: type[MoveResponse]) -> MoveResponse:
        moved = value_or_fail(await self._stock.move(command), command.sale, command.reservation_id)
        return response(
            reservation=reservation_to_proto(moved.reservation),
            replayed=moved.replayed,
            read_time=timestamp(moved.read_time_ms),
        )


def confirm_from_proto(request: calls.ConfirmReservationRequest, tenant: str) -> Move:
    """A hold to sell, whole or in part."""
    fields = _checked(request)
    lines = fields.lines("partial.lines", request.partial.lines) if request.HasField("partial") else ()
    fields.raise_if_invalid()
    return _move(request, tenant, MoveKind.CONFIRM)._replace(lines=lines)


def release_from_proto(request: calls.ReleaseReservationRequest, tenant: str) -> Move:
    """A hold to give back, or an id to spend."""
    fields = _checked(request)
    fields.text("reason", request.reason, 0, MAX_TEXT)
    fields.raise_if_invalid()
    kind = MoveKind.SPEND if request.spend_id else MoveKind.RELEASE
    return _move(request, tenant, kind)._replace(note=request.reason)


def extend_from_proto(request: calls.ExtendReservationRequest, tenant: str) -> Move:
    """A hold that is to live longer."""
    fields = _checked(request)
    hold_ttl_ms = fields.hold_ttl_ms(request.hold_ttl)
    fields.raise_if_invalid()
    return _move(request, tenant, MoveKind.EXTEND)._replace(hold_ttl_ms=hold_ttl_ms)


def change_from_proto(request: calls.ChangeReservationRequest, tenant: str) -> ChangeHold:
    """What a hold is to hold."""
    fields = _checked(request)
    lines = fields.lines("lines", request.lines)
    fields.raise_if_invalid()
    return ChangeHold(SaleKey(tenant, request.sale_id), request.reservation_id, lines, _revision(request))


def return_from_proto(request: calls.ReturnReservationRequest, tenant: str) -> Move:
    """Sold units to take back; without lines, all of them."""
    fields = _checked(request)
    fields.text("reason", request.reason, 1, MAX_TEXT)
    lines = fields.lines("lines", request.lines) if request.lines else ()
    fields.raise_if_invalid()
    return _move(request, tenant, MoveKind.RETURN)._replace(note=request.reason, lines=lines, discards=request.discard)


def _checked(request: MoveRequest) -> Validator:
    """The fields that all moves have, checked."""
    fields = Validator()
    fields.ids(request, "sale_id", "reservation_id")
    if request.HasField("expected_revision"):
        fields.revision(request.expected_revision)
    return fields


def _move(request: MoveRequest, tenant: str, kind: MoveKind) -> Move:
    return Move(SaleKey(tenant, request.sale_id), request.reservation_id, kind, expected_revision=_revision(request))


def _revision(request: MoveRequest) -> int | None:
    return request.expected_revision if request.HasField("expected_revision") else None
