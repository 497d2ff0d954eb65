"""Making and reading sales, on each implementation."""

import re

import pytest
from holdfast.inventory.v1.error_reason_pb2 import ErrorReason
from holdfast.inventory.v1.sale_pb2 import SaleState

from inventory_service.adapters.redis.keys import shard_keys
from inventory_service.domain.keys import Position, SaleKey
from inventory_service.domain.results import Failure
from inventory_service.domain.sale import CreateSale, Item, Sale, SaleRead, SaleUnknown, Settings
from tests.contract.requests import MINUTE_MS, SALE, confirm, create, reserve
from tests.contract.shards import FIRST_MOMENT_MS, NOT_SERVED, RedisShard, ShardUnderTest
from tests.sales import make_sale


async def made(shard: ShardUnderTest, request: CreateSale) -> SaleRead:
    """Make a sale; fails unless it is made."""
    answer = await make_sale(shard.stock, request)
    assert isinstance(answer, SaleRead), answer
    return answer


CREATE_WITH_EVERY_SETTING = create(
    max_hold_ttl_ms=20 * MINUTE_MS,
    buyer_limit=2,
    attempts_per_minute=3,
    return_window_ms=90 * MINUTE_MS,
    items={"shade": 0, "lamp": 3},
)


async def test_a_new_sale_has_all_of_its_stock_available(shard: ShardUnderTest) -> None:
    """The result is the sale as it stands, with its items sorted by SKU."""
    answer = await made(shard, CREATE_WITH_EVERY_SETTING)

    assert answer.sale == Sale(
        sale=SALE,
        settings=Settings(
            title="Lamps",
            start_time_ms=FIRST_MOMENT_MS,
            end_time_ms=None,
            hold_ttl_ms=10 * MINUTE_MS,
            max_hold_ttl_ms=20 * MINUTE_MS,
            buyer_limit=2,
            attempts_per_minute=3,
            return_window_ms=90 * MINUTE_MS,
        ),
        state=SaleState.SALE_STATE_OPEN,
        items=(Item("lamp", 3, 3, 0, 0), Item("shade", 0, 0, 0, 0)),
        etag="1-1-0",
        create_time_ms=FIRST_MOMENT_MS,
        update_time_ms=FIRST_MOMENT_MS,
    )


async def test_a_repeated_create_returns_the_sale_as_it_stands(shard: ShardUnderTest) -> None:
    """A repeat after selling began resets nothing; both requests have no start, which is part of the fingerprint."""
    first = await made(shard, create())
    await shard.stock.reserve(reserve("r-1", lamp=2))
    await shard.stock.move(confirm("r-1"))
    await shard.tick(1000)
    kept = await shard.contents()

    again = await made(shard, create())

    assert again.replayed
    assert again.as_of == Position(0, 1, 3, 0)
    assert again.read_time_ms == FIRST_MOMENT_MS + 1000
    assert again.sale.items == (Item("lamp", 10, 8, 0, 2), first.sale.items[1])
    assert again.sale._replace(items=()) == first.sale._replace(items=())
    assert await shard.contents() == kept


@NOT_SERVED
async def test_a_sale_is_made_only_with_the_present_generation(shard: ShardUnderTest) -> None:
    """Between the two calls the caller asks the ledger, which has archived sales too."""
    kept = await shard.contents()

    unknown = await shard.stock.change_sale(create())
    commits = await shard.commits()
    untouched = await shard.contents()
    assert isinstance(unknown, SaleUnknown)
    answer = await shard.stock.change_sale(create()._replace(generation=unknown.generation))

    assert (commits, untouched) == ([], kept)
    assert isinstance(answer, SaleRead)
    assert not answer.replayed


CHANGED_SETTINGS = [
    {"title": "Other"},
    {"start_time_ms": FIRST_MOMENT_MS},
    {"end_time_ms": FIRST_MOMENT_MS + 1},
    {"hold_ttl_ms": 1000},
    {"max_hold_ttl_ms": 20 * MINUTE_MS},
    {"buyer_limit": 1},
    {"attempts_per_minute": 1},
    {"return_window_ms": 1},
    {"items": {"lamp": 10}},
    {"items": {"lamp": 11, "shade": 10}},
]


@pytest.mark.parametrize("other", CHANGED_SETTINGS, ids=lambda other: next(iter(other)))
async def test_a_different_request_with_a_used_id_is_sale_id_reused(
    shard: ShardUnderTest, other: dict[str, object]
) -> None:
    """Otherwise an operator would take the other sale for the one that was asked for."""
    await made(shard, create())
    kept = await shard.contents()

    answer = await make_sale(shard.stock, create(**other))  # type: ignore[arg-type]

    assert answer == Failure(ErrorReason.ERROR_REASON_SALE_ID_REUSED, {"sale_id": SALE.sale_id})
    assert await shard.contents() == kept


