"""Calls that change the state of a sale: pause, resume and close."""

from holdfast.inventory.v1 import inventory_admin_service_pb2 as admin

from inventory_service.domain.keys import SaleKey
from inventory_service.domain.sale import ActOnSale, SaleAction, SaleRead
from inventory_service.rpc.auth import actor_of, tenant_of
from inventory_service.rpc.calls.call import Context, StockCalls
from inventory_service.rpc.messages import sale_to_proto
from inventory_service.rpc.sale_settings import sale_or_fail
from inventory_service.rpc.validation import MAX_TEXT, Validator

ActRequest = admin.PauseSaleRequest | admin.ResumeSaleRequest | admin.CloseSaleRequest


class SaleStateCalls(StockCalls):
    """Each may be repeated: a sale that stands so already is told as it stands."""

    async def PauseSale(self, request: admin.PauseSaleRequest, context: Context) -> admin.PauseSaleResponse:
        """Stop selling until the sale is resumed."""
        paused = await self._act(request, SaleAction.PAUSE, context)
        return admin.PauseSaleResponse(sale=sale_to_proto(paused.sale), replayed=paused.replayed)

    async def ResumeSale(self, request: admin.ResumeSaleRequest, context: Context) -> admin.ResumeSaleResponse:
        """Sell again."""
        resumed = await self._act(request, SaleAction.RESUME, context)
        return admin.ResumeSaleResponse(sale=sale_to_proto(resumed.sale), replayed=resumed.replayed)

    async def CloseSale(self, request: admin.CloseSaleRequest, context: Context) -> admin.CloseSaleResponse:
        """Stop selling for good and, if that is asked for, release all holds at once."""
        action = SaleAction.CLOSE_AND_RELEASE if request.release_holds else SaleAction.CLOSE
        closed = await self._act(request, action, context)
        return admin.CloseSaleResponse(sale=sale_to_proto(closed.sale), replayed=closed.replayed)

    async def _act(self, request: ActRequest, action: SaleAction, context: Context) -> SaleRead:
        command = act_from_proto(request, action, tenant_of(context), actor_of(context))
        return sale_or_fail(await self._stock.change_sale(command), command.sale)


def act_from_proto(request: ActRequest, action: SaleAction, tenant: str, actor: str) -> ActOnSale:
    """What to do to a sale, and why."""
    fields = Validator()
    fields.ids(request, "sale_id")
    fields.text("reason", request.reason, 0, MAX_TEXT)
    fields.raise_if_invalid()
    return ActOnSale(SaleKey(tenant, request.sale_id), action, request.etag, request.reason, actor)
