"""Replays of dead letters on each implementation: what they are judged by, and what becomes of their units."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest

from inventory_service.domain.events import ReservationChange
from inventory_service.domain.ports import StoredStock
from inventory_service.domain.reservation import CONFIRMED, HELD, NEW, RELEASED
from inventory_service.domain.reserve import Replay
from inventory_service.domain.results import Failure, Granted, Rejected, ReservationRead
from inventory_service.domain.sale import CreateSale, Item, SaleAction, SaleRead
from inventory_service.domain.units import usual_units
from tests.contract.requests import (
    MINUTE_MS,
    SALE,
    act,
    block,
    confirm,
    create,
    give_back,
    lines_of,
    replay,
    reserve,
    spend,
)
from tests.contract.results import granted, reason_of
from tests.contract.shards import FIRST_MOMENT_MS, InMemoryShard, RedisShard, ShardUnderTest
from tests.sales import make_sale

UNUSED = 0  # the revision that a spend expects which must not end what is there


@pytest.fixture(params=["memory", "scripts"])
def each_shard(request: pytest.FixtureRequest) -> ShardUnderTest:
    """A server replays dead letters without batcher and archive."""
    shard: InMemoryShard | RedisShard = request.getfixturevalue(request.param)
    return shard


async def replayed(shard: ShardUnderTest, request: Replay) -> Granted:
    """Replay; fails unless units are granted."""
    answer = await shard.stock.replay(request)
    assert isinstance(answer, Granted), answer
    return answer


async def lamps(shard: ShardUnderTest) -> Item:
    """The stock of lamps."""
    found = await shard.stock.find_sale(SALE)
    assert isinstance(found, SaleRead)
    return found.sale.items[0]


# ----------------------------------------------------------------------------------------- what becomes of units


async def test_units_that_were_only_held_are_held_for_the_sales_own_time(shard: ShardUnderTest) -> None:
    """Whatever life the refused order had been given."""
    await make_sale(shard.stock, create(hold_ttl_ms=5000, max_hold_ttl_ms=MINUTE_MS))

    made = await replayed(shard, replay("r-2", reference="cart-7", lamp=2, shade=1))

    reservation = made.reservation
    assert (reservation.state, reservation.expire_time_ms) == (HELD, FIRST_MOMENT_MS + 5000)
    assert (reservation.buyer_id, reservation.reference) == ("b-1", "cart-7")
    assert reservation.lines == usual_units(lines_of({"lamp": 2, "shade": 1}), HELD)
    assert await lamps(shard) == Item("lamp", 10, 8, 2, 0)
    confirmed = await shard.stock.move(confirm("r-2"))
    assert isinstance(confirmed, Granted)
    assert confirmed.reservation.state == CONFIRMED


async def test_units_that_had_been_sold_are_sold_at_once(shard: ShardUnderTest) -> None:
    """Their buyer has paid: no hold that could run out lies between. One event makes it, and a return ends it."""
    await make_sale(shard.stock, create())

    made = await replayed(shard, replay("r-2", sells=True, lamp=2))
    stands = await lamps(shard)
    returned = await shard.stock.move(give_back("r-2"))

    assert (made.reservation.state, made.reservation.expire_time_ms) == (CONFIRMED, 0)
    assert made.reservation.lines == usual_units(lines_of({"lamp": 2}), CONFIRMED)
    assert stands == Item("lamp", 10, 8, 0, 2)
    change = (await shard.commits())[1].events[0]
    assert isinstance(change, ReservationChange)
    assert (change.previous_state, change.reservation) == (NEW, made.reservation)
    assert isinstance(returned, Granted)
    assert await lamps(shard) == Item("lamp", 10, 10, 0, 0)


async def test_a_sale_without_holds_sells_whatever_it_replays(shard: ShardUnderTest) -> None:
    """As it does with every Reserve."""
    await make_sale(shard.stock, create(hold_ttl_ms=0))

    assert (await replayed(shard, replay("r-2"))).reservation.state == CONFIRMED


# ------------------------------------------------------------------------------------------------ what it passes


@dataclass
class Case:
    """A sale, what happened in it before, a replay, and the reason why it gets no units; GRANTED if it does."""

    sale: CreateSale
    request: Replay
    reason: str
    before: tuple[Any, ...] = field(default=())


OVER = FIRST_MOMENT_MS + 1
CASES = {
    "an ended sale": Case(create(end_time_ms=OVER), replay("r-2"), "GRANTED"),
    "a sale that has not started": Case(create(start_time_ms=FIRST_MOMENT_MS + MINUTE_MS), replay("r-2"), "GRANTED"),
    "a paused sale": Case(create(), replay("r-2"), "GRANTED", (act(SaleAction.PAUSE),)),
    "a closed sale": Case(create(), replay("r-2"), "GRANTED", (act(SaleAction.CLOSE),)),
    "a sale whose holds were released": Case(
        create(), replay("r-2", lamp=99), "WRONG_SALE_STATE", (act(SaleAction.CLOSE_AND_RELEASE),)
    ),
    "sold in a sale whose holds were released": Case(
        create(), replay("r-2", sells=True), "GRANTED", (act(SaleAction.CLOSE_AND_RELEASE),)
    ),
    "held in a sale without holds whose holds were released": Case(
        create(hold_ttl_ms=0), replay("r-2"), "GRANTED", (act(SaleAction.CLOSE_AND_RELEASE),)
    ),
    "an item that is not there": Case(create(), replay("r-2", vase=1), "ITEM_NOT_FOUND"),
    "no units left": Case(create(items={"lamp": 0}, end_time_ms=OVER), replay("r-2"), "SOLD_OUT"),
    "fewer units left": Case(create(end_time_ms=OVER), replay("r-2", sells=True, lamp=11), "INSUFFICIENT_STOCK"),
    "an item's limit": Case(create(item_limits={"lamp": 1}), replay("r-2", lamp=2), "ITEM_LIMIT"),
    "the sale's limit": Case(create(buyer_limit=1), replay("r-2", sells=True, lamp=2), "BUYER_LIMIT"),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
async def test_a_replay_passes_by_window_and_attempts_alone(shard: ShardUnderTest, case: Case) -> None:
    """Its order had passed these in time; units, limits and blocks are of now."""
    await make_sale(shard.stock, case.sale)
    for request in case.before:
        await shard.stock.change_sale(request)
    await shard.tick(1)

    assert reason_of(await shard.stock.replay(case.request)) == case.reason


async def test_a_blocked_buyer_gets_nothing_back(shard: ShardUnderTest) -> None:
    """The ledger would refuse that order too. A block comes before the stock."""
    await make_sale(shard.stock, create())
    await shard.copies.change(0, block("b-1", version=1))

    assert reason_of(await shard.stock.replay(replay("r-2", sells=True, lamp=99))) == "BUYER_BLOCKED"
    assert reason_of(await shard.stock.replay(replay("r-2", buyer="b-2"))) == "GRANTED"


async def test_replays_are_not_attempts_of_their_buyer(shard: ShardUnderTest) -> None:
    """An operator's work neither needs room among them nor takes it."""
    await make_sale(shard.stock, create(attempts_per_minute=1))
    before = [await shard.stock.replay(replay(f"r-{number}")) for number in range(2)]
    first = await shard.stock.reserve(reserve("r-5"))

    after = await shard.stock.replay(replay("r-6"))

    assert [reason_of(answer) for answer in (*before, first, after)] == ["GRANTED"] * 4
    assert reason_of(await shard.stock.reserve(reserve("r-7"))) == "ATTEMPT_LIMIT"


