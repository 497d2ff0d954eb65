"""What an operator calls: gRPC in, gRPC out; decides nothing."""

from grpc.aio import ServicerContext
from holdfast.inventory.v1 import error_reason_pb2 as reasons
from holdfast.inventory.v1 import inventory_admin_service_pb2 as admin
from holdfast.inventory.v1.inventory_admin_service_pb2_grpc import InventoryAdminServiceServicer

from inventory_service.domain.ports import Buyers, Stock
from inventory_service.domain.results import Failure
from inventory_service.domain.sale import SaleUnknown
from inventory_service.rpc.auth import tenant_of
from inventory_service.rpc.messages import create_sale_response
from inventory_service.rpc.requests import ENDS_TOO_EARLY, buyer_to_block, create_sale_from_proto
from inventory_service.rpc.status import CallFailed, value_or_fail
from inventory_service.service.bulkhead import from_ledger


class AdminServicer(InventoryAdminServiceServicer):
    """The built calls of InventoryAdminService; the gate answers the others."""

    def __init__(self, stock: Stock, buyers: Buyers) -> None:
        self._stock = stock
        self._buyers = buyers

    async def CreateSale(
        self,
        request: admin.CreateSaleRequest,
        context: ServicerContext[admin.CreateSaleRequest, admin.CreateSaleResponse],
    ) -> admin.CreateSaleResponse:
        """Make a sale, unless its id belonged to one that has left Redis."""
        command = create_sale_from_proto(request, tenant_of(context))
        made = await self._stock.change_sale(command)
        assert not isinstance(made, SaleUnknown), "a stock in front of the archive knows each sale, or has it made"
        if isinstance(made, Failure) and made.reason == reasons.ERROR_REASON_FIELD_OUT_OF_BOUNDS:
            raise CallFailed(made, [ENDS_TOO_EARLY])  # it starts when the shard makes it, so only the shard could tell
        return create_sale_response(value_or_fail(made, command.sale))

    async def BlockBuyer(
        self,
        request: admin.BlockBuyerRequest,
        context: ServicerContext[admin.BlockBuyerRequest, admin.BlockBuyerResponse],
    ) -> admin.BlockBuyerResponse:
        """Let the ledger refuse this buyer's orders. Harmless twice: the first reason stays."""
        buyer_id, reason = buyer_to_block(request)
        blocked = await from_ledger(self._buyers.block_buyer(tenant_of(context), buyer_id, reason))
        if isinstance(blocked, Failure):
            raise CallFailed(blocked)
        return admin.BlockBuyerResponse()
