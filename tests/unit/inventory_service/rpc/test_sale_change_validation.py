"""From messages to changes of sales and stock: valid ones are normalised, and every bad field is named once."""

from typing import Any

import pytest
from holdfast.inventory.v1 import inventory_admin_service_pb2 as admin
from holdfast.inventory.v1.sale_pb2 import Item, Sale

from inventory_service.domain.keys import SaleKey
from inventory_service.domain.results import Failure, field_out_of_bounds
from inventory_service.domain.sale import ActOnSale, AdjustStock, NewItem, SaleAction, UpdateSale
from inventory_service.rpc.calls.adjustments import adjust_stock_from_proto
from inventory_service.rpc.calls.sale_states import act_from_proto
from inventory_service.rpc.calls.sales import UPDATABLE, update_sale_from_proto
from inventory_service.rpc.sale_settings import sale_or_fail
from inventory_service.rpc.status import CallFailed

SALE = SaleKey("default", "lamp-sale")
HOUR_S = 3600


def update(*paths: str, **fields: Any) -> admin.UpdateSaleRequest:
    """An update of the fields that the mask names."""
    sale = Sale(**{"sale_id": "lamp-sale", **fields})
    return admin.UpdateSaleRequest(sale=sale, update_mask={"paths": paths})


def adjust(**changed: Any) -> admin.AdjustStockRequest:
    """A sound adjustment, with other fields."""
    sound: dict[str, Any] = {"sale_id": "lamp-sale", "sku": "lamp", "adjustment_id": "a-1", "reason": "found"}
    if "new_total" not in changed:
        sound["delta"] = 1
    return admin.AdjustStockRequest(**{**sound, **changed})


def update_from(request: admin.UpdateSaleRequest) -> UpdateSale:
    return update_sale_from_proto(request, "default", "ops")


def adjust_from(request: admin.AdjustStockRequest) -> AdjustStock:
    return adjust_stock_from_proto(request, "default", "ops")


def pause_from(request: admin.PauseSaleRequest) -> ActOnSale:
    return act_from_proto(request, SaleAction.PAUSE, "default", "ops")


@pytest.mark.parametrize(
    ("call", "request_", "named"),
    [
        (pause_from, admin.PauseSaleRequest(reason="x" * 257), ["sale_id", "reason"]),
        (update_from, admin.UpdateSaleRequest(), ["sale.sale_id", "update_mask"]),
        (update_from, update(), ["update_mask"]),
        (update_from, update("*"), ["update_mask"]),
        (update_from, update("title", "sale_id"), ["update_mask"]),
        (update_from, update("etag"), ["update_mask"]),
        (update_from, update("state"), ["update_mask"]),
        (update_from, update("items.total"), ["update_mask"]),
        (update_from, update("hold_ttl.seconds"), ["update_mask"]),
        (update_from, update("title", title="x" * 201), ["sale.title"]),
        (update_from, update("items"), ["sale.items"]),
        (update_from, update("items", items=[Item(sku="/", total=-1)]), ["sale.items[0].sku", "sale.items[0].total"]),
        (update_from, update("hold_ttl", hold_ttl={"seconds": 24 * HOUR_S + 1}), ["sale.hold_ttl"]),
        (update_from, update("max_hold_ttl", max_hold_ttl={"seconds": 24 * HOUR_S + 1}), ["sale.max_hold_ttl"]),
        (update_from, update("hold_ttl", "max_hold_ttl", max_hold_ttl={"seconds": 599}), ["sale.max_hold_ttl"]),
        (
            update_from,
            update("start_time", "end_time", start_time={"seconds": 5}, end_time={"seconds": 5}),
            ["sale.end_time"],
        ),
        (update_from, update("return_window", return_window={"seconds": 90 * 24 * HOUR_S + 1}), ["sale.return_window"]),
        (update_from, update("attempts_per_minute", attempts_per_minute=601), ["sale.attempts_per_minute"]),
        (update_from, update("buyer_limit", buyer_limit=-1), ["sale.buyer_limit"]),
        (adjust_from, admin.AdjustStockRequest(), ["sale_id", "sku", "adjustment_id", "change", "reason"]),
        (adjust_from, adjust(delta=0), ["delta"]),
        (adjust_from, adjust(delta=10**12 + 1), ["delta"]),
        (adjust_from, adjust(delta=-(10**12) - 1), ["delta"]),
        (adjust_from, adjust(new_total=-1), ["new_total"]),
        (adjust_from, adjust(new_total=10**12 + 1), ["new_total"]),
        (adjust_from, adjust(expected_total=-1), ["expected_total"]),
        (adjust_from, adjust(reason="", reference="x" * 257), ["reason", "reference"]),
        (adjust_from, adjust(reason="a\0b", reference="a\0b"), ["reason", "reference"]),
    ],
)
def test_every_bad_field_of_a_change_is_named(call: Any, request_: Any, named: list[str]) -> None:
    """Nothing is changed by a request with a bad field."""
    with pytest.raises(CallFailed) as failed:
        call(request_)

    assert [violation.field for violation in failed.value.violations] == named


def test_an_update_takes_what_its_mask_names_and_nothing_else() -> None:
    """A sale that was read may be sent back with one field changed; its etag guards the change."""
    sale = Sale(sale_id="lamp-sale", title="Other", buyer_limit=-5, paused=True, etag="1-2-0", items=[Item(sku="/")])

    taken = update_from(admin.UpdateSaleRequest(sale=sale, update_mask={"paths": ["title", "title"]}))

    assert taken == UpdateSale(SALE, {"title": "Other"}, (), "1-2-0", "ops")


def test_a_field_that_is_named_and_unset_is_as_at_creation() -> None:
    """What only the shard knows is left to it: the start, the end, and the longest life of a hold."""
    taken = update_from(update(*UPDATABLE, items=[Item(sku="b", total=2), Item(sku="a")]))

    assert taken.settings == {
        "title": "",
        "start_time_ms": None,
        "end_time_ms": None,
        "hold_ttl_ms": 600_000,
        "max_hold_ttl_ms": None,
        "buyer_limit": 0,
        "attempts_per_minute": 0,
        "return_window_ms": 0,
    }
    assert taken.items == (NewItem("a", 0), NewItem("b", 2))


def test_an_adjustment_asks_for_a_change_or_a_total() -> None:
    """A total of 0, and an expected total of 0, differ from none."""
    by = adjust_from(adjust(delta=-3, reference="n-1"))
    to = adjust_from(adjust(new_total=0, expected_total=0))

    assert by == AdjustStock(SALE, "a-1", "lamp", -3, None, None, "found", "n-1", "ops")
    assert to == AdjustStock(SALE, "a-1", "lamp", None, 0, 0, "found", "", "ops")


@pytest.mark.parametrize("field", ["start_time", "end_time", "hold_ttl", "max_hold_ttl", "items"])
def test_a_field_that_only_the_shard_can_judge_is_named_too(field: str) -> None:
    """As one that the server itself finds out of bounds."""
    with pytest.raises(CallFailed) as failed:
        sale_or_fail(field_out_of_bounds(field), SALE)

    (violation,) = failed.value.violations
    assert violation.field == f"sale.{field}"
    assert failed.value.failure == Failure(field_out_of_bounds(field).reason, {"sale_id": "lamp-sale"})
