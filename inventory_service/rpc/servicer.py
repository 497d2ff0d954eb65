"""What a buyer's service calls: gRPC in, gRPC out; decides nothing."""

from collections.abc import Callable
from typing import Any

from grpc.aio import ServicerContext
from holdfast.inventory.v1 import inventory_service_pb2 as calls
from holdfast.inventory.v1.inventory_service_pb2_grpc import InventoryServiceServicer

from inventory_service.domain.ports import Stock
from inventory_service.domain.reserve import Rejected
from inventory_service.domain.results import Failure, Granted
from inventory_service.rpc.auth import tenant_of
from inventory_service.rpc.messages import (
    confirm_response,
    release_response,
    reservation_response,
    sale_response,
)
from inventory_service.rpc.requests import (
    confirm_from_proto,
    release_from_proto,
    reservation_named,
    reserve_from_proto,
    sale_named,
)
from inventory_service.rpc.response_bytes import response_bytes
from inventory_service.rpc.status import failed, value_or_fail

Context = ServicerContext[Any, Any]
CountOutcome = Callable[[Granted | Rejected], None]


class Servicer(InventoryServiceServicer):
    """The built calls of InventoryService; the gate answers the others. Repeats are the stock's business."""

    def __init__(self, stock: Stock, count: CountOutcome) -> None:
        self._stock = stock
        self._count = count

    async def Reserve(self, request: calls.ReserveRequest, context: Context) -> bytes:  # type: ignore[override]
        """Answer one reservation; the gate sends bytes as they are."""
        command = reserve_from_proto(request, tenant_of(context))
        result = await self._stock.reserve(command)
        if isinstance(result, Failure):
            raise failed(result, command.sale, command.reservation_id)
        self._count(result)
        return response_bytes(request, result)

    async def ConfirmReservation(
        self, request: calls.ConfirmReservationRequest, context: Context
    ) -> calls.ConfirmReservationResponse:
        """Sell what is held."""
        command = confirm_from_proto(request, tenant_of(context))
        result = await self._stock.move(command)
        return confirm_response(value_or_fail(result, command.sale, command.reservation_id))

    async def ReleaseReservation(
        self, request: calls.ReleaseReservationRequest, context: Context
    ) -> calls.ReleaseReservationResponse:
        """Give back what is held, or spend the id."""
        command = release_from_proto(request, tenant_of(context))
        result = await self._stock.move(command)
        return release_response(value_or_fail(result, command.sale, command.reservation_id))

    async def GetReservation(
        self, request: calls.GetReservationRequest, context: Context
    ) -> calls.GetReservationResponse:
        """Read a reservation."""
        sale, reservation_id = reservation_named(request, tenant_of(context))
        found = await self._stock.find_reservation(sale, reservation_id)
        return reservation_response(value_or_fail(found, sale, reservation_id))

    async def GetSale(self, request: calls.GetSaleRequest, context: Context) -> calls.GetSaleResponse:
        """Read a sale."""
        sale = sale_named(request, tenant_of(context))
        return sale_response(value_or_fail(await self._stock.find_sale(sale), sale))
