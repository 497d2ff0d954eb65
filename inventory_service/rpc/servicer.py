"""What a buyer's service calls: gRPC in, gRPC out; decides nothing."""

from collections.abc import Callable
from typing import Any

from grpc.aio import ServicerContext
from holdfast.inventory.v1 import inventory_service_pb2 as calls
from holdfast.inventory.v1.inventory_service_pb2_grpc import InventoryServiceServicer

from inventory_service.domain.ports import Stock
from inventory_service.domain.verdicts import Failure, Granted, Rejected
from inventory_service.rpc.auth import tenant_of
from inventory_service.rpc.messages import (
    confirm_response,
    release_response,
    reservation_response,
    sale_response,
)
from inventory_service.rpc.past import Past
from inventory_service.rpc.requests import (
    confirm_from_proto,
    release_from_proto,
    reservation_named,
    reserve_from_proto,
    sale_named,
)
from inventory_service.rpc.response_bytes import response_bytes
from inventory_service.rpc.unanswered import answered, ended

Context = ServicerContext[Any, Any]
CountOutcome = Callable[[Granted | Rejected], None]


class Servicer(InventoryServiceServicer):
    """The built calls of InventoryService; the gate answers the others. Repeats are the store's business, not ours."""

    def __init__(self, stock: Stock, past: Past, count: CountOutcome) -> None:
        self._stock = stock
        self._past = past
        self._count = count

    async def Reserve(self, request: calls.ReserveRequest, context: Context) -> bytes:  # type: ignore[override]
        """Answer one reservation; the gate sends bytes as they are."""
        command = reserve_from_proto(request, tenant_of(context))
        verdict = await self._stock.reserve(command)
        if isinstance(verdict, Failure):
            verdict = await self._past.reserve(command, verdict)
            if isinstance(verdict, Failure):
                raise ended(verdict, command.sale, command.reservation_id)
        self._count(verdict)
        return response_bytes(request, verdict)

    async def ConfirmReservation(
        self, request: calls.ConfirmReservationRequest, context: Context
    ) -> calls.ConfirmReservationResponse:
        """Sell what is held."""
        command = confirm_from_proto(request, tenant_of(context))
        verdict = await self._stock.confirm(command)
        if isinstance(verdict, Failure):
            verdict = await self._past.settle(command, verdict)
        return confirm_response(answered(verdict, command.sale, command.reservation_id))

    async def ReleaseReservation(
        self, request: calls.ReleaseReservationRequest, context: Context
    ) -> calls.ReleaseReservationResponse:
        """Give back what is held; spend the id only if neither Redis nor the ledger knows it."""
        command = release_from_proto(request, tenant_of(context))
        verdict = await self._stock.release(command._replace(spend_id=False))
        if isinstance(verdict, Failure):
            past = self._past.spend if command.spend_id else self._past.settle
            verdict = await past(command, verdict)
        return release_response(answered(verdict, command.sale, command.reservation_id))

    async def GetReservation(
        self, request: calls.GetReservationRequest, context: Context
    ) -> calls.GetReservationResponse:
        """Read a reservation, from the ledger if Redis has forgotten it."""
        sale, reservation_id = reservation_named(request, tenant_of(context))
        found = await self._stock.find_reservation(sale, reservation_id)
        if isinstance(found, Failure):
            found = await self._past.find_reservation(sale, reservation_id, found)
        return reservation_response(answered(found, sale, reservation_id))

    async def GetSale(self, request: calls.GetSaleRequest, context: Context) -> calls.GetSaleResponse:
        """Read a sale, from the ledger if it has left Redis."""
        sale = sale_named(request, tenant_of(context))
        found = await self._stock.find_sale(sale)
        if isinstance(found, Failure):
            found = await self._past.find_sale(sale, found)
        return sale_response(answered(found, sale))
