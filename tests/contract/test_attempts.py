"""Attempts of a buyer in any 60 seconds on each implementation: which count, and when the next one is judged."""

import random

import pytest

from inventory_service.adapters.redis.keys import attempts_keys
from inventory_service.domain.reserve import Reserve
from tests.contract.requests import MINUTE_MS, SALE, block, create, reserve
from tests.contract.results import granted, reason_of, rejected
from tests.contract.shards import FIRST_MOMENT_MS, NOT_SERVED, RedisShard, ShardUnderTest
from tests.sales import make_sale

TWICE = create(attempts_per_minute=2)


async def answers(shard: ShardUnderTest, *requests: Reserve) -> list[str]:
    """What each request is answered, one after the other."""
    return [reason_of(await shard.stock.reserve(request)) for request in requests]


async def test_a_buyer_is_judged_as_often_as_the_sale_allows(shard: ShardUnderTest) -> None:
    """And no other buyer is affected; it is told when the next attempt is judged, and that is exact."""
    await make_sale(shard.stock, TWICE)
    await granted(shard, reserve("r-1"))
    await shard.tick(1000)
    await granted(shard, reserve("r-2"))
    await shard.tick(500)

    over = await rejected(shard, reserve("r-3"))
    await granted(shard, reserve("r-4", "b-2"))

    assert (reason_of(over), over.retry_after_ms) == ("ATTEMPT_LIMIT", MINUTE_MS - 1500)
    await shard.tick(MINUTE_MS - 1501)
    assert (await rejected(shard, reserve("r-3"))).retry_after_ms == 1
    await shard.tick(1)
    await granted(shard, reserve("r-3"))
    assert (await rejected(shard, reserve("r-5"))).retry_after_ms == 1000


async def test_only_what_is_judged_by_stock_and_limits_counts(shard: ShardUnderTest) -> None:
    """Repeats, an item that is not there, a block and the limit itself do not, so they shut no caller out."""
    await make_sale(shard.stock, create(attempts_per_minute=5, items={"lamp": 3, "shade": 9}, item_limits={"shade": 2}))
    uncounted = [reserve("r-1"), reserve("r-9", vase=1), reserve("r-1", lamp=2)]

    assert await answers(shard, reserve("r-1"), *uncounted) == [
        "GRANTED",
        "REPLAYED",
        "ITEM_NOT_FOUND",
        "RESERVATION_ID_REUSED",
    ]
    await shard.copies.change(0, block("b-1", 1))
    assert await answers(shard, reserve("r-9")) == ["BUYER_BLOCKED"]
    await shard.copies.change(0, block("b-1", 2)._replace(is_blocked=False))
    counted = reserve("r-2", lamp=9), reserve("r-3", lamp=2), reserve("r-4"), reserve("r-5", shade=3)
    assert await answers(shard, *counted) == ["INSUFFICIENT_STOCK", "GRANTED", "SOLD_OUT", "ITEM_LIMIT"]
    assert await answers(shard, reserve("r-6", shade=1), reserve("r-6", shade=1)) == ["ATTEMPT_LIMIT"] * 2


async def test_the_limit_comes_before_stock(shard: ShardUnderTest) -> None:
    """A buyer over it learns nothing of the stock, and takes no overdue hold back."""
    await make_sale(shard.stock, create(attempts_per_minute=1, items={"lamp": 1}))
    await granted(shard, reserve("r-1"))

    assert await answers(shard, reserve("r-2"), reserve("r-2", "b-2")) == ["ATTEMPT_LIMIT", "SOLD_OUT"]


async def test_a_retry_after_the_end_of_the_sale_is_not_offered(shard: ShardUnderTest) -> None:
    """The next attempt would be judged in the moment in which the sale ends."""
    await make_sale(shard.stock, create(attempts_per_minute=1, end_time_ms=FIRST_MOMENT_MS + MINUTE_MS))
    await granted(shard, reserve("r-1"))

    assert (await rejected(shard, reserve("r-2"))).retry_after_ms is None


@NOT_SERVED
async def test_attempts_of_one_call_count_for_each_other(shard: ShardUnderTest) -> None:
    """Each buyer's, in their order."""
    await make_sale(shard.stock, TWICE)
    requests = [reserve(f"r-{number}", f"b-{number % 2}") for number in range(6)]

    results = await shard.stock.reserve_many(0, requests)

    assert [reason_of(result) for result in results] == ["GRANTED"] * 4 + ["ATTEMPT_LIMIT"] * 2


@pytest.mark.parametrize("seed", range(3))
async def test_in_no_sixty_seconds_more_are_judged(each_shard: ShardUnderTest, seed: int) -> None:
    """Across any minutes: what is judged is what the times of earlier attempts allow, one by one."""
    rng = random.Random(seed)
    await make_sale(each_shard.stock, create(attempts_per_minute=3, items={"lamp": 0}))
    judged: list[int] = []
    for number in range(60):
        await each_shard.tick(rng.choice([0, 1, 999, 7000, 29_999, 60_000]) if number else 30_000)
        recent = [moment for moment in judged if moment > each_shard.now_ms - MINUTE_MS]

        answer = await rejected(each_shard, reserve(f"r-{number}"))

        if len(recent) < 3:
            assert reason_of(answer) == "SOLD_OUT"
            judged.append(each_shard.now_ms)
        else:
            retry_after = recent[-3] + MINUTE_MS - each_shard.now_ms
            assert (reason_of(answer), answer.retry_after_ms) == ("ATTEMPT_LIMIT", retry_after)


async def test_a_sale_without_the_limit_reads_and_writes_no_attempts(scripts: RedisShard) -> None:
    """Its Reserve costs no more than without the feature."""
    await make_sale(scripts.stock, create())
    for key in attempts_keys(0, SALE):
        await scripts.ask("SET", key, "not a hash: a read of it would fail")

    await granted(scripts, reserve("r-1"))


async def test_attempts_are_forgotten_by_redis(scripts: RedisShard) -> None:
    """The hash of a minute is needed for one more minute."""
    await make_sale(scripts.stock, TWICE)
    await granted(scripts, reserve("r-1"))

    ttls = [await scripts.ask("PTTL", key) for key in attempts_keys(0, SALE)]
    assert max(ttls) in range(1, 2 * MINUTE_MS + 1)
    assert min(ttls) == -2
