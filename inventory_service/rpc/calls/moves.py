"""Calls that move a reservation to another state: confirm and release."""

from holdfast.inventory.v1 import inventory_service_pb2 as calls

from inventory_service.domain.keys import SaleKey
from inventory_service.domain.moves import Move, MoveKind
from inventory_service.domain.results import Granted
from inventory_service.rpc.auth import tenant_of
from inventory_service.rpc.calls.call import Context, StockCalls
from inventory_service.rpc.messages import reservation_to_proto, timestamp
from inventory_service.rpc.status import value_or_fail
from inventory_service.rpc.validation import MAX_TEXT, Validator, fail_unimplemented


class MoveCalls(StockCalls):
    """The moves that are built."""

    async def ConfirmReservation(
        self, request: calls.ConfirmReservationRequest, context: Context
    ) -> calls.ConfirmReservationResponse:
        """Sell the units that are held."""
        moved = await self._move(confirm_from_proto(request, tenant_of(context)))
        return calls.ConfirmReservationResponse(
            reservation=reservation_to_proto(moved.reservation),
            replayed=moved.replayed,
            read_time=timestamp(moved.read_time_ms),
        )

    async def ReleaseReservation(
        self, request: calls.ReleaseReservationRequest, context: Context
    ) -> calls.ReleaseReservationResponse:
        """Give back the units that are held, or spend the id."""
        moved = await self._move(release_from_proto(request, tenant_of(context)))
        return calls.ReleaseReservationResponse(
            reservation=reservation_to_proto(moved.reservation),
            replayed=moved.replayed,
            read_time=timestamp(moved.read_time_ms),
        )

    async def _move(self, command: Move) -> Granted:
        return value_or_fail(await self._stock.move(command), command.sale, command.reservation_id)


def confirm_from_proto(request: calls.ConfirmReservationRequest, tenant: str) -> Move:
    """A hold to sell, whole."""
    fields = Validator()
    fields.ids(request, "sale_id", "reservation_id")
    if request.HasField("partial"):
        fields.lines("partial.lines", request.partial.lines)
    if request.HasField("expected_revision"):
        fields.revision(request.expected_revision)
    fields.raise_if_invalid()
    if request.HasField("partial"):
        fail_unimplemented("partial")
    if request.HasField("expected_revision"):
        fail_unimplemented("expected_revision")
    return Move(SaleKey(tenant, request.sale_id), request.reservation_id, MoveKind.CONFIRM)


def release_from_proto(request: calls.ReleaseReservationRequest, tenant: str) -> Move:
    """A hold to give back, or an id to spend."""
    fields = Validator()
    fields.ids(request, "sale_id", "reservation_id")
    fields.text("reason", request.reason, 0, MAX_TEXT)
    if request.HasField("expected_revision"):
        fields.revision(request.expected_revision)
    fields.raise_if_invalid()
    if request.HasField("expected_revision"):
        fail_unimplemented("expected_revision")
    kind = MoveKind.SPEND if request.spend_id else MoveKind.RELEASE
    return Move(SaleKey(tenant, request.sale_id), request.reservation_id, kind, request.reason)
