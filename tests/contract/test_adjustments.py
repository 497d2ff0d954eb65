"""Adjusting the stock of an item, on each implementation."""

from typing import Any

import pytest
from holdfast.inventory.v1.error_reason_pb2 import ErrorReason

from inventory_service.domain.events import ReservationChange, StockAdjusted
from inventory_service.domain.keys import Position
from inventory_service.domain.reservation import EXPIRED, RELEASED
from inventory_service.domain.results import Failure
from inventory_service.domain.sale import Adjusted, Adjustment, AdjustStock, Item, SaleAction, SaleRead
from tests.contract.requests import MINUTE_MS, SALE, act, adjust, confirm, create, reserve
from tests.contract.shards import FIRST_MOMENT_MS, NOT_SERVED, ShardUnderTest
from tests.sales import make_sale

MAX_TOTAL = 10**12


async def adjusted(shard: ShardUnderTest, request: AdjustStock) -> Adjusted:
    """Adjust stock; fails unless it is adjusted, or was so before."""
    answer = await shard.stock.change_sale(request)
    assert isinstance(answer, Adjusted), answer
    return answer


async def refused(shard: ShardUnderTest, request: AdjustStock) -> Failure:
    """The failure of an adjustment, after which everything is as it was."""
    kept = await shard.contents()
    answer = await shard.stock.change_sale(request)
    assert isinstance(answer, Failure), answer
    assert await shard.contents() == kept
    return answer


async def lamps(shard: ShardUnderTest) -> Item:
    """The stock of lamps."""
    found = await shard.stock.find_sale(SALE)
    assert isinstance(found, SaleRead)
    return found.sale.items[0]


async def test_an_adjustment_changes_what_is_available(shard: ShardUnderTest) -> None:
    """What is held and sold stays; the answer is the adjustment with its place, beside the item as it stands."""
    await make_sale(shard.stock, create())
    await shard.stock.reserve(reserve("r-1", lamp=3))
    await shard.tick(7)
    request = adjust(delta=5, expected_total=10, reason="Nachlieferung", reference="note 7/日本", actor="ops")

    answer = await adjusted(shard, request)

    made = Adjustment(
        SALE, "a-1", "lamp", 5, 15, "Nachlieferung", "note 7/日本", "ops", FIRST_MOMENT_MS + 7, Position(0, 1, 3, 0)
    )
    assert answer == Adjusted(made, Item("lamp", 15, 12, 3, 0))
    assert (await shard.commits())[-1].events == (StockAdjusted(request, 5, 15),)


@pytest.mark.parametrize(
    ("request_", "change"),
    [
        (adjust(delta=-10), -10),
        (adjust(new_total=0), -10),
        (adjust(new_total=10), 0),
        (adjust(new_total=MAX_TOTAL), MAX_TOTAL - 10),
        (adjust(delta=MAX_TOTAL - 10), MAX_TOTAL - 10),
    ],
    ids=repr,
)
async def test_an_adjustment_goes_to_every_total(shard: ShardUnderTest, request_: AdjustStock, change: int) -> None:
    """From 0 to 10^12; where the total is right already it is made too, and changes nothing."""
    await make_sale(shard.stock, create())

    answer = await adjusted(shard, request_)

    after = 10 + change
    assert (answer.adjustment.delta, answer.adjustment.total_after) == (change, after)
    assert await lamps(shard) == answer.item == Item("lamp", after, after, 0, 0)
    assert (await shard.commits())[-1].events == (StockAdjusted(request_, change, after),)


async def test_a_repeat_hears_the_adjustment_as_it_was_made(shard: ShardUnderTest) -> None:
    """Whatever has become of the total and of the expectation since; its reason may be worded differently."""
    await make_sale(shard.stock, create())
    first = await adjusted(shard, adjust(delta=5, expected_total=10, reason="found", reference="n-1"))
    await adjusted(shard, adjust("a-2", new_total=3))
    kept = await shard.contents()

    again = await adjusted(shard, adjust(delta=5, expected_total=10, reason="found again", reference="n-1"))

    assert again == Adjusted(first.adjustment, Item("lamp", 3, 3, 0, 0), replayed=True)
    assert await shard.contents() == kept


@pytest.mark.parametrize(
    "other",
    [{"delta": 6}, {"new_total": 15}, {"expected_total": 10}, {"reference": "n-2"}, {"sku": "shade"}],
    ids=lambda other: next(iter(other)),
)
async def test_a_known_id_with_another_body_is_reused(shard: ShardUnderTest, other: dict[str, Any]) -> None:
    """It is kept for as long as the sale; one that failed is not."""
    await make_sale(shard.stock, create())
    await refused(shard, adjust(delta=-11))
    await adjusted(shard, adjust(delta=5))

    failure = await refused(shard, adjust(**({"delta": 5} if "new_total" not in other else {}) | other))

    expected = {"sale_id": SALE.sale_id, "adjustment_id": "a-1"}
    assert failure == Failure(ErrorReason.ERROR_REASON_ADJUSTMENT_ID_REUSED, expected)


