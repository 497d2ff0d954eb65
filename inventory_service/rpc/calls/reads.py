"""Calls that read a reservation or a sale."""

from holdfast.inventory.v1 import inventory_admin_service_pb2 as admin
from holdfast.inventory.v1 import inventory_service_pb2 as calls

from inventory_service.domain.keys import SaleKey
from inventory_service.rpc.auth import tenant_of
from inventory_service.rpc.calls.call import Context, StockCalls
from inventory_service.rpc.messages import position_to_proto, reservation_to_proto, sale_to_proto, timestamp
from inventory_service.rpc.status import value_or_fail
from inventory_service.rpc.validation import Validator


class ReadCalls(StockCalls):
    """The reads that are built."""

    async def GetReservation(
        self, request: calls.GetReservationRequest, context: Context
    ) -> calls.GetReservationResponse:
        """Read a reservation, also one that has left Redis."""
        sale, reservation_id = reservation_named(request, tenant_of(context))
        found = value_or_fail(await self._stock.find_reservation(sale, reservation_id), sale, reservation_id)
        return calls.GetReservationResponse(
            reservation=reservation_to_proto(found.reservation), read_time=timestamp(found.read_time_ms)
        )

    async def GetSale(self, request: calls.GetSaleRequest, context: Context) -> calls.GetSaleResponse:
        """Read a sale, also one that has left Redis."""
        sale = sale_named(request, tenant_of(context))
        found = value_or_fail(await self._stock.find_sale(sale), sale)
        return calls.GetSaleResponse(
            sale=sale_to_proto(found.sale),
            read_time=timestamp(found.read_time_ms),
            as_of=position_to_proto(found.as_of),
        )


def reservation_named(
    request: calls.GetReservationRequest | calls.WatchReservationRequest, tenant: str
) -> tuple[SaleKey, str]:
    """The reservation to read or to watch."""
    fields = Validator()
    fields.ids(request, "sale_id", "reservation_id")
    fields.raise_if_invalid()
    return SaleKey(tenant, request.sale_id), request.reservation_id


def sale_named(request: calls.GetSaleRequest | calls.WatchSaleRequest | admin.AuditSaleRequest, tenant: str) -> SaleKey:
    """The sale to read, to watch or to audit."""
    fields = Validator()
    fields.ids(request, "sale_id")
    fields.raise_if_invalid()
    return SaleKey(tenant, request.sale_id)
