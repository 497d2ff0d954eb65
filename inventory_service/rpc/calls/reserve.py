"""Reserve: from its request to units, or to the reason why there are none."""

from re import Match

from holdfast.inventory.v1 import inventory_service_pb2 as calls

from inventory_service.domain.keys import SaleKey
from inventory_service.domain.plain_reserve import PlainHold
from inventory_service.domain.reserve import Reserve
from inventory_service.domain.results import Failure
from inventory_service.rpc.auth import tenant_of
from inventory_service.rpc.calls.call import ClaimCalls, Context
from inventory_service.rpc.plain_requests import ParsedReserve, plain_reserve
from inventory_service.rpc.response_bytes import hold_bytes, response_bytes
from inventory_service.rpc.status import failed
from inventory_service.rpc.validation import Validator


class ReserveCalls(ClaimCalls):
    """Reserve; the stock answers repeats."""

    async def Reserve(self, request: ParsedReserve, context: Context) -> bytes:
        """Answer one reservation with the bytes of its response; a request of the usual shape is not made a message."""
        if not isinstance(request, Match):
            return await self._reserve_message(request, context)
        command = plain_reserve(request, tenant_of(context))
        result = await self._stock.reserve_plain(command)
        if isinstance(result, Failure):
            raise failed(result, command.sale, command.reservation_id)
        self._outcomes.count_reserve(result)
        return hold_bytes(request.string, result) if isinstance(result, PlainHold) else response_bytes(result)

    async def _reserve_message(self, request: calls.ReserveRequest, context: Context) -> bytes:
        command = reserve_from_proto(request, tenant_of(context))
        result = await self._stock.reserve(command)
        if isinstance(result, Failure):
            raise failed(result, command.sale, command.reservation_id)
        self._outcomes.count_reserve(result)
        return response_bytes(result)


def reserve_from_proto(request: calls.ReserveRequest, tenant: str) -> Reserve:
    """Units to hold; CallFailed with every field that is out of bounds."""
    fields = Validator()
    fields.ids(request, "sale_id", "reservation_id", "buyer_id")
    lines = fields.lines("lines", request.lines)
    hold_ttl_ms = None
    if request.HasField("hold_ttl"):
        hold_ttl_ms = fields.hold_ttl_ms(request.hold_ttl)
    if request.reference:
        fields.id("reference", request.reference)
    fields.raise_if_invalid()
    sale = SaleKey(tenant, request.sale_id)
    return Reserve(sale, request.reservation_id, request.buyer_id, lines, hold_ttl_ms, request.reference)
