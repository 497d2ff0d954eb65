"""From messages to requests: valid ones are normalised, and every bad field is named once."""

from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from holdfast.inventory.v1 import inventory_admin_service_pb2 as admin
from holdfast.inventory.v1 import inventory_service_pb2 as calls
from holdfast.inventory.v1.reservation_pb2 import Line
from holdfast.inventory.v1.sale_pb2 import Item, Sale

from inventory_service.domain.keys import SaleKey
from inventory_service.domain.moves import Move, MoveKind
from inventory_service.domain.reservation import Line as DomainLine
from inventory_service.domain.reserve import Reserve
from inventory_service.domain.sale import NewItem
from inventory_service.rpc.calls.buyers import buyer_to_block, buyer_to_unblock
from inventory_service.rpc.calls.moves import (
    change_from_proto,
    confirm_from_proto,
    extend_from_proto,
    release_from_proto,
    return_from_proto,
)
from inventory_service.rpc.calls.reads import reservation_named, sale_named
from inventory_service.rpc.calls.reserve import reserve_from_proto
from inventory_service.rpc.calls.sales import create_sale_from_proto
from inventory_service.rpc.status import CallFailed

TENANT = "default"
HOUR_S = 3600


def reserve(**changed: Any) -> calls.ReserveRequest:
    sound: dict[str, Any] = {
        "sale_id": "lamp-sale",
        "reservation_id": "r-1",
        "buyer_id": "b:1",
        "lines": [Line(sku="lamp", quantity=2)],
    }
    return calls.ReserveRequest(**{**sound, **changed})


def create(**changed: Any) -> admin.CreateSaleRequest:
    sound: dict[str, Any] = {"sale_id": "lamp-sale", "items": [Item(sku="lamp", total=5)]}
    return admin.CreateSaleRequest(sale=Sale(**{**sound, **changed}))


def bad_fields(call: Any, request: Any) -> list[str]:
    """The fields in which a parser finds a violation."""
    try:
        call(request, *([TENANT] if call not in (buyer_to_block, buyer_to_unblock) else []))
    except CallFailed as failed:
        return [violation.field for violation in failed.violations]
    return []


def seconds(seconds: int, nanos: int = 0) -> dict[str, int]:
    return {"seconds": seconds, "nanos": nanos}


BAD_RESERVES: list[tuple[dict[str, Any], list[str]]] = [
    ({"sale_id": ""}, ["sale_id"]),
    ({"sale_id": "a/b"}, ["sale_id"]),
    ({"sale_id": "x" * 65}, ["sale_id"]),
    ({"reservation_id": "r 1"}, ["reservation_id"]),
    ({"reservation_id": "r-1\n"}, ["reservation_id"]),
    ({"buyer_id": "käufer"}, ["buyer_id"]),
    ({"lines": []}, ["lines"]),
    ({"lines": [Line(sku=f"s{n}", quantity=1) for n in range(21)]}, ["lines"]),
    ({"lines": [Line(sku="", quantity=1)]}, ["lines[0].sku"]),
    ({"lines": [Line(sku="lamp", quantity=0)]}, ["lines[0].quantity"]),
    ({"lines": [Line(sku="lamp", quantity=-1)]}, ["lines[0].quantity"]),
    ({"lines": [Line(sku="lamp", quantity=1001)]}, ["lines[0].quantity"]),
    ({"lines": [Line(sku="lamp", quantity=2**63 - 1)]}, ["lines[0].quantity"]),
    ({"lines": [Line(sku="lamp", quantity=600), Line(sku="lamp", quantity=401)]}, ["lines[1].quantity"]),
    ({"hold_ttl": seconds(0)}, ["hold_ttl"]),
    ({"hold_ttl": seconds(0, 999_999_999)}, ["hold_ttl"]),
    ({"hold_ttl": seconds(-5)}, ["hold_ttl"]),
    ({"hold_ttl": seconds(5, -1)}, ["hold_ttl"]),
    ({"hold_ttl": seconds(5, 1_000_000_000)}, ["hold_ttl"]),
    ({"hold_ttl": seconds(2**62)}, ["hold_ttl"]),
    ({"reference": "cart 7"}, ["reference"]),
    ({"reference": "x" * 65}, ["reference"]),
    (
        {"sale_id": "", "reservation_id": "", "buyer_id": "", "lines": [], "hold_ttl": seconds(0)},
        ["sale_id", "reservation_id", "buyer_id", "lines", "hold_ttl"],
    ),
    (
        {"lines": [Line(sku="a b", quantity=0), Line(sku="lamp", quantity=1), Line(sku="", quantity=2000)]},
        ["lines[0].sku", "lines[0].quantity", "lines[2].sku", "lines[2].quantity"],
    ),
]


