"""Lists: from requests to selections and pages, and from elements to pages of bounded size."""

from collections.abc import Callable
from typing import Any

import pytest
from holdfast.inventory.v1 import inventory_admin_service_pb2 as admin
from holdfast.inventory.v1 import inventory_service_pb2 as calls

from inventory_service.domain.keys import Position
from inventory_service.domain.lists import DeadLetterSelection, PageRequest, ReservationSelection, SaleSelection
from inventory_service.domain.page_tokens import page_token
from inventory_service.rpc.calls.lists import (
    adjustments_named,
    blocked_buyers_named,
    dead_letters_named,
    reservations_named,
    sales_named,
)
from inventory_service.rpc.status import CallFailed

SHARDS = 2
BAD_PAGE: dict[str, Any] = {"page_size": -1, "page_token": "x"}
PAGE = ["page_size", "page_token"]


def reservations(**fields: Any) -> tuple[ReservationSelection, PageRequest, Position | None]:
    return reservations_named(calls.ListReservationsRequest(**fields), "acme", SHARDS)


def sales(**fields: Any) -> tuple[SaleSelection, PageRequest]:
    return sales_named(admin.ListSalesRequest(**fields), "acme")


def dead_letters(**fields: Any) -> tuple[DeadLetterSelection, PageRequest]:
    return dead_letters_named(admin.ListDeadLettersRequest(**fields), "acme")


def adjustments(**fields: Any) -> object:
    return adjustments_named(admin.ListAdjustmentsRequest(**fields), "acme")


def blocked_buyers(**fields: Any) -> object:
    return blocked_buyers_named(admin.ListBlockedBuyersRequest(**fields), "acme")


def bad_fields(named: Callable[..., object], **fields: Any) -> list[str]:
    with pytest.raises(CallFailed) as failed:
        named(**fields)
    return [violation.field for violation in failed.value.violations]


def test_every_bad_field_is_named() -> None:
    """In one error. UNSPECIFIED is no state, and there are two shards."""
    at_least = {"shard": SHARDS, "seq": -1}
    ids = {"buyer_id": "/", "sale_id": "x" * 65, "reference": "ñ"}

    assert bad_fields(reservations, **BAD_PAGE, **ids, states=[0, 1, 77], at_least=at_least) == [
        *("buyer_id", "sale_id", "reference", "states[0]", "states[2]", "at_least.shard", "at_least.seq", *PAGE)
    ]
    assert bad_fields(reservations, states=[1]) == ["buyer_id"]  # none of the three is set
    assert bad_fields(reservations, sale_id="s", at_least={"shard": -1, "epoch": -1, "index": -1}) == [
        *("at_least.shard", "at_least.epoch", "at_least.index")
    ]
    assert bad_fields(reservations, sale_id="s", states=[1] * 1001) == ["states"]
    assert bad_fields(sales, **BAD_PAGE, states=[7]) == ["states[0]", *PAGE]
    assert bad_fields(adjustments, **BAD_PAGE, sku="/") == ["sale_id", "sku", *PAGE]
    assert bad_fields(dead_letters, **BAD_PAGE, sale_id="/", states=[4]) == ["sale_id", "states[0]", *PAGE]
    assert bad_fields(blocked_buyers, **BAD_PAGE) == PAGE


@pytest.mark.parametrize(("asked", "size"), [(0, 50), (1, 1), (1000, 1000), (1001, 1000), (2**31 - 1, 1000)])
def test_a_page_has_a_usual_and_a_greatest_size(asked: int, size: int) -> None:
    """What exceeds the greatest is cut."""
    assert sales(page_size=asked)[1] == PageRequest(size, None)


def test_states_are_a_set() -> None:
    """So that a token serves for the same states in another order; each value that the protos name is one."""
    assert sales(states=[6, 1, 1, 2, 3, 4, 5])[0] == SaleSelection("acme", (1, 2, 3, 4, 5, 6))
    assert dead_letters(states=[3, 2, 1])[0] == DeadLetterSelection("acme", "", (1, 2, 3))
    selection, _, at_least = reservations(reference="cart:1", states=[6, 5, 4, 3, 2, 1], at_least={"shard": 1})
    assert selection == ReservationSelection("acme", "", "", "cart:1", (1, 2, 3, 4, 5, 6))
    assert at_least == Position(1, 0, 0, 0)


def test_a_token_is_of_the_tenant_and_the_selection_and_of_no_page_size() -> None:
    """Nor of the commit that the ledger must have, which may differ from page to page too."""
    key = (5, "lamp-sale", "r-1")
    token = page_token(ReservationSelection("acme", "ada", "", "", ()), key)

    _, page, _ = reservations(buyer_id="ada", page_token=token, page_size=3, at_least={"seq": 9})

    assert page == PageRequest(3, key)
    assert bad_fields(reservations, buyer_id="bob", page_token=token) == ["page_token"]
    assert bad_fields(reservations, buyer_id="ada", states=[1], page_token=token) == ["page_token"]
    theirs = page_token(ReservationSelection("zenith", "ada", "", "", ()), key)
    assert bad_fields(reservations, buyer_id="ada", page_token=theirs) == ["page_token"]
