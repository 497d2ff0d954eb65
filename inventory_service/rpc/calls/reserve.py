"""Reserve: from its request to units, or to the reason why there are none."""

from re import Match

from holdfast.inventory.v1 import inventory_service_pb2 as calls

from inventory_service.domain.keys import SaleKey
from inventory_service.domain.plain_reserve import PlainHold
from inventory_service.domain.reservation import Line
from inventory_service.domain.reserve import Reserve
from inventory_service.domain.results import Failure, Granted
from inventory_service.rpc.auth import tenant_of
from inventory_service.rpc.calls.call import ClaimCalls, Context
from inventory_service.rpc.plain_requests import ParsedReserve, message_of, plain_reserve
from inventory_service.rpc.response_bytes import hold_bytes, rejection_bytes, response_bytes
from inventory_service.rpc.status import failed
from inventory_service.rpc.validation import MAX_QUANTITY, MIN_QUANTITY, Validator, is_id


class ReserveCalls(ClaimCalls):
    """Reserve; the stock answers repeats."""

    async def Reserve(self, request: ParsedReserve, context: Context) -> bytes:
        """Answer one reservation, serialized already; one of the usual shape from its bytes to those of the answer."""
        if not isinstance(request, Match):
            return await self._reserve_any(request, context)
        command = plain_reserve(request, tenant_of(context))
        result = await self._stock.reserve_plain(command)
        if isinstance(result, Failure):
            raise failed(result, command.sale, command.reservation_id)
        self._outcomes.count_reserve(result)
        if isinstance(result, PlainHold):
            return hold_bytes(request.string, result)
        return response_bytes(message_of(request), result) if isinstance(result, Granted) else rejection_bytes(result)

    async def _reserve_any(self, request: calls.ReserveRequest, context: Context) -> bytes:
        command = reserve_from_proto(request, tenant_of(context))
        result = await self._stock.reserve(command)
        if isinstance(result, Failure):
            raise failed(result, command.sale, command.reservation_id)
        self._outcomes.count_reserve(result)
        return response_bytes(request, result)


def reserve_from_proto(request: calls.ReserveRequest, tenant: str) -> Reserve:
    """Units to hold. The usual request (one line, no `hold_ttl`, no `reference`) is checked without a Validator."""
    if len(request.lines) == 1 and not request.reference and not request.HasField("hold_ttl"):
        line = request.lines[0]
        sku, quantity = line.sku, line.quantity
        sale_id, reservation_id, buyer_id = request.sale_id, request.reservation_id, request.buyer_id
        sound = is_id(sale_id) and is_id(reservation_id) and is_id(buyer_id) and is_id(sku)
        if sound and MIN_QUANTITY <= quantity <= MAX_QUANTITY:
            return Reserve(SaleKey(tenant, sale_id), reservation_id, buyer_id, (Line(sku, quantity),), None)
    return _any_reserve_from_proto(request, tenant)


def _any_reserve_from_proto(request: calls.ReserveRequest, tenant: str) -> Reserve:
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