@pytest.mark.parametrize(("start_ms", "end_ms"), [(None, -1), (None, 0), (1, 1)])
async def test_a_sale_that_ends_before_it_starts_is_not_made(
    shard: ShardUnderTest, start_ms: int | None, end_ms: int
) -> None:
    """A sale without a start starts by its shard's clock, so only the shard can check it; the id stays free."""
    kept = await shard.contents()
    start = None if start_ms is None else FIRST_MOMENT_MS + start_ms

    answer = await make_sale(shard.stock, create(start_time_ms=start, end_time_ms=FIRST_MOMENT_MS + end_ms))

    assert answer == Failure(ErrorReason.ERROR_REASON_FIELD_OUT_OF_BOUNDS, {"field": "end_time"})
    assert await shard.contents() == kept
    await made(shard, create(end_time_ms=FIRST_MOMENT_MS + 1))


async def test_a_repeated_create_of_an_ended_sale_is_replayed(shard: ShardUnderTest) -> None:
    """The check of end and start applies to new sales alone."""
    await made(shard, create(end_time_ms=FIRST_MOMENT_MS + 1))
    await shard.tick(1000)

    again = await made(shard, create(end_time_ms=FIRST_MOMENT_MS + 1))

    assert again.replayed


async def test_a_sales_state_follows_the_clock(shard: ShardUnderTest) -> None:
    """No call opens or ends a sale."""
    await made(shard, create(start_time_ms=FIRST_MOMENT_MS + 1, end_time_ms=FIRST_MOMENT_MS + 2))

    states = []
    for _ in range(3):
        found = await shard.stock.find_sale(SALE)
        assert isinstance(found, SaleRead)
        states.append(SaleState.Name(SaleState.ValueType(found.sale.state)))
        await shard.tick(1)

    assert states == ["SALE_STATE_SCHEDULED", "SALE_STATE_OPEN", "SALE_STATE_ENDED"]


async def test_an_overdue_hold_is_held_until_it_is_taken_back(shard: ShardUnderTest) -> None:
    """Reading a sale changes nothing, so its counts are those of its commits."""
    await made(shard, create(hold_ttl_ms=1000))
    await shard.stock.reserve(reserve("r-1"))
    await shard.tick(1000)

    found = await shard.stock.find_sale(SALE)

    assert isinstance(found, SaleRead)
    assert found.sale.items[0] == Item("lamp", 10, 9, 1, 0)


async def test_a_sale_of_a_thousand_items(shard: ShardUnderTest) -> None:
    """The most that a sale may have, the longest names, the largest totals."""
    items = {f"{'sku' * 20}-{number:03}": 10**12 for number in range(1000)}

    answer = await made(shard, create(items=items))

    assert [item.sku for item in answer.sale.items] == sorted(items)
    assert {item.available for item in answer.sale.items} == {10**12}


async def test_similar_ids_are_different_sales(shard: ShardUnderTest) -> None:
    """No id can form another sale's key, whatever separators it has."""
    keys = [SaleKey("default", name) for name in ("a", "a:b", "sale:a", "a.b", "a_b", "A", "-", "item:x")]
    for at, key in enumerate(keys):
        await made(shard, create(sale=key, items={"item:lamp": at, "settings": 1}))

    for at, key in enumerate(keys):
        found = await shard.stock.find_sale(key)
        assert isinstance(found, SaleRead)
        assert found.sale.items == (Item("item:lamp", at, at, 0, 0), Item("settings", 1, 1, 0, 0))
    named = await shard.stock.list_sales(0)
    assert not isinstance(named, Failure)
    assert sorted(named) == sorted(keys)


async def test_many_sales_are_named_in_steps(scripts: RedisShard) -> None:
    """No step blocks Redis for long, and each sale is named once."""
    names = [f"default/sale-{number}" for number in range(3000)]
    await scripts.ask("ZADD", shard_keys(0).due, *(word for name in names for word in ("+inf", name)))
    await scripts.ask("CONFIG", "RESETSTAT")

    named = await scripts.stock.list_sales(0)

    assert not isinstance(named, Failure)
    assert sorted(map(str, named)) == sorted(names)
    called = re.search(r"cmdstat_evalsha:calls=(\d+)", (await scripts.ask("INFO", "commandstats")).decode())
    assert called is not None
    assert int(called[1]) >= 3


async def test_unknown_sales_and_reservations_are_not_found(shard: ShardUnderTest) -> None:
    """The failure names the sale, or the reservation in it."""
    nowhere = SaleKey("default", "none")
    await made(shard, create())

    sale = await shard.stock.find_sale(nowhere)
    lost = await shard.stock.find_reservation(nowhere, "r-1")
    reservation = await shard.stock.find_reservation(SALE, "r-1")
    confirmed = await shard.stock.move(confirm("r-1", sale=nowhere))

    assert sale == lost == confirmed == Failure(ErrorReason.ERROR_REASON_SALE_NOT_FOUND, {"sale_id": "none"})
    assert reservation == Failure(
        ErrorReason.ERROR_REASON_RESERVATION_NOT_FOUND, {"sale_id": "lamp-sale", "reservation_id": "r-1"}
    )