async def test_a_replay_must_not_outrun_the_ledger_either(shard: ShardUnderTest) -> None:
    """It needs a commit of its own; a repeat needs none."""
    await make_sale(shard.stock, create())
    await replayed(shard, replay("r-1"))
    shard.stock.backpressure.memory_is_short = True

    assert reason_of(await shard.stock.replay(replay("r-2", lamp=99))) == "LEDGER_BEHIND"
    assert reason_of(await shard.stock.replay(replay("r-1"))) == "REPLAYED"


async def test_overdue_holds_are_taken_back_for_a_replay(shard: ShardUnderTest) -> None:
    """Also more than one call takes back."""
    await make_sale(shard.stock, create(items={"lamp": 120}, hold_ttl_ms=1000))
    await shard.stock.reserve_many(0, [reserve(f"r-{number}") for number in range(120)])
    await shard.tick(1000)

    assert reason_of(await shard.stock.replay(replay("new", sells=True, lamp=120))) == "GRANTED"
    assert await lamps(shard) == Item("lamp", 120, 0, 0, 120)


async def test_there_is_nothing_to_replay_into_without_a_sale(shard: ShardUnderTest) -> None:
    """It has left; the ledger says so."""
    assert reason_of(await shard.stock.replay(replay("r-2"))) == "SALE_NOT_FOUND"


