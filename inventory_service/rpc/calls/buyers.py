"""Calls on buyers: BlockBuyer."""

from holdfast.inventory.v1 import inventory_admin_service_pb2 as admin

from inventory_service.domain.ports import Buyers
from inventory_service.domain.results import Failure
from inventory_service.rpc.auth import tenant_of
from inventory_service.rpc.calls.call import Context
from inventory_service.rpc.status import CallFailed
from inventory_service.rpc.validation import MAX_TEXT, Validator
from inventory_service.service.bulkhead import from_ledger


class BuyerCalls:
    """The calls on buyers that are built; they ask the ledger alone."""

    def __init__(self, buyers: Buyers) -> None:
        self._buyers = buyers

    async def BlockBuyer(self, request: admin.BlockBuyerRequest, context: Context) -> admin.BlockBuyerResponse:
        """Let the ledger refuse this buyer's orders. Harmless twice: the first reason stays."""
        buyer_id, reason = buyer_to_block(request)
        is_new = await from_ledger(self._buyers.block_buyer(tenant_of(context), buyer_id, reason))
        if isinstance(is_new, Failure):
            raise CallFailed(is_new)
        return admin.BlockBuyerResponse(replayed=not is_new)


def buyer_to_block(request: admin.BlockBuyerRequest) -> tuple[str, str]:
    """The buyer, and the reason."""
    fields = Validator()
    fields.ids(request, "buyer_id")
    fields.text("reason", request.reason, 1, MAX_TEXT)
    fields.raise_if_invalid()
    return request.buyer_id, request.reason