async def test_the_first_reason_that_applies_is_the_answer(shard: ShardUnderTest) -> None:
    """Sale, id, item, expected total, largest total, units in use."""
    nowhere = await refused(shard, adjust())
    await make_sale(shard.stock, create())
    await shard.stock.reserve(reserve("r-1", lamp=3))
    await adjusted(shard, adjust("used", delta=1))

    reused = await refused(shard, adjust("used", sku="none", delta=1))
    no_item = await refused(shard, adjust(sku="none", delta=-99, expected_total=1))
    mismatches = [
        await refused(shard, adjust(delta=MAX_TOTAL, expected_total=1)),
        await refused(shard, adjust(new_total=0, expected_total=1)),
    ]
    too_many = await refused(shard, adjust(delta=MAX_TOTAL - 10))
    in_use = await refused(shard, adjust(new_total=2))

    assert nowhere == Failure(ErrorReason.ERROR_REASON_SALE_NOT_FOUND, {"sale_id": SALE.sale_id})
    assert reused.reason == ErrorReason.ERROR_REASON_ADJUSTMENT_ID_REUSED
    expected = {"sale_id": SALE.sale_id, "sku": "none"}
    assert no_item == Failure(ErrorReason.ERROR_REASON_ITEM_NOT_FOUND, expected)
    assert mismatches == [Failure(ErrorReason.ERROR_REASON_TOTAL_MISMATCH, {"sku": "lamp", "total": "11"})] * 2
    assert too_many == Failure(ErrorReason.ERROR_REASON_FIELD_OUT_OF_BOUNDS, {"field": "delta"})
    expected = {"sku": "lamp", "held": "3", "sold": "0"}
    assert in_use == Failure(ErrorReason.ERROR_REASON_STOCK_IN_USE, expected)


async def test_what_is_held_and_sold_stays_in_the_sale(shard: ShardUnderTest) -> None:
    """To the last unit."""
    await make_sale(shard.stock, create())
    await shard.stock.reserve(reserve("r-1", lamp=3))
    await shard.stock.reserve(reserve("r-2", lamp=2))
    await shard.stock.move(confirm("r-2"))

    failure = await refused(shard, adjust(delta=-6))
    answer = await adjusted(shard, adjust(delta=-5))

    assert failure.metadata == {"sku": "lamp", "held": "3", "sold": "2"}
    assert answer.item == Item("lamp", 5, 0, 3, 2)


async def test_overdue_holds_are_taken_back_before_units_are_in_use(shard: ShardUnderTest) -> None:
    """In the same commit, and only if they are needed."""
    await make_sale(shard.stock, create(hold_ttl_ms=MINUTE_MS))
    await shard.stock.reserve(reserve("r-1", lamp=3))
    await shard.tick(MINUTE_MS)

    not_needed = await adjusted(shard, adjust("a-1", new_total=3))
    needed = await adjusted(shard, adjust("a-2", new_total=2))

    assert not_needed.item == Item("lamp", 3, 0, 3, 0)
    assert needed.item == Item("lamp", 2, 2, 0, 0)
    taken_back, made = (await shard.commits())[-1].events
    assert isinstance(taken_back, ReservationChange)
    assert taken_back.reservation.state == EXPIRED
    assert isinstance(made, StockAdjusted)
    assert needed.adjustment.position.index == 1


@NOT_SERVED
async def test_many_released_holds_are_taken_back_in_steps(shard: ShardUnderTest) -> None:
    """A hundred a call, until the adjustment is judged; a refused one leaves them taken back."""
    await make_sale(shard.stock, create(items={"lamp": 300}))
    for first in range(0, 280, 70):
        await shard.stock.reserve_many(0, [reserve(f"r-{number}") for number in range(first, first + 70)])
    await shard.stock.move_many(0, [confirm(f"r-{number}") for number in range(10)])
    await shard.stock.change_sale(act(SaleAction.CLOSE_AND_RELEASE))
    commits_before = len(await shard.commits())

    failure = await shard.stock.change_sale(adjust(new_total=9))
    answer = await adjusted(shard, adjust(new_total=10))

    assert isinstance(failure, Failure)
    assert failure.metadata == {"sku": "lamp", "held": "0", "sold": "10"}
    assert answer.item == Item("lamp", 10, 0, 0, 10)
    taken_back, again, made = (await shard.commits())[commits_before:]
    assert [len(commit.events) for commit in (taken_back, again, made)] == [100, 70, 1]
    changes = [event for commit in (taken_back, again) for event in commit.events]
    assert {event.reservation.state for event in changes if isinstance(event, ReservationChange)} == {RELEASED}


async def test_stock_is_adjusted_in_every_state(shard: ShardUnderTest) -> None:
    """Goods arrive, and are counted, before the start and after the end as well."""
    await make_sale(shard.stock, create(start_time_ms=FIRST_MOMENT_MS + 1, end_time_ms=FIRST_MOMENT_MS + 2))
    totals = []
    for number, action in enumerate((None, SaleAction.PAUSE, None, SaleAction.CLOSE)):
        if action is not None:
            await shard.stock.change_sale(act(action))
        totals.append((await adjusted(shard, adjust(f"a-{number}"))).item.total)
        await shard.tick(1)

    assert totals == [11, 12, 13, 14]
