"""Calls on buyers: BlockBuyer and UnblockBuyer."""

from holdfast.inventory.v1 import inventory_admin_service_pb2 as admin

from inventory_service.domain.blocked_buyers import BlockChange
from inventory_service.domain.results import Failure
from inventory_service.rpc.auth import actor_of, tenant_of
from inventory_service.rpc.calls.call import Context
from inventory_service.rpc.status import CallFailed
from inventory_service.rpc.validation import MAX_TEXT, Validator
from inventory_service.service.blocked_buyers import BlockedBuyers


class BuyerCalls:
    """The calls on buyers that are built; both are harmless twice."""

    def __init__(self, buyers: BlockedBuyers) -> None:
        self._buyers = buyers

    async def BlockBuyer(self, request: admin.BlockBuyerRequest, context: Context) -> admin.BlockBuyerResponse:
        """Reject what this buyer asks for, and refuse what is under way. The first reason and actor stay."""
        buyer_id, reason = buyer_to_block(request)
        tenant, actor = tenant_of(context), actor_of(context)
        change = await self._buyers.block(tenant, buyer_id, reason, actor, context.time_remaining)
        return admin.BlockBuyerResponse(replayed=_changed(change).replayed)

    async def UnblockBuyer(self, request: admin.UnblockBuyerRequest, context: Context) -> admin.UnblockBuyerResponse:
        """Take a block back; what was refused meanwhile stays refused."""
        buyer_id = buyer_to_unblock(request)
        change = await self._buyers.unblock(tenant_of(context), buyer_id, context.time_remaining)
        return admin.UnblockBuyerResponse(replayed=_changed(change).replayed)


def _changed(change: BlockChange | Failure) -> BlockChange:
    if isinstance(change, Failure):
        raise CallFailed(change)
    return change


def buyer_to_block(request: admin.BlockBuyerRequest) -> tuple[str, str]:
    """The buyer, and the reason."""
    fields = Validator()
    fields.ids(request, "buyer_id")
    fields.text("reason", request.reason, 1, MAX_TEXT)
    fields.raise_if_invalid()
    return request.buyer_id, request.reason


def buyer_to_unblock(request: admin.UnblockBuyerRequest) -> str:
    """The buyer."""
    fields = Validator()
    fields.ids(request, "buyer_id")
    fields.raise_if_invalid()
    return request.buyer_id
