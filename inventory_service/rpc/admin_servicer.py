"""What an operator calls: gRPC in, gRPC out; decides nothing."""

from grpc.aio import ServicerContext
from holdfast.inventory.v1 import error_reason_pb2 as reasons
from holdfast.inventory.v1 import inventory_admin_service_pb2 as admin
from holdfast.inventory.v1.inventory_admin_service_pb2_grpc import InventoryAdminServiceServicer

from inventory_service.domain.ports import Buyers
from inventory_service.domain.verdicts import Failure
from inventory_service.rpc.auth import tenant_of
from inventory_service.rpc.messages import create_sale_response
from inventory_service.rpc.past import Past
from inventory_service.rpc.requests import ENDS_TOO_EARLY, buyer_to_block, create_sale_from_proto
from inventory_service.rpc.status import CallFailed
from inventory_service.rpc.unanswered import answered, asked


class AdminServicer(InventoryAdminServiceServicer):
    """The built calls of InventoryAdminService; the gate answers the others."""

    def __init__(self, past: Past, buyers: Buyers) -> None:
        self._past = past
        self._buyers = buyers

    async def CreateSale(
        self,
        request: admin.CreateSaleRequest,
        context: ServicerContext[admin.CreateSaleRequest, admin.CreateSaleResponse],
    ) -> admin.CreateSaleResponse:
        """Make a sale, unless its id belonged to one that has left Redis."""
        command = create_sale_from_proto(request, tenant_of(context))
        made = await self._past.create_sale(command)
        if isinstance(made, Failure) and made.reason == reasons.ERROR_REASON_FIELD_OUT_OF_BOUNDS:
            raise CallFailed(made, [ENDS_TOO_EARLY])  # it starts when the shard makes it, so only the shard could tell
        return create_sale_response(answered(made, command.sale))

    async def BlockBuyer(
        self,
        request: admin.BlockBuyerRequest,
        context: ServicerContext[admin.BlockBuyerRequest, admin.BlockBuyerResponse],
    ) -> admin.BlockBuyerResponse:
        """Let the ledger refuse this buyer's orders. Harmless twice: the first reason stays."""
        buyer_id, reason = buyer_to_block(request)
        await asked(self._buyers.block_buyer(tenant_of(context), buyer_id, reason))
        return admin.BlockBuyerResponse()
