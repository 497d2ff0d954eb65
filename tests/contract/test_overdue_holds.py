"""Reserve takes back overdue holds before it rejects a request for a limit or for want of stock."""

import pytest
from holdfast.inventory.v1.reservation_pb2 import ReservationState

from inventory_service.domain.keys import Position, SaleKey
from inventory_service.domain.results import Rejected
from tests.contract.requests import MINUTE_MS, SALE, confirm, create, release, reserve
from tests.contract.results import granted, reason_of, rejected
from tests.contract.shards import FIRST_MOMENT_MS, NOT_SERVED, ShardUnderTest
from tests.sales import make_sale

HELD = ReservationState.RESERVATION_STATE_HELD


# --------------------------------------------------------------------------------------------- limits of buyers


async def test_the_limit_counts_held_and_sold_units_but_no_returned_ones(shard: ShardUnderTest) -> None:
    """Over all items; another buyer has a limit of its own."""
    await make_sale(shard.stock, create(buyer_limit=3))
    await granted(shard, reserve("r-1"))
    await granted(shard, reserve("r-2", shade=1))
    await shard.stock.move(confirm("r-2"))

    over = await rejected(shard, reserve("r-3", lamp=2))
    await granted(shard, reserve("r-4", lamp=1))
    await granted(shard, reserve("r-5", buyer="b-2", lamp=3))
    full = await rejected(shard, reserve("r-6"))
    await shard.stock.move(release("r-1"))
    await granted(shard, reserve("r-6"))

    assert (reason_of(over), over.buyer_remaining) == ("BUYER_LIMIT", 1)
    assert (full.buyer_remaining, full.retry_after_ms) == (0, 10 * MINUTE_MS)
    assert await shard.buyers(SALE) == {"b-1": {"held": 2, "sold": 1}, "b-2": {"held": 3, "sold": 0}}


async def test_a_buyers_overdue_holds_do_not_count(shard: ShardUnderTest) -> None:
    """Promise 6, no false "limit": they are taken back in the same call."""
    await make_sale(shard.stock, create(buyer_limit=1, hold_ttl_ms=1000))
    await granted(shard, reserve("r-1"))

    await shard.tick(1000)

    assert reason_of(await shard.stock.reserve(reserve("r-2"))) == "GRANTED"
    states = [event.reservation.state for event in (await shard.commits())[-1].events]  # type: ignore[union-attr]
    assert states == [ReservationState.RESERVATION_STATE_EXPIRED, HELD]


# ------------------------------------------------------------------------------------------ before "sold out"


async def test_overdue_holds_are_taken_back_before_sold_out(shard: ShardUnderTest) -> None:
    """Promise 6, no false "sold out"; in the commit the expiry comes first."""
    await make_sale(shard.stock, create(items={"lamp": 1}, hold_ttl_ms=1000))
    await granted(shard, reserve("r-1"))

    await shard.tick(1000)
    answer = await granted(shard, reserve("r-2", buyer="b-2"))

    assert answer.reservation.created == Position(0, 1, 3, 1)
    assert await shard.buyers(SALE) == {"b-2": {"held": 1, "sold": 0}}


async def test_a_rejection_has_the_time_until_the_next_expiry(shard: ShardUnderTest) -> None:
    """If units of a short line are held: the earliest end of a hold. Otherwise there is none."""
    await make_sale(shard.stock, create(items={"lamp": 2, "shade": 1}, hold_ttl_ms=60_000))
    await granted(shard, reserve("r-1", ttl_ms=30_000))
    await granted(shard, reserve("r-2", ttl_ms=20_000))
    await granted(shard, reserve("r-3", shade=1))
    await shard.stock.move(confirm("r-3"))
    await shard.tick(5000)

    lamps = await rejected(shard, reserve("r-4"))
    shades = await rejected(shard, reserve("r-5", shade=1))

    assert (lamps.retry_after_ms, shades.retry_after_ms) == (15_000, None)
    assert lamps.as_of == shades.as_of == Position(0, 1, 5, 0)


async def test_a_rejection_has_no_time_if_the_end_of_all_holds_would_not_do(shard: ShardUnderTest) -> None:
    """Each short line must be filled by what is available and held of it, whatever the others have."""
    await make_sale(shard.stock, create(items={"lamp": 3, "shade": 1}, hold_ttl_ms=60_000))
    await granted(shard, reserve("r-1", lamp=2))

    all_lamps = await rejected(shard, reserve("r-2", lamp=3))
    more = await rejected(shard, reserve("r-3", lamp=4))
    more_shades = await rejected(shard, reserve("r-4", lamp=3, shade=2))

    assert [each.retry_after_ms for each in (all_lamps, more, more_shades)] == [60_000, None, None]