# ------------------------------------------------------------------------------------------------ ids


async def test_a_replay_has_one_body_with_the_reserve_of_its_units(shard: ShardUnderTest) -> None:
    """Whichever comes first, the other is its repeat; other lines, buyer or reference are another body."""
    await make_sale(shard.stock, create())
    made = await replayed(shard, replay("r-1", sells=True, reference="cart-7"))
    await granted(shard, reserve("r-2", reference="cart-7"))
    kept = await shard.contents()

    again = [
        await shard.stock.replay(replay("r-1", reference="cart-7")),
        await shard.stock.reserve(reserve("r-1", reference="cart-7")),
        await shard.stock.replay(replay("r-2", sells=True, reference="cart-7")),
    ]
    others = [replay("r-1"), replay("r-1", buyer="b-2", reference="cart-7"), replay("r-1", reference="cart-7", lamp=2)]

    assert [reason_of(answer) for answer in again] == ["REPLAYED"] * 3
    assert isinstance(again[0], Granted)
    assert again[0].reservation == made.reservation
    assert [reason_of(await shard.stock.replay(other)) for other in others] == ["RESERVATION_ID_REUSED"] * 3
    assert await shard.contents() == kept


async def test_a_replay_under_a_spent_id_is_never_granted(shard: ShardUnderTest) -> None:
    """So once an id was spent, a call that reaches Redis late cannot make a second reservation beside another id's."""
    await make_sale(shard.stock, create())
    await shard.stock.move(spend("r-2"))

    late = await shard.stock.replay(replay("r-2"))

    assert isinstance(late, Rejected)
    assert (reason_of(late), late.replayed, late.ended and late.ended.state) == ("RESERVATION_ENDED", False, RELEASED)
    assert await lamps(shard) == Item("lamp", 10, 10, 0, 0)


@pytest.mark.parametrize("sells", [False, True])
async def test_a_spend_that_expects_no_use_ends_no_reservation(shard: ShardUnderTest, sells: bool) -> None:
    """Between the rejection of one caller and its spend another caller may have got the units under the same id."""
    await make_sale(shard.stock, create())
    await replayed(shard, replay("r-1", sells=sells))
    unused = [spend(name)._replace(expected_revision=UNUSED) for name in ("r-1", "r-2")]

    answers = [await shard.stock.move(request) for request in unused]

    assert isinstance(answers[0], Failure)
    assert answers[0].reservation is not None
    assert reason_of(answers[0]) == ("WRONG_RESERVATION_STATE" if sells else "REVISION_MISMATCH")
    assert reason_of(answers[1]) == "GRANTED"
    found = await shard.stock.find_reservation(SALE, "r-1")
    assert isinstance(found, ReservationRead)
    assert found.reservation.state == (CONFIRMED if sells else HELD)


async def test_of_two_replays_at_a_time_one_makes_the_reservation(shard: ShardUnderTest) -> None:
    """Under one id they are repeats of each other."""
    await make_sale(shard.stock, create())
    stock: StoredStock = shard.stock

    answers = await asyncio.gather(*(stock.replay(replay("r-1")) for _ in range(8)))

    assert sorted(map(reason_of, answers)) == ["GRANTED"] + ["REPLAYED"] * 7
    assert await lamps(shard) == Item("lamp", 10, 9, 1, 0)