@pytest.mark.parametrize(("changed", "named"), BAD_RESERVES)
def test_every_bad_field_of_a_reserve_is_named(changed: dict[str, Any], named: list[str]) -> None:
    """A caller can correct a request at once only if the status names every bad field."""
    assert bad_fields(reserve_from_proto, reserve(**changed)) == named


def test_a_usual_reserve_is_parsed() -> None:
    """One line and no `hold_ttl`: the fast path through the checks."""
    request = reserve_from_proto(reserve(), TENANT)

    key = SaleKey(TENANT, "lamp-sale")
    assert request == Reserve(key, "r-1", "b:1", (DomainLine("lamp", 2),), None)


def test_values_at_the_bounds_are_valid() -> None:
    """The protos give the bounds as inclusive."""
    longest = "".join("aZ0._:-z"[n % 8] for n in range(64))

    valid = reserve(sale_id=longest, lines=[Line(sku=f"s{n}", quantity=1000) for n in range(20)], hold_ttl=seconds(1))

    assert bad_fields(reserve_from_proto, valid) == []


def test_a_reference_is_kept_as_it_is() -> None:
    """It has the alphabet of ids; an empty one is none."""
    assert reserve_from_proto(reserve(reference="Cart:7._-"), TENANT).reference == "Cart:7._-"
    assert reserve_from_proto(reserve(reference=""), TENANT).reference == ""


def test_equal_skus_are_summed_and_lines_sorted() -> None:
    """Equal requests must have equal fingerprints, whatever the order of their lines."""
    lines = [Line(sku="b", quantity=400), Line(sku="a", quantity=1), Line(sku="b", quantity=600)]

    request = reserve_from_proto(reserve(lines=lines), TENANT)

    assert request.lines == (DomainLine("a", 1), DomainLine("b", 1000))


def test_a_hold_ttl_is_cut_to_whole_milliseconds() -> None:
    """Not rounded up: no hold lasts longer than asked for."""
    request = reserve_from_proto(reserve(hold_ttl=seconds(2, 1_999_999)), TENANT)

    assert request.hold_ttl_ms == 2001


def test_a_huge_hold_ttl_is_cut_to_the_largest_number_that_lua_writes_plainly() -> None:
    """The script cuts it to the sale's `max_hold_ttl` anyway."""
    request = reserve_from_proto(reserve(hold_ttl=seconds(315_576_000_000)), TENANT)

    assert request.hold_ttl_ms == 10**13