async def test_a_limit_has_no_time_if_what_is_sold_alone_reaches_it(shard: ShardUnderTest) -> None:
    """What the buyer holds may come back by itself, what the buyer bought does not."""
    await make_sale(shard.stock, create(buyer_limit=3, hold_ttl_ms=60_000))
    await granted(shard, reserve("r-1"))
    await shard.stock.move(confirm("r-1"))
    await granted(shard, reserve("r-2", lamp=2))

    fits = await rejected(shard, reserve("r-3", shade=2))
    never_fits = await rejected(shard, reserve("r-4", shade=3))

    assert [(reason_of(each), each.retry_after_ms) for each in (fits, never_fits)] == [
        ("BUYER_LIMIT", 60_000),
        ("BUYER_LIMIT", None),
    ]


@pytest.mark.parametrize(("end_ms", "retry_after_ms"), [(60_000, None), (60_001, 60_000)])
async def test_a_rejection_has_no_time_if_the_sale_ends_before(
    shard: ShardUnderTest, end_ms: int, retry_after_ms: int | None
) -> None:
    """At its end nothing can be had any more, also of what comes back at that moment."""
    sale = create(items={"lamp": 1, "shade": 9}, buyer_limit=3, hold_ttl_ms=60_000)
    await make_sale(shard.stock, sale._replace(end_time_ms=FIRST_MOMENT_MS + end_ms))
    await granted(shard, reserve("r-1"))

    short = await rejected(shard, reserve("r-2", buyer="b-2"))
    limited = await rejected(shard, reserve("r-3", shade=3))

    assert (short.retry_after_ms, limited.retry_after_ms) == (retry_after_ms, retry_after_ms)


async def test_a_rejection_names_the_last_commit_that_it_takes_into_account(shard: ShardUnderTest) -> None:
    """For the rejected request of a batch that sold the last unit, that is the batch's own commit."""
    await make_sale(shard.stock, create(items={"lamp": 1, "shade": 0}))

    before, _, after = await shard.stock.reserve_many(0, [reserve("r-1", shade=1), reserve("r-2"), reserve("r-3")])

    assert isinstance(before, Rejected)
    assert before.as_of == Position(0, 1, 1, 0)
    assert isinstance(after, Rejected)
    assert after.as_of == Position(0, 1, 2, 0)


@NOT_SERVED
async def test_more_overdue_holds_than_one_call_takes_back_are_never_sold_out(shard: ShardUnderTest) -> None:
    """Promise 6: 250 lamps, all in overdue holds: a request for all of them takes three calls and gets them."""
    await make_sale(shard.stock, create(items={"lamp": 250}, hold_ttl_ms=1000))
    for start in range(0, 250, 125):
        await shard.stock.reserve_many(0, [reserve(f"r-{number}") for number in range(start, start + 125)])
    await shard.tick(1000)

    answers = await shard.stock.reserve_many(0, [reserve("all", buyer="b-2", lamp=250), reserve("one", buyer="b-3")])

    assert [reason_of(answer) for answer in answers] == ["GRANTED", "SOLD_OUT"]
    assert [len(commit.events) for commit in await shard.commits()] == [1, 125, 125, 100, 100, 51]


async def test_a_request_that_is_repeated_is_not_overtaken(shard: ShardUnderTest) -> None:
    """Later requests for the same sale wait with it, those for other sales do not."""
    other = SaleKey("default", "vase-sale")
    await make_sale(shard.stock, create(items={"lamp": 101}, hold_ttl_ms=1000))
    await make_sale(shard.stock, create(sale=other, items={"vase": 1}))
    await shard.stock.reserve_many(0, [reserve(f"r-{number}") for number in range(101)])
    await shard.tick(1000)

    answers = await shard.stock.reserve_many(
        0, [reserve("s-1", lamp=101), reserve("s-1", lamp=1), reserve("v", sale=other, vase=1), reserve("s-2")]
    )

    assert [reason_of(a) for a in answers] == ["GRANTED", "RESERVATION_ID_REUSED", "GRANTED", "SOLD_OUT"]
