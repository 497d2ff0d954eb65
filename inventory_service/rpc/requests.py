"""Messages of callers to requests of the domain; what is malformed ends its call here."""

from holdfast.inventory.v1 import inventory_admin_service_pb2 as admin
from holdfast.inventory.v1 import inventory_service_pb2 as calls
from holdfast.inventory.v1.sale_pb2 import Sale

from inventory_service.domain.keys import SaleKey
from inventory_service.domain.moves import Move, MoveKind
from inventory_service.domain.reservation import Line
from inventory_service.domain.reserve import Reserve
from inventory_service.domain.sale import CreateSale
from inventory_service.rpc.status import Violation
from inventory_service.rpc.validation import (
    MAX_QUANTITY,
    MIN_QUANTITY,
    Validator,
    fail_unimplemented,
    is_id,
    reject_unknown_fields,
)

MIN_HOLD_TTL_MS = 1000
DEFAULT_SALE_HOLD_TTL_MS = 600_000
MAX_SALE_HOLD_TTL_MS = 86_400_000
MAX_HOLD_TTL_MS = 10**13  # three centuries; Lua spells numbers from 10^14 on in another way
MAX_TEXT = 256
MAX_TITLE = 200
MAX_BUYER_LIMIT = 2**53  # Lua's numbers are exact up to here
ENDS_TOO_EARLY = Violation("sale.end_time", "must be after start_time")


def reserve_from_proto(request: calls.ReserveRequest, tenant: str) -> Reserve:
    """Units to hold. The usual request (one line, the sale's time) is checked without making a list of complaints."""
    reject_unknown_fields(request)
    if len(request.lines) == 1 and not request.HasField("hold_ttl"):
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
    lines = fields.lines(request.lines)
    hold_ttl_ms = None
    if request.HasField("hold_ttl"):
        hold_ttl_ms = min(fields.duration_ms("hold_ttl", request.hold_ttl, MIN_HOLD_TTL_MS), MAX_HOLD_TTL_MS)
    fields.raise_if_invalid()
    return Reserve(SaleKey(tenant, request.sale_id), request.reservation_id, request.buyer_id, lines, hold_ttl_ms)


def confirm_from_proto(request: calls.ConfirmReservationRequest, tenant: str) -> Move:
    """A hold to sell, whole."""
    reject_unknown_fields(request)
    fields = Validator()
    fields.ids(request, "sale_id", "reservation_id")
    fields.raise_if_invalid()
    if request.HasField("partial"):
        fail_unimplemented("partial")
    return Move(SaleKey(tenant, request.sale_id), request.reservation_id, MoveKind.CONFIRM)


def release_from_proto(request: calls.ReleaseReservationRequest, tenant: str) -> Move:
    """A hold to give back, or an id to spend."""
    reject_unknown_fields(request)
    fields = Validator()
    fields.ids(request, "sale_id", "reservation_id")
    fields.text("reason", request.reason, 0, MAX_TEXT)
    fields.raise_if_invalid()
    kind = MoveKind.SPEND if request.spend_id else MoveKind.RELEASE
    return Move(SaleKey(tenant, request.sale_id), request.reservation_id, kind, request.reason)


def reservation_named(request: calls.GetReservationRequest, tenant: str) -> tuple[SaleKey, str]:
    """The reservation to read."""
    fields = Validator()
    fields.ids(request, "sale_id", "reservation_id")
    fields.raise_if_invalid()
    return SaleKey(tenant, request.sale_id), request.reservation_id


def sale_named(request: calls.GetSaleRequest, tenant: str) -> SaleKey:
    """The sale to read."""
    fields = Validator()
    fields.ids(request, "sale_id")
    fields.raise_if_invalid()
    return SaleKey(tenant, request.sale_id)


def create_sale_from_proto(request: admin.CreateSaleRequest, tenant: str) -> CreateSale:
    """A sale to make; what the caller left out is spelled out, output-only fields are not looked at."""
    reject_unknown_fields(request)
    sale, fields = request.sale, Validator()
    fields.id("sale.sale_id", sale.sale_id)
    fields.text("sale.title", sale.title, 0, MAX_TITLE)
    start_ms, end_ms = _window(sale, fields)
    hold_ttl_ms, max_hold_ttl_ms = _times_to_live(sale, fields)
    fields.number("sale.buyer_limit", sale.buyer_limit, 0, MAX_BUYER_LIMIT)
    items = fields.items(sale.items)
    if sale.attempts_per_minute < 0:
        fields.add_violation("sale.attempts_per_minute", "must not be negative")
    fields.raise_if_invalid()
    if sale.attempts_per_minute:
        fail_unimplemented("sale.attempts_per_minute")
    key = SaleKey(tenant, sale.sale_id)
    return CreateSale(key, sale.title, start_ms, end_ms, hold_ttl_ms, max_hold_ttl_ms, sale.buyer_limit, items)


def _window(sale: Sale, fields: Validator) -> tuple[int | None, int | None]:
    start_ms = fields.moment_ms("sale.start_time", sale.start_time) if sale.HasField("start_time") else None
    end_ms = fields.moment_ms("sale.end_time", sale.end_time) if sale.HasField("end_time") else None
    if start_ms is not None and end_ms is not None and end_ms <= start_ms:
        fields.add_violation(*ENDS_TOO_EARLY)
    return start_ms, end_ms


def _times_to_live(sale: Sale, fields: Validator) -> tuple[int, int]:
    """The usual and the longest life of a hold. A usual one of zero means that there are no holds."""
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


def buyer_to_block(request: admin.BlockBuyerRequest) -> tuple[str, str]:
    """A buyer and why."""
    reject_unknown_fields(request)
    fields = Validator()
    fields.ids(request, "buyer_id")
    fields.text("reason", request.reason, 1, MAX_TEXT)
    fields.raise_if_invalid()
    return request.buyer_id, request.reason
