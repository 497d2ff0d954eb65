"""Limits of one buyer, of an item and of the sale, on each implementation; and when another try may help."""

import pytest

from inventory_service.domain.reserve import Reserve
from tests.contract.requests import MINUTE_MS, SALE, compensate, confirm, create, release, reserve
from tests.contract.results import granted, reason_of, rejected
from tests.contract.shards import FIRST_MOMENT_MS, NOT_SERVED, ShardUnderTest
from tests.sales import make_sale

TWO_LAMPS = create(item_limits={"lamp": 2})


async def test_an_items_limit_counts_the_buyers_units_of_that_item(shard: ShardUnderTest) -> None:
    """Held or sold, of this buyer and this item alone."""
    await make_sale(shard.stock, create(item_limits={"lamp": 2, "shade": 3}))
    await granted(shard, reserve("r-1", lamp=1, shade=3))
    await granted(shard, reserve("r-2", lamp=1))
    await shard.stock.move(confirm("r-2"))

    over = await rejected(shard, reserve("r-3", lamp=1))
    await granted(shard, reserve("r-3", "b-2", lamp=2))

    assert (reason_of(over), over.limited_sku, over.buyer_remaining) == ("ITEM_LIMIT", "lamp", 0)


async def test_the_first_item_over_its_limit_is_named(shard: ShardUnderTest) -> None:
    """In the order of the SKUs, with what the buyer may still take of it."""
    await make_sale(shard.stock, create(items={"a": 9, "b": 9, "c": 9}, item_limits={"b": 5, "c": 1}))
    await granted(shard, reserve("r-1", b=2))

    over = await rejected(shard, reserve("r-2", a=9, b=4, c=9))

    assert (reason_of(over), over.limited_sku, over.buyer_remaining) == ("ITEM_LIMIT", "b", 3)


@pytest.mark.parametrize("end", ["release", "expire", "compensate", "compensate sold"])
async def test_units_that_come_back_do_not_count(shard: ShardUnderTest, end: str) -> None:
    """However they come back."""
    await make_sale(shard.stock, TWO_LAMPS)
    first = await granted(shard, reserve("r-1", lamp=2))
    if end == "compensate sold":
        await shard.stock.move(confirm("r-1"))
    if end == "release":
        await shard.stock.move(release("r-1"))
    elif end == "expire":
        await shard.tick(10 * MINUTE_MS)
    else:
        await shard.stock.compensate(compensate("r-1", first.reservation.created))

    await granted(shard, reserve("r-2", lamp=2))

    assert await shard.buyers(SALE) == {
        "b-1": {"held": 2, "sold": 0},
        "b-1/lamp": {"held": 2, "sold": 0},
    }


async def test_an_item_keeps_its_limit_and_shows_it(shard: ShardUnderTest) -> None:
    """Also after its stock has changed."""
    await make_sale(shard.stock, TWO_LAMPS)
    await granted(shard, reserve("r-1", lamp=1))
    found = await shard.stock.find_sale(SALE)

    assert [(item.sku, item.buyer_limit) for item in found.sale.items] == [("lamp", 2), ("shade", 0)]  # type: ignore[union-attr]


@NOT_SERVED
async def test_requests_of_one_call_count_for_each_other(shard: ShardUnderTest) -> None:
    """The units of all buyers are read once, before the first is judged."""
    await make_sale(shard.stock, TWO_LAMPS)
    requests = [reserve(f"r-{number}", f"b-{number % 2}", lamp=1) for number in range(6)]

    answers = await shard.stock.reserve_many(0, requests)

    assert [reason_of(answer) for answer in answers] == ["GRANTED"] * 4 + ["ITEM_LIMIT"] * 2


# ------------------------------------------------------------------------------------------------ retry_after


async def retry_after(shard: ShardUnderTest, request: Reserve) -> tuple[str, int | None]:
    """Why a request is rejected, and when another try may help."""
    answer = await rejected(shard, request)
    return reason_of(answer), answer.retry_after_ms


async def test_a_limit_may_allow_more_once_a_hold_ends(shard: ShardUnderTest) -> None:
    """Unless what is sold alone leaves no room."""
    await make_sale(shard.stock, create(item_limits={"lamp": 2}, buyer_limit=4, hold_ttl_ms=MINUTE_MS))
    await granted(shard, reserve("r-1", lamp=1))
    await granted(shard, reserve("r-2", shade=3))

    assert await retry_after(shard, reserve("r-3", lamp=2)) == ("ITEM_LIMIT", MINUTE_MS)
    assert await retry_after(shard, reserve("r-3", shade=3)) == ("BUYER_LIMIT", MINUTE_MS)

    await shard.stock.move(confirm("r-1"))
    await shard.tick(1000)

    assert await retry_after(shard, reserve("r-3", lamp=2)) == ("ITEM_LIMIT", None)
    assert await retry_after(shard, reserve("r-3", shade=3)) == ("BUYER_LIMIT", MINUTE_MS - 1000)
    await shard.stock.move(confirm("r-2"))
    assert await retry_after(shard, reserve("r-3", shade=3)) == ("BUYER_LIMIT", None)


async def test_every_limited_line_must_have_room(shard: ShardUnderTest) -> None:
    """Where one never will, the request is never granted by itself, whichever item is named."""
    await make_sale(shard.stock, create(item_limits={"lamp": 2, "shade": 1}, hold_ttl_ms=MINUTE_MS))
    await granted(shard, reserve("r-1", lamp=2))
    await granted(shard, reserve("r-2", shade=1))
    await shard.stock.move(confirm("r-2"))

    assert await retry_after(shard, reserve("r-3", lamp=1)) == ("ITEM_LIMIT", MINUTE_MS)
    assert await retry_after(shard, reserve("r-3", lamp=1, shade=1)) == ("ITEM_LIMIT", None)


async def test_every_short_line_must_be_held(shard: ShardUnderTest) -> None:
    """A line of which too little is held stays short when all holds end."""
    await make_sale(shard.stock, create(items={"lamp": 2, "shade": 2}, hold_ttl_ms=MINUTE_MS))
    await granted(shard, reserve("r-1", lamp=2, shade=1))
    await granted(shard, reserve("r-2", shade=1))
    await shard.stock.move(confirm("r-2"))

    assert await retry_after(shard, reserve("r-3", lamp=2)) == ("SOLD_OUT", MINUTE_MS)
    assert await retry_after(shard, reserve("r-3", lamp=2, shade=1)) == ("SOLD_OUT", MINUTE_MS)
    assert await retry_after(shard, reserve("r-3", lamp=2, shade=2)) == ("SOLD_OUT", None)


async def test_nothing_can_be_had_after_the_end(shard: ShardUnderTest) -> None:
    """The hold ends in the moment in which the sale does."""
    end_ms = FIRST_MOMENT_MS + MINUTE_MS
    await make_sale(shard.stock, create(items={"lamp": 1}, hold_ttl_ms=MINUTE_MS, end_time_ms=end_ms))
    await granted(shard, reserve("r-1"))

    assert await retry_after(shard, reserve("r-2")) == ("SOLD_OUT", None)
