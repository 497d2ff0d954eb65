"""The comparison of a sale: each kind of difference has its subject, and what has changed since is read again."""

from typing import Any

import pytest

from inventory_service.domain.keys import Position
from inventory_service.domain.reconciliation import ItemInRedis, RefusedOrder, ReservationSnapshot
from inventory_service.domain.reservation import COMPENSATED, CONFIRMED, HELD, RELEASED, Units
from inventory_service.domain.sale_reconciliation import ItemAtCommit as AtCommit
from inventory_service.domain.sale_reconciliation import (
    Judged,
    SaleRow,
    TakenUnits,
    judge_reservations,
    orders_by_id,
    sale_differences,
    stock_differences,
)
from inventory_service.domain.shard_load import StoredSettings
from inventory_service.domain.shards import CommitId

HEAD, NOTHING_LEFT = CommitId(1, 50), CommitId(0, 0)
END_MS = 1_800_000_000_000
HOLD = ReservationSnapshot(
    "r-1", HELD, 1, END_MS, END_MS, Position(0, 1, 5, 0), Position(0, 1, 5, 0), "bob", (Units("lamp", 2, 0, 0),)
)
SOLD = HOLD._replace(
    state=CONFIRMED, revision=2, due_ms=0, position=Position(0, 1, 9, 1), lines=(Units("lamp", 2, 2, 1),)
)
SETTINGS = StoredSettings(
    1, -1, 600_000, 900_000, 5, 0, 0, 0, 0, 0, 1, 4, 0, 1_700_000_000_000, 1_700_000_000_000, "Lamps", "body", ""
)


def letter(order: ReservationSnapshot, is_open: bool = True) -> RefusedOrder:
    """The dead letter of an order: of units it knows those claimed, and those owned as sold."""
    owned = tuple(Units(each.sku, each.claimed, each.sold - each.came_back, 0) for each in order.lines)
    return RefusedOrder(order._replace(lines=owned), CommitId(*order.position[1:3]), is_open, is_id_reused=False)


def judge(
    redis: ReservationSnapshot | None,
    row: ReservationSnapshot | None,
    *letters: RefusedOrder,
    archived: CommitId = NOTHING_LEFT,
) -> Judged:
    in_redis = {"r-1": redis} if redis else {}
    return judge_reservations(["r-1"], in_redis, orders_by_id({"r-1": row} if row else {}, letters), HEAD, archived)


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"state": RELEASED}, ("state", "HELD", "RELEASED")),
        ({"revision": 3}, ("revision", "1", "3")),
        ({"position": Position(0, 1, 6, 2)}, ("position", "1-5-0", "1-6-2")),
        ({"buyer_id": "eve"}, ("buyer", "bob", "eve")),
        ({"expire_time_ms": END_MS + 1}, ("expire_time", "2027-01-15T08:00:00.000Z", "2027-01-15T08:00:00.001Z")),
        ({"due_ms": 0}, ("due time", "2027-01-15T08:00:00.000Z", "none")),
        (
            {"lines": (Units("lamp", 2, 1, 0),)},
            ("item lamp", "2 claimed, 0 sold, 0 came back", "2 claimed, 1 sold, 0 came back"),
        ),
    ],
)
def test_each_field_of_a_reservation_is_compared(changed: dict[str, Any], expected: tuple[str, str, str]) -> None:
    """Its subject names the reservation and the field."""
    field, redis_value, ledger_value = expected

    judged = judge(HOLD, HOLD._replace(**changed))

    assert judged.differences == [(f"reservation r-1 {field}", redis_value, ledger_value)]
    assert judge(HOLD, HOLD) == ([], 1, [])


def test_lines_of_other_items_are_compared() -> None:
    """An item that only one side has, has no units on the other."""
    judged = judge(HOLD, HOLD._replace(lines=(Units("shade", 1, 0, 0),)))

    assert judged.differences == [
        ("reservation r-1 item lamp", "2 claimed, 0 sold, 0 came back", "none"),
        ("reservation r-1 item shade", "none", "1 claimed, 0 sold, 0 came back"),
    ]


def test_what_has_changed_above_the_head_is_read_again() -> None:
    """The ledger is ahead of what was read in Redis, so nothing can be said of it yet."""
    later = SOLD._replace(position=Position(0, 1, 51, 0))

    assert judge(HOLD, later) == ([], 0, ["r-1"])
    assert judge(None, later) == ([], 0, ["r-1"])
    assert judge(HOLD, HOLD, letter(later)) == ([], 0, ["r-1"])
    assert judge(HOLD, SOLD._replace(position=Position(0, 1, 50, 9))).again == []


