"""Validates the settings of a sale in a request that makes or changes it, each within its own bounds and together."""

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from holdfast.inventory.v1 import error_reason_pb2 as reasons
from holdfast.inventory.v1.sale_pb2 import Sale

from inventory_service.domain.keys import SaleKey
from inventory_service.domain.results import Failure
from inventory_service.domain.sale import MAX_ITEMS, SaleRead, SaleResult
from inventory_service.rpc.status import CallFailed, Violation, value_or_fail
from inventory_service.rpc.validation import MAX_BUYER_LIMIT, Validator

DEFAULT_SALE_HOLD_TTL_MS = 600_000
MAX_SALE_HOLD_TTL_MS = 86_400_000
MAX_TITLE = 200
MAX_ATTEMPTS_PER_MINUTE = 600
MAX_RETURN_WINDOW_MS = 90 * 86_400_000

Setting = str | int | None  # None: unset, which the shard must give its meaning
Settings = dict[str, Setting]  # by field of the domain's Settings

_ENDS_TOO_EARLY: Final = Violation("sale.end_time", "must be after start_time")
_MAX_HOLD_TTL: Final = Violation(
    "sale.max_hold_ttl", "must be at least hold_ttl (10 minutes if that is unset) and at most 24 hours"
)
# What only the shard can judge, because it knows the sale and the time: the field that it names -> what is valid.
_JUDGED_BY_THE_SHARD: Final = {
    "start_time": Violation("sale.start_time", "must be before end_time"),
    "end_time": _ENDS_TOO_EARLY,
    "hold_ttl": Violation("sale.hold_ttl", "must be at most max_hold_ttl"),
    "max_hold_ttl": _MAX_HOLD_TTL,
    "items": Violation("sale.items", f"must be at most {MAX_ITEMS} items in all"),
}


def settings_named(sale: Sale, names: Iterable[str], fields: Validator) -> Settings:
    """The settings of these names; one that is unset gets its default, or None if only the shard knows it."""
    settings = dict(_READERS[name](sale, fields) for name in names)
    start_ms, end_ms = settings.get("start_time_ms"), settings.get("end_time_ms")
    if isinstance(start_ms, int) and isinstance(end_ms, int) and end_ms <= start_ms:
        fields.add_violation(*_ENDS_TOO_EARLY)
    hold_ttl_ms, max_hold_ttl_ms = settings.get("hold_ttl_ms"), settings.get("max_hold_ttl_ms")
    if isinstance(hold_ttl_ms, int) and isinstance(max_hold_ttl_ms, int) and max_hold_ttl_ms < hold_ttl_ms:
        fields.add_violation(*_MAX_HOLD_TTL)
    return settings


def sale_or_fail(result: SaleResult | Failure, sale: SaleKey) -> SaleRead:
    """The sale that a call has made or changed, unless it is a failure: that ends the call."""
    if isinstance(result, Failure) and result.reason == reasons.ERROR_REASON_FIELD_OUT_OF_BOUNDS:
        violation = _JUDGED_BY_THE_SHARD[result.metadata["field"]]
        raise CallFailed(Failure(result.reason, {"sale_id": sale.sale_id}), [violation])
    found = value_or_fail(result, sale)
    assert isinstance(found, SaleRead), "a stock in front of the archive knows each sale, or has it made"
    return found


def _title(sale: Sale, fields: Validator) -> tuple[str, Setting]:
    fields.text("sale.title", sale.title, 0, MAX_TITLE)
    return "title", sale.title


def _start_time(sale: Sale, fields: Validator) -> tuple[str, Setting]:
    is_set = sale.HasField("start_time")
    return "start_time_ms", fields.moment_ms("sale.start_time", sale.start_time) if is_set else None


def _end_time(sale: Sale, fields: Validator) -> tuple[str, Setting]:
    is_set = sale.HasField("end_time")
    return "end_time_ms", fields.moment_ms("sale.end_time", sale.end_time) if is_set else None


def _hold_ttl(sale: Sale, fields: Validator) -> tuple[str, Setting]:
    """An explicit zero means that the sale has no holds."""
    if not sale.HasField("hold_ttl"):
        return "hold_ttl_ms", DEFAULT_SALE_HOLD_TTL_MS
    hold_ttl_ms = fields.duration_ms("sale.hold_ttl", sale.hold_ttl, 1, zero_allowed=True)
    if hold_ttl_ms > MAX_SALE_HOLD_TTL_MS:
        fields.add_violation("sale.hold_ttl", "must be at most 24 hours")
    return "hold_ttl_ms", hold_ttl_ms


def _max_hold_ttl(sale: Sale, fields: Validator) -> tuple[str, Setting]:
    if not sale.HasField("max_hold_ttl"):
        return "max_hold_ttl_ms", None
    max_hold_ttl_ms = fields.duration_ms("sale.max_hold_ttl", sale.max_hold_ttl, 1, zero_allowed=True)
    if max_hold_ttl_ms > MAX_SALE_HOLD_TTL_MS:
        fields.add_violation(*_MAX_HOLD_TTL)
    return "max_hold_ttl_ms", max_hold_ttl_ms


def _buyer_limit(sale: Sale, fields: Validator) -> tuple[str, Setting]:
    fields.number("sale.buyer_limit", sale.buyer_limit, 0, MAX_BUYER_LIMIT)
    return "buyer_limit", sale.buyer_limit


def _attempts_per_minute(sale: Sale, fields: Validator) -> tuple[str, Setting]:
    fields.number("sale.attempts_per_minute", sale.attempts_per_minute, 0, MAX_ATTEMPTS_PER_MINUTE)
    return "attempts_per_minute", sale.attempts_per_minute


def _return_window(sale: Sale, fields: Validator) -> tuple[str, Setting]:
    window_ms = fields.duration_ms("sale.return_window", sale.return_window, 0)
    if window_ms > MAX_RETURN_WINDOW_MS:
        fields.add_violation("sale.return_window", "must be at most 90 days")
    return "return_window_ms", window_ms


# By the name that an update mask has: the setting, and its value in the request.
_READERS: Final[Mapping[str, Callable[[Sale, Validator], tuple[str, Setting]]]] = {
    "title": _title,
    "start_time": _start_time,
    "end_time": _end_time,
    "hold_ttl": _hold_ttl,
    "max_hold_ttl": _max_hold_ttl,
    "buyer_limit": _buyer_limit,
    "attempts_per_minute": _attempts_per_minute,
    "return_window": _return_window,
}
SETTINGS: Final = tuple(_READERS)
