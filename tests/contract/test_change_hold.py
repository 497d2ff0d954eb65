"""Changes of a hold, on each implementation: what falls is granted, and what rises is judged as a Reserve is."""

from collections.abc import Mapping

import pytest

from inventory_service.domain.change_hold import ChangeHold
from inventory_service.domain.reservation import HELD, Units
from inventory_service.domain.results import Granted, Rejected, Shortage
from inventory_service.domain.sale import ActOnSale, SaleAction, SaleRead
from tests.contract.requests import (
    MINUTE_MS,
    SALE,
    change,
    confirm,
    create,
    extend,
    release,
    reserve,
)
from tests.contract.results import granted, reason_of
from tests.contract.shards import ShardUnderTest
from tests.sales import make_sale

ID = "r-1"


async def held(shard: ShardUnderTest, **settings: object) -> Granted:
    """A hold of two lamps and a shade."""
    await make_sale(shard.stock, create(**settings))  # type: ignore[arg-type]
    return await granted(shard, reserve(ID, lamp=2, shade=1))


async def accounts(shard: ShardUnderTest) -> Mapping[str, tuple[int, int, int]]:
    """Available, held and sold units of each item."""
    found = await shard.stock.find_sale(SALE)
    assert isinstance(found, SaleRead)
    return {item.sku: (item.available, item.held, item.sold) for item in found.sale.items}


async def test_a_change_drops_adds_and_changes_lines_in_one_step(shard: ShardUnderTest) -> None:
    """Its end stays, and so does what makes a repeat of the Reserve: that hears the hold as it stands."""
    first = await held(shard, items={"lamp": 10, "shade": 10, "vase": 10})
    await shard.tick(MINUTE_MS)

    changed = await shard.stock.change_hold(change(ID, lamp=5, vase=2))
    again = await shard.stock.change_hold(change(ID, lamp=5, vase=2))
    repeated = await granted(shard, reserve(ID, lamp=2, shade=1))

    assert isinstance(changed, Granted)
    assert changed.reservation == first.reservation._replace(
        lines=(Units("lamp", 5, 0, 0), Units("vase", 2, 0, 0)),
        revision=2,
        update_time_ms=shard.now_ms,
        position=first.reservation.position._replace(seq=3),
    )
    assert again == repeated == changed._replace(replayed=True)
    assert await accounts(shard) == {"lamp": (5, 5, 0), "shade": (10, 0, 0), "vase": (8, 2, 0)}
    assert await shard.buyers(SALE) == {"b-1": {"held": 7, "sold": 0}}


async def test_a_changed_hold_goes_on_with_what_it_holds_now(shard: ShardUnderTest) -> None:
    """A confirm sells that, a release and its end give that back, and a change back makes it as it was asked for."""
    await held(shard)
    await shard.stock.change_hold(change(ID, lamp=4))
    for other, last in (("r-2", confirm("r-2")), ("r-3", release("r-3"))):
        await granted(shard, reserve(other, lamp=1))
        await shard.stock.change_hold(change(other, lamp=1, shade=1))
        assert reason_of(await shard.stock.move(last)) == "GRANTED"
    assert await accounts(shard) == {"lamp": (5, 4, 1), "shade": (9, 0, 1)}

    back = await shard.stock.change_hold(change(ID, lamp=2, shade=1))
    await shard.stock.change_hold(change(ID, shade=1))
    await shard.tick(10 * MINUTE_MS)
    await shard.stock.expire(0)

    assert isinstance(back, Granted)
    assert back.reservation.lines == (Units("lamp", 2, 0, 0), Units("shade", 1, 0, 0))
    assert await accounts(shard) == {"lamp": (9, 0, 1), "shade": (9, 0, 1)}


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        (change(ID, lamp=2, shade=1, revision=7), "REPLAYED"),
        (change(ID, lamp=1, revision=7), "REVISION_MISMATCH"),
        (change(ID, vase=1, revision=7), "REVISION_MISMATCH"),
        (change(ID, lamp=1, revision=1), "GRANTED"),
        (change(ID, lamp=3, vase=1), "ITEM_NOT_FOUND"),
    ],
)
async def test_a_repeat_comes_before_the_revision_and_that_before_the_names(
    shard: ShardUnderTest, request_: ChangeHold, reason: str
) -> None:
    """In the order of every call that changes something."""
    await held(shard)

    assert reason_of(await shard.stock.change_hold(request_)) == reason