def test_a_reservation_that_one_side_lacks_is_a_difference() -> None:
    """Unless it is final and may have left Redis; what has changed after all that has left must be there."""
    assert judge(HOLD, None).differences == [("reservation r-1", "HELD, made at 1-5-0", "missing")]
    assert judge(None, HOLD, archived=HEAD).differences == [("reservation r-1", "missing", "HELD, made at 1-5-0")]
    assert judge(None, SOLD, archived=CommitId(1, 8)).differences == [
        ("reservation r-1", "missing", "CONFIRMED, made at 1-5-0")
    ]
    assert judge(None, SOLD, archived=CommitId(1, 9)) == ([], 0, [])


def test_a_refused_order_is_compared_with_its_dead_letter() -> None:
    """While it has units its row is missing or stays behind; a letter knows what is owned, and not what came back."""
    held_row = HOLD._replace(revision=1)

    assert judge(SOLD, held_row, letter(SOLD)) == ([], 1, [])
    assert judge(SOLD, None, letter(SOLD)) == ([], 1, [])
    assert judge(None, held_row, letter(SOLD), archived=HEAD).differences == [
        ("reservation r-1", "missing", "CONFIRMED, made at 1-5-0")
    ]
    assert judge(SOLD, held_row, letter(SOLD._replace(lines=(Units("lamp", 2, 2, 0),)))).differences == [
        ("reservation r-1 item lamp", "2 claimed, 1 sold, 0 came back", "2 claimed, 2 sold, 0 came back")
    ]


def test_a_settled_refusal_is_compared_with_the_row_and_without_one_with_the_letter() -> None:
    """The row of an order that has ended is for information and may have been left out."""
    ended = SOLD._replace(state=COMPENSATED, revision=3, lines=(Units("lamp", 2, 0, 0),))

    assert judge(ended, ended, letter(ended._replace(revision=9), is_open=False)) == ([], 1, [])
    assert judge(ended, None, letter(ended, is_open=False)) == ([], 1, [])
    assert judge(None, None, letter(ended, is_open=False), archived=HEAD) == ([], 0, [])


def test_an_id_that_was_used_again_names_two_orders() -> None:
    """The row is that of the first, which has left Redis; Redis has the second, which the ledger refused."""
    second = HOLD._replace(created=Position(0, 1, 40, 0), position=Position(0, 1, 40, 0))

    assert judge(second, SOLD, letter(second), archived=HEAD) == ([], 1, [])
    assert judge(second, SOLD, archived=HEAD).differences == [("reservation r-1", "HELD, made at 1-40-0", "missing")]


def test_stock_is_compared_with_what_refused_orders_hold_and_own() -> None:
    """They have it in Redis as held or sold; where that is not known, the sum must be equal."""
    redis = [ItemInRedis("lamp", 4, 3, 3)]
    ledger = [AtCommit("lamp", 0, total=10, available=4, held=2, sold=1, refused=3)]

    assert list(stock_differences(redis, ledger, {"lamp": TakenUnits(1, 2)})) == []
    assert list(stock_differences(redis, ledger, None)) == []
    assert list(stock_differences(redis, ledger, {"lamp": TakenUnits(2, 1)})) == [
        ("item lamp held", "3", "4"),
        ("item lamp sold", "3", "2"),
    ]
    assert list(stock_differences([ItemInRedis("lamp", 4, 4, 3, 7)], ledger, None)) == [
        ("item lamp buyer_limit", "7", "0"),
        ("item lamp total", "11", "10"),
        ("item lamp held and sold", "7", "6"),
    ]
    assert list(stock_differences([], ledger, {})) == [("item lamp", "missing", "present")]
    assert list(stock_differences(redis, [], {})) == [("item lamp", "present", "missing")]


@pytest.mark.parametrize("field", StoredSettings._fields)
def test_every_setting_of_a_sale_is_compared(field: str) -> None:
    """With the etag, which has three of them."""
    other: Any = "other" if isinstance(getattr(SETTINGS, field), str) else 86_400_000

    (difference,) = sale_differences(SETTINGS, SaleRow(SETTINGS._replace(**{field: other}), has_left=False))

    assert difference.subject.startswith("sale ")
    assert difference.redis != difference.ledger
    assert list(sale_differences(SETTINGS, SaleRow(SETTINGS, has_left=False))) == []


def test_a_sale_that_one_side_lacks_is_a_difference() -> None:
    """One that has left Redis must not be there any more."""
    row = SaleRow(SETTINGS, has_left=False)

    assert list(sale_differences(None, row)) == [("sale", "missing", "present")]
    assert list(sale_differences(SETTINGS, None)) == [("sale", "present", "missing")]
    assert list(sale_differences(SETTINGS, row._replace(has_left=True))) == [("sale", "present", "has left Redis")]