BAD_SALES: list[tuple[dict[str, Any], list[str]]] = [
    ({"sale_id": ""}, ["sale.sale_id"]),
    ({"title": "x" * 201}, ["sale.title"]),
    ({"title": "a\0b"}, ["sale.title"]),
    ({"items": []}, ["sale.items"]),
    ({"items": [Item(sku=f"s{n}") for n in range(1001)]}, ["sale.items"]),
    ({"items": [Item(sku="a", total=-1)]}, ["sale.items[0].total"]),
    ({"items": [Item(sku="a", total=10**12 + 1)]}, ["sale.items[0].total"]),
    ({"items": [Item(sku="a"), Item(sku="b"), Item(sku="a")]}, ["sale.items[2].sku"]),
    ({"items": [Item(sku=""), Item(sku="")]}, ["sale.items[0].sku", "sale.items[1].sku"]),
    ({"buyer_limit": -1}, ["sale.buyer_limit"]),
    ({"attempts_per_minute": -1}, ["sale.attempts_per_minute"]),
    ({"attempts_per_minute": 601}, ["sale.attempts_per_minute"]),
    ({"return_window": seconds(-1)}, ["sale.return_window"]),
    ({"return_window": seconds(90 * 24 * HOUR_S + 1)}, ["sale.return_window"]),
    ({"items": [Item(sku="a", buyer_limit=-1)]}, ["sale.items[0].buyer_limit"]),
    ({"items": [Item(sku="a", buyer_limit=2**53 + 1)]}, ["sale.items[0].buyer_limit"]),
    ({"start_time": seconds(-1)}, ["sale.start_time"]),
    ({"start_time": seconds(1, 10**9)}, ["sale.start_time"]),
    ({"start_time": seconds(253_402_300_800)}, ["sale.start_time"]),
    ({"start_time": seconds(9), "end_time": seconds(9)}, ["sale.end_time"]),
    ({"start_time": seconds(9, 1), "end_time": seconds(9, 2)}, ["sale.end_time"]),
    ({"hold_ttl": seconds(-1)}, ["sale.hold_ttl"]),
    ({"hold_ttl": seconds(0, 1)}, ["sale.hold_ttl"]),
    ({"hold_ttl": seconds(24 * HOUR_S, 1_000_000)}, ["sale.hold_ttl"]),
    ({"max_hold_ttl": seconds(599)}, ["sale.max_hold_ttl"]),
    ({"hold_ttl": seconds(60), "max_hold_ttl": seconds(59)}, ["sale.max_hold_ttl"]),
    ({"hold_ttl": seconds(60), "max_hold_ttl": seconds(24 * HOUR_S + 1)}, ["sale.max_hold_ttl"]),
]


@pytest.mark.parametrize(("changed", "named"), BAD_SALES)
def test_every_bad_field_of_a_sale_is_named(changed: dict[str, Any], named: list[str]) -> None:
    """No sale with a bad field is made."""
    assert bad_fields(create_sale_from_proto, create(**changed)) == named


def test_an_empty_create_names_what_is_missing() -> None:
    """A caller that left the sale out gets the required fields."""
    assert bad_fields(create_sale_from_proto, admin.CreateSaleRequest()) == ["sale.sale_id", "sale.items"]


def test_unset_settings_of_a_sale_get_their_defaults() -> None:
    """A hold lasts ten minutes, also with extensions; the start is left to the shard's clock."""
    made = create_sale_from_proto(create(), TENANT)

    assert (made.start_time_ms, made.end_time_ms, made.hold_ttl_ms, made.max_hold_ttl_ms) == (
        None,
        None,
        600_000,
        600_000,
    )
    assert (made.title, made.buyer_limit, made.items) == ("", 0, (NewItem("lamp", 5),))


def test_a_hold_ttl_of_zero_makes_a_sale_without_holds() -> None:
    """A zero that is set differs from a field that is not set."""
    made = create_sale_from_proto(create(hold_ttl=seconds(0)), TENANT)

    assert (made.hold_ttl_ms, made.max_hold_ttl_ms) == (0, 0)


def test_output_only_fields_of_a_sale_are_ignored() -> None:
    """A sale that was read may be sent again with another id."""
    items = [Item(sku="b", total=1, available=7, held=-3, sold=9), Item(sku="a", total=10**12)]

    made = create_sale_from_proto(create(items=items, state=2, etag="x", create_time=seconds(-9)), TENANT)

    assert made.items == (NewItem("a", 10**12), NewItem("b", 1))