async def test_what_is_not_to_be_had_leaves_the_hold_as_it_is(shard: ShardUnderTest) -> None:
    """All or none: what falls with it stays too. The shortage says how much more was asked for."""
    await held(shard, items={"lamp": 4, "shade": 3})
    await granted(shard, reserve("r-2", lamp=1))
    kept = await shard.contents()

    answer = await shard.stock.change_hold(change(ID, lamp=4))

    assert isinstance(answer, Rejected)
    assert reason_of(answer) == "INSUFFICIENT_STOCK"
    assert answer.shortages == (Shortage("lamp", 2, 1, 3),)
    assert await shard.contents() == kept


async def test_units_that_only_its_own_hold_has_are_no_reason_to_wait(shard: ShardUnderTest) -> None:
    """They come back when it ends, and then nothing can be changed any more. One that ends before may help."""
    await held(shard, items={"lamp": 3, "shade": 3}, max_hold_ttl_ms=60 * MINUTE_MS)
    await granted(shard, reserve("r-2", buyer="b-2", ttl_ms=20 * MINUTE_MS))

    too_late = await shard.stock.change_hold(change(ID, lamp=3))
    await shard.stock.move(extend(ID, 30 * MINUTE_MS))
    in_time = await shard.stock.change_hold(change(ID, lamp=3))
    never = await shard.stock.change_hold(change(ID, lamp=4))

    assert [each.retry_after_ms for each in (too_late, in_time, never) if isinstance(each, Rejected)] == [
        None,
        20 * MINUTE_MS,
        None,
    ]


async def test_overdue_holds_are_taken_back_before_a_change_is_rejected(shard: ShardUnderTest) -> None:
    """However many there are: the caller never hears that it should call again."""
    await make_sale(shard.stock, create(items={"lamp": 250}, max_hold_ttl_ms=60 * MINUTE_MS))
    await shard.stock.reserve_many(0, [reserve(f"old-{at}", buyer=f"b-{at}") for at in range(120)])
    await shard.stock.reserve_many(0, [reserve(f"old-{at}", buyer=f"b-{at}") for at in range(120, 240)])
    await granted(shard, reserve(ID, lamp=10, ttl_ms=30 * MINUTE_MS))
    await shard.tick(10 * MINUTE_MS)

    answer = await shard.stock.change_hold(change(ID, lamp=250))

    assert reason_of(answer) == "GRANTED"
    assert await accounts(shard) == {"lamp": (0, 250, 0)}


async def test_the_buyers_limit_is_judged_by_what_rises_in_all(shard: ShardUnderTest) -> None:
    """Other items for as many units need no room; one more unit does."""
    await held(shard, buyer_limit=3)

    swapped = await shard.stock.change_hold(change(ID, lamp=1, shade=2))
    more = await shard.stock.change_hold(change(ID, lamp=1, shade=3))

    assert isinstance(swapped, Granted)
    assert isinstance(more, Rejected)
    assert (reason_of(more), more.buyer_remaining, more.retry_after_ms) == ("BUYER_LIMIT", 0, None)


@pytest.mark.parametrize("reason", ["SALE_ENDED", "SALE_PAUSED", "LEDGER_BEHIND"])
async def test_fewer_units_are_granted_whatever_stops_more(shard: ShardUnderTest, reason: str) -> None:
    """Giving back helps everyone: neither the sale's state nor the ledger's lag stops it."""
    await held(shard)
    if reason == "LEDGER_BEHIND":
        shard.stock.backpressure.memory_is_short = True
    else:
        action = SaleAction.CLOSE if reason == "SALE_ENDED" else SaleAction.PAUSE
        await shard.stock.change_sale(ActOnSale(SALE, action))

    more = await shard.stock.change_hold(change(ID, lamp=1, shade=2))
    fewer = await shard.stock.change_hold(change(ID, lamp=1, shade=1))

    assert reason_of(more) == reason
    assert isinstance(fewer, Granted)
    assert fewer.reservation.state == HELD
    assert await accounts(shard) == {"lamp": (9, 1, 0), "shade": (9, 1, 0)}
