"""UpdateSale, on each implementation: what each setting becomes, and what a change of it does to the sale."""

from typing import Any

import pytest

from inventory_service.domain.events import SaleChanged
from inventory_service.domain.results import Failure, Granted
from inventory_service.domain.sale import Item, NewItem, UpdateSale
from tests.contract.requests import MINUTE_MS, SALE, reserve, update
from tests.contract.sale_states import (
    END_MS,
    ENDED,
    OPEN,
    SCHEDULED,
    START_MS,
    changed,
    judged,
    out_of_bounds,
    sale_in,
    state_of,
    wrong_state,
)
from tests.contract.shards import FIRST_MOMENT_MS, ShardUnderTest

EVERY_SETTING: dict[str, Any] = {
    "title": "Größer — 灯",
    "start_time_ms": START_MS + 5,
    "end_time_ms": START_MS + 6,
    "hold_ttl_ms": 3 * MINUTE_MS,
    "max_hold_ttl_ms": 4 * MINUTE_MS,
    "buyer_limit": 2**53,
    "attempts_per_minute": 600,
    "return_window_ms": 90 * 86_400_000,
}


async def test_an_update_sets_each_setting_that_it_names(shard: ShardUnderTest) -> None:
    """Alone and all at once; the event has all settings after the change, so that it can be understood alone."""
    settings = (await sale_in(shard, SCHEDULED)).settings
    for name in ("title", "buyer_limit", "attempts_per_minute", "return_window_ms"):
        answer = await changed(shard, update(**{name: EVERY_SETTING[name]}))
        settings = settings._replace(**{name: EVERY_SETTING[name]})
        assert answer.sale.settings == settings

    answer = await changed(shard, UpdateSale(SALE, EVERY_SETTING, (NewItem("vase", 7),), actor="ops"))

    assert answer.sale.settings == settings._replace(**EVERY_SETTING)
    assert answer.sale.items == (Item("lamp", 10, 10, 0, 0), Item("shade", 10, 10, 0, 0), Item("vase", 7, 7, 0, 0))
    (event,) = (await shard.commits())[-1].events
    assert event == SaleChanged(SALE, answer.sale.settings, (NewItem("vase", 7),), reason="", actor="ops")


async def test_an_unset_setting_is_as_at_creation(shard: ShardUnderTest) -> None:
    """No end; the longest life of a hold is the usual one, after the change; a sale that waits for its start begins."""
    await sale_in(shard, SCHEDULED)
    await changed(shard, update(max_hold_ttl_ms=20 * MINUTE_MS))

    answer = await changed(shard, update(start_time_ms=None, end_time_ms=None, hold_ttl_ms=5000, max_hold_ttl_ms=None))

    settings = answer.sale.settings
    assert (settings.start_time_ms, settings.end_time_ms) == (FIRST_MOMENT_MS, None)
    assert (settings.hold_ttl_ms, settings.max_hold_ttl_ms) == (5000, 5000)
    assert state_of(answer.sale) == OPEN
    longest = await changed(shard, update(max_hold_ttl_ms=MINUTE_MS))
    shortest = await changed(shard, update(max_hold_ttl_ms=None))
    assert longest.sale.settings.max_hold_ttl_ms == MINUTE_MS
    assert shortest.sale.settings.max_hold_ttl_ms == 5000


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (update(end_time_ms=START_MS), "end_time"),
        (update(start_time_ms=END_MS), "start_time"),
        (update(start_time_ms=END_MS + 1, end_time_ms=END_MS), "end_time"),
        (update(hold_ttl_ms=10 * MINUTE_MS + 1), "hold_ttl"),
        (update(max_hold_ttl_ms=10 * MINUTE_MS - 1), "max_hold_ttl"),
        (update(hold_ttl_ms=11 * MINUTE_MS, max_hold_ttl_ms=10 * MINUTE_MS), "max_hold_ttl"),
        (update(items={f"sku-{number}": 1 for number in range(999)}), "items"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_settings_that_do_not_go_together_are_out_of_bounds(
    shard: ShardUnderTest, request_: UpdateSale, field: str
) -> None:
    """Only the shard knows the settings that the request leaves alone; nothing is changed by halves."""
    await sale_in(shard, SCHEDULED)

    assert await judged(shard, request_) == out_of_bounds(field)


async def test_a_sale_may_get_as_many_items_as_a_sale_may_have(shard: ShardUnderTest) -> None:
    """Those that it has already are not counted twice."""
    await sale_in(shard, OPEN)

    answer = await changed(shard, update(items={f"sku-{number}": 1 for number in range(998)} | {"lamp": 5}))

    assert len(answer.sale.items) == 1000
    one_more = await shard.stock.change_sale(update(items={"one-more": 1}))
    assert one_more == out_of_bounds("items")


async def test_an_item_that_is_there_is_left_alone(shard: ShardUnderTest) -> None:
    """Only AdjustStock changes a total; of those named, the missing ones are added."""
    await sale_in(shard, OPEN)
    await shard.stock.reserve(reserve("r-1", lamp=2))

    answer = await changed(shard, update(items={"lamp": 99, "vase": 2}))

    assert answer.sale.items[0] == Item("lamp", 10, 8, 2, 0)
    event = (await shard.commits())[-1].events[0]
    assert isinstance(event, SaleChanged)
    assert event.added == (NewItem("vase", 2),)
    assert isinstance(await shard.stock.reserve(reserve("r-2", "b-2", vase=2)), Granted)


async def test_an_end_opens_and_ends_a_sale(shard: ShardUnderTest) -> None:
    """One in the past ends it at once, one in the future, or none, has it sell again."""
    await sale_in(shard, OPEN)
    await shard.tick(500)

    ended = await changed(shard, update(end_time_ms=START_MS + 1))
    open_again = await changed(shard, update(end_time_ms=START_MS + 501))
    await shard.tick(1)
    for_good = await changed(shard, update(end_time_ms=None))

    assert [state_of(each.sale) for each in (ended, open_again, for_good)] == [ENDED, OPEN, OPEN]


async def test_a_start_in_the_past_is_kept_and_opens_the_sale(shard: ShardUnderTest) -> None:
    """As at creation."""
    await sale_in(shard, SCHEDULED)

    answer = await changed(shard, update(start_time_ms=5))

    assert (state_of(answer.sale), answer.sale.settings.start_time_ms) == (OPEN, 5)
    assert await judged(shard, update(start_time_ms=6)) == wrong_state(OPEN)


async def test_a_change_of_the_longest_life_leaves_holds_alone(shard: ShardUnderTest) -> None:
    """They keep the end that their buyers were told."""
    await sale_in(shard, OPEN)
    first = await shard.stock.reserve(reserve("r-1"))

    await changed(shard, update(hold_ttl_ms=1000, max_hold_ttl_ms=1000))
    second = await shard.stock.reserve(reserve("r-2", ttl_ms=5000))

    assert isinstance(first, Granted)
    assert isinstance(second, Granted)
    assert first.reservation.expire_time_ms == START_MS + 10 * MINUTE_MS
    assert second.reservation.expire_time_ms == START_MS + 1000
    found = await shard.stock.find_reservation(SALE, "r-1")
    assert not isinstance(found, Failure)
    assert found.reservation.expire_time_ms == first.reservation.expire_time_ms
