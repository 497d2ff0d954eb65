"""Calls that make and change sales: CreateSale."""

from holdfast.inventory.v1 import error_reason_pb2 as reasons
from holdfast.inventory.v1 import inventory_admin_service_pb2 as admin
from holdfast.inventory.v1.sale_pb2 import Sale

from inventory_service.domain.keys import SaleKey
from inventory_service.domain.results import Failure
from inventory_service.domain.sale import CreateSale, SaleRead
from inventory_service.rpc.auth import tenant_of
from inventory_service.rpc.calls.call import Context, StockCalls
from inventory_service.rpc.messages import sale_to_proto
from inventory_service.rpc.status import CallFailed, Violation, value_or_fail
from inventory_service.rpc.validation import MAX_BUYER_LIMIT, Validator, fail_unimplemented

DEFAULT_SALE_HOLD_TTL_MS = 600_000
MAX_SALE_HOLD_TTL_MS = 86_400_000
MAX_TITLE = 200
MAX_ATTEMPTS_PER_MINUTE = 600
MAX_RETURN_WINDOW_MS = 90 * 86_400_000
ENDS_TOO_EARLY = Violation("sale.end_time", "must be after start_time")


class SaleCalls(StockCalls):
    """The calls on sales that are built."""

    async def CreateSale(self, request: admin.CreateSaleRequest, context: Context) -> admin.CreateSaleResponse:
        """Make a sale, unless its id belongs to another one, in Redis or archived."""
        command = create_sale_from_proto(request, tenant_of(context))
        made = await self._stock.change_sale(command)
        assert isinstance(made, SaleRead | Failure), "a stock in front of the archive knows each sale, or has it made"
        if isinstance(made, Failure) and made.reason == reasons.ERROR_REASON_FIELD_OUT_OF_BOUNDS:
            raise CallFailed(
                made._replace(metadata={}), [ENDS_TOO_EARLY]
            )  # only the shard knows the start of a sale that starts at once
        sale = value_or_fail(made, command.sale)
        return admin.CreateSaleResponse(sale=sale_to_proto(sale.sale), replayed=sale.replayed)


def create_sale_from_proto(request: admin.CreateSaleRequest, tenant: str) -> CreateSale:
    """A sale to make; fields that are unset get their defaults, output-only fields are ignored."""
    sale, fields = request.sale, Validator()
    fields.id("sale.sale_id", sale.sale_id)
    fields.text("sale.title", sale.title, 0, MAX_TITLE)
    start_ms, end_ms = _window(sale, fields)
    hold_ttl_ms, max_hold_ttl_ms = _times_to_live(sale, fields)
    fields.number("sale.buyer_limit", sale.buyer_limit, 0, MAX_BUYER_LIMIT)
    items = fields.items(sale.items)
    fields.number("sale.attempts_per_minute", sale.attempts_per_minute, 0, MAX_ATTEMPTS_PER_MINUTE)
    _validate_return_window(sale, fields)
    fields.raise_if_invalid()
    _fail_for_unimplemented_fields(sale)
    key = SaleKey(tenant, sale.sale_id)
    return CreateSale(key, sale.title, start_ms, end_ms, hold_ttl_ms, max_hold_ttl_ms, sale.buyer_limit, items)


def _fail_for_unimplemented_fields(sale: Sale) -> None:
    if sale.attempts_per_minute:
        fail_unimplemented("sale.attempts_per_minute")
    if sale.HasField("return_window"):
        fail_unimplemented("sale.return_window")
    for index, item in enumerate(sale.items):
        if item.buyer_limit:
            fail_unimplemented(f"sale.items[{index}].buyer_limit")


def _validate_return_window(sale: Sale, fields: Validator) -> None:
    window_ms = fields.duration_ms("sale.return_window", sale.return_window, 0)
    if window_ms > MAX_RETURN_WINDOW_MS:
        fields.add_violation("sale.return_window", "must be at most 90 days")


def _window(sale: Sale, fields: Validator) -> tuple[int | None, int | None]:
    start_ms = fields.moment_ms("sale.start_time", sale.start_time) if sale.HasField("start_time") else None
    end_ms = fields.moment_ms("sale.end_time", sale.end_time) if sale.HasField("end_time") else None
    if start_ms is not None and end_ms is not None and end_ms <= start_ms:
        fields.add_violation(*ENDS_TOO_EARLY)
    return start_ms, end_ms


def _times_to_live(sale: Sale, fields: Validator) -> tuple[int, int]:
    """The default and the longest time to live of a hold; a default of zero means that the sale has no holds."""
    hold_ttl_ms = DEFAULT_SALE_HOLD_TTL_MS
    if sale.HasField("hold_ttl"):
        hold_ttl_ms = fields.duration_ms("sale.hold_ttl", sale.hold_ttl, 1, zero_allowed=True)
    if hold_ttl_ms > MAX_SALE_HOLD_TTL_MS:
        fields.add_violation("sale.hold_ttl", "must be at most 24 hours")
    if not sale.HasField("max_hold_ttl"):
        return hold_ttl_ms, hold_ttl_ms
    max_hold_ttl_ms = fields.duration_ms("sale.max_hold_ttl", sale.max_hold_ttl, 1, zero_allowed=True)
    if not hold_ttl_ms <= max_hold_ttl_ms <= MAX_SALE_HOLD_TTL_MS:
        fields.add_violation(
            "sale.max_hold_ttl", "must be at least hold_ttl (10 minutes if that is unset) and at most 24 hours"
        )
    return hold_ttl_ms, max_hold_ttl_ms