@pytest.mark.parametrize(
    ("call", "request_", "named"),
    [
        (confirm_from_proto, calls.ConfirmReservationRequest(), ["sale_id", "reservation_id"]),
        (
            release_from_proto,
            calls.ReleaseReservationRequest(sale_id="s", reservation_id="r", reason="x" * 257),
            ["reason"],
        ),
        (
            release_from_proto,
            calls.ReleaseReservationRequest(sale_id="s", reservation_id="r", reason="\0"),
            ["reason"],
        ),
        (
            confirm_from_proto,
            calls.ConfirmReservationRequest(
                sale_id="s", reservation_id="r", partial={"lines": [Line(sku="lamp")]}, expected_revision=0
            ),
            ["expected_revision", "partial.lines[0].quantity"],
        ),
        (
            release_from_proto,
            calls.ReleaseReservationRequest(sale_id="s", reservation_id="r", expected_revision=-1),
            ["expected_revision"],
        ),
        (
            confirm_from_proto,
            calls.ConfirmReservationRequest(sale_id="s", reservation_id="r", partial={}),
            ["partial.lines"],
        ),
        (extend_from_proto, calls.ExtendReservationRequest(sale_id="s", reservation_id="r"), ["hold_ttl"]),
        (
            extend_from_proto,
            calls.ExtendReservationRequest(reservation_id="r", hold_ttl=seconds(-1), expected_revision=0),
            ["sale_id", "expected_revision", "hold_ttl"],
        ),
        (change_from_proto, calls.ChangeReservationRequest(sale_id="s", reservation_id="r"), ["lines"]),
        (return_from_proto, calls.ReturnReservationRequest(sale_id="s", reservation_id="r"), ["reason"]),
        (
            return_from_proto,
            calls.ReturnReservationRequest(
                sale_id="s", reservation_id="r", reason="x" * 257, lines=[Line(sku="a", quantity=1)] * 21
            ),
            ["reason", "lines"],
        ),
        (reservation_named, calls.GetReservationRequest(sale_id="s"), ["reservation_id"]),
        (sale_named, calls.GetSaleRequest(sale_id="*"), ["sale_id"]),
        (buyer_to_block, admin.BlockBuyerRequest(), ["buyer_id", "reason"]),
        (buyer_to_unblock, admin.UnblockBuyerRequest(buyer_id="/"), ["buyer_id"]),
        (buyer_to_block, admin.BlockBuyerRequest(buyer_id="b", reason="x" * 257), ["reason"]),
    ],
)
def test_every_bad_field_of_the_other_calls_is_named(call: Any, request_: Any, named: list[str]) -> None:
    """Moves, reads and block name their bad fields as Reserve does."""
    assert bad_fields(call, request_) == named


def test_a_move_has_all_that_is_asked_for() -> None:
    """Lines are summed and sorted, moments are cut to milliseconds, and what is not set is not asked for."""
    lines = [Line(sku="b", quantity=1), Line(sku="a", quantity=2), Line(sku="b", quantity=3)]
    summed = (DomainLine("a", 2), DomainLine("b", 4))
    named: dict[str, Any] = {"sale_id": "s", "reservation_id": "r"}
    sale = SaleKey(TENANT, "s")

    asked = [
        confirm_from_proto(calls.ConfirmReservationRequest(**named), TENANT),
        confirm_from_proto(
            calls.ConfirmReservationRequest(**named, partial={"lines": lines}, expected_revision=3), TENANT
        ),
        extend_from_proto(
            calls.ExtendReservationRequest(**named, hold_ttl=Duration(seconds=2, nanos=1_999_999)), TENANT
        ),
        return_from_proto(calls.ReturnReservationRequest(**named, reason="x"), TENANT),
        return_from_proto(calls.ReturnReservationRequest(**named, reason="x", lines=lines, discard=True), TENANT),
    ]

    assert asked == [
        Move(sale, "r", MoveKind.CONFIRM),
        Move(sale, "r", MoveKind.CONFIRM, expected_revision=3, lines=summed),
        Move(sale, "r", MoveKind.EXTEND, hold_ttl_ms=2001),
        Move(sale, "r", MoveKind.RETURN, "x"),
        Move(sale, "r", MoveKind.RETURN, "x", lines=summed, discards=True),
    ]


def test_a_reason_of_256_wide_characters_is_valid() -> None:
    """Bounds count characters, not bytes."""
    wide = calls.ReleaseReservationRequest(sale_id="s", reservation_id="r", reason="🛒" * 256, spend_id=True)

    assert release_from_proto(wide, TENANT).note == "🛒" * 256
