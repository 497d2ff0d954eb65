"""Orders that the ledger refuses for good: each has its units given back once, whatever became of it meanwhile."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest
from holdfast.inventory.v1 import reservation_pb2 as states

from tests.e2e.ledger import Balance, DeadLetter, Row
from tests.e2e.shop import Shop, Stock
from tests.waiting import eventually

HELD, CONFIRMED = states.RESERVATION_STATE_HELD, states.RESERVATION_STATE_CONFIRMED
COMPENSATED = states.RESERVATION_STATE_COMPENSATED
BLOCKED, VIOLATED = "BUYER_BLOCKED", "CONSTRAINT_VIOLATED"
BRIEF, USUAL = timedelta(milliseconds=300), timedelta(minutes=10)

# What the ledger may forbid: that an order lives, that it is recorded at all, that it is sold.
NO_LIVE_POISON = "reservation_id <> 'poison' or state not in ('HELD', 'CONFIRMED')"
NO_POISON = "reservation_id <> 'poison'"
NO_SALE_OF_POISON = "reservation_id <> 'poison' or state <> 'CONFIRMED'"


async def test_one_poison_order_among_a_thousand_is_compensated_and_no_other(shop: Shop) -> None:
    """Promise 5: refusing is for the one order alone, and its units come back exactly once."""
    sale = await shop.open_sale(2000)
    wishes = {f"good-{number}": 1 for number in range(1000)} | {"poison": 2}
    order = random.Random(7).sample(sorted(wishes), len(wishes))

    async with shop.ledger.forbidding(NO_LIVE_POISON):
        answers = await asyncio.gather(*(shop.reserve(sale, name, {"lamp": wishes[name]}) for name in order))
        await shop.settled(sale)

    assert {answer.reservation.state for answer in answers} == {HELD}
    assert await shop.ledger.recorded(sale, "HELD") == 1000
    assert await shop.ledger.letters(sale) == [DeadLetter("poison", VIOLATED, "SETTLED", "COMPENSATED", True)]
    assert len({order.compensation_id for order in await shop.compensations(sale)}) == 1
    await eventually(lambda: shop.carried_out(sale))  # the compensator says so after it is done
    assert shop.carried_out(sale)["given_back"] == 1
    assert await shop.ledger.moves(sale, "poison") == ["2 lamp available > refused", "2 lamp refused > available"]
    assert await shop.ledger.balance(sale) == Balance(available=1000, held=1000, sold=0, refused=0)
    assert await shop.stock(sale) == Stock(available=1000, held=1000, sold=0)


async def test_a_compensated_order_tells_its_reason_everywhere(shop: Shop) -> None:
    """The buyer's service asks, the shop's people look into the ledger, and mail hears of it: all learn why."""
    sale = await shop.open_sale()

    async with shop.ledger.forbidding(NO_LIVE_POISON):
        await shop.reserve(sale, "poison")
        await shop.settled(sale)

    seen = await shop.get(sale, "poison")
    assert (seen.state, seen.ledger_state) == (COMPENSATED, states.LEDGER_STATE_REFUSED)
    assert seen.compensation_reason == states.COMPENSATION_REASON_CONSTRAINT_VIOLATED
    assert "of_a_test" in seen.note
    assert await shop.ledger.row(sale, "poison") == Row("ann", "COMPENSATED", "REFUSED", VIOLATED, "1 lamp")
    made, given_back = await shop.facts(sale)
    assert made.reservation.ledger_state == given_back.reservation.ledger_state == states.LEDGER_STATE_REFUSED
    assert given_back.reservation.compensation_reason == states.COMPENSATION_REASON_CONSTRAINT_VIOLATED
    assert (given_back.previous_state, given_back.reservation.state) == (HELD, COMPENSATED)


async def test_an_order_that_can_have_no_row_is_told_by_its_dead_letter(shop: Shop) -> None:
    """Not even its end can be recorded as a reservation; it is on the books all the same."""
    sale = await shop.open_sale()

    async with shop.ledger.forbidding(NO_POISON):
        await shop.reserve(sale, "poison")
        await shop.settled(sale)

    assert await shop.ledger.row(sale, "poison") is None
    assert await shop.ledger.letters(sale) == [DeadLetter("poison", VIOLATED, "SETTLED", "COMPENSATED", True)]
    assert (await shop.get(sale, "poison")).state == COMPENSATED
    assert await is_all_there(shop, sale)


async def confirm(shop: Shop, sale: str) -> None:
    """Buy it."""
    await shop.confirm(sale, "poison")


async def release(shop: Shop, sale: str) -> None:
    """Give it back."""
    await shop.release(sale, "poison")


async def expire(shop: Shop, sale: str) -> None:
    """Wait until its hold was taken back."""
    await eventually(lambda: is_all_there(shop, sale))


@pytest.mark.parametrize(
    ("move_on", "state"),
    [
        pytest.param(confirm, "COMPENSATED", id="confirmed"),
        pytest.param(release, "RELEASED", id="released"),
        pytest.param(expire, "EXPIRED", id="expired"),
    ],
)
async def test_a_poison_order_that_moved_on_before_the_ledger_saw_it(
    shop: Shop, move_on: Callable[[Shop, str], Awaitable[None]], state: str
) -> None:
    """Promise 3: its units come back once, by its own end if it has one, else by the compensation."""
    sale = await shop.open_sale(hold_ttl=BRIEF if move_on is expire else USUAL)

    async with shop.ledger.forbidding(NO_POISON):
        async with shop.holding("persist"):
            await shop.reserve(sale, "poison", {"lamp": 2})
            await move_on(shop, sale)
        await shop.settled(sale)

    assert await shop.ledger.letters(sale) == [DeadLetter("poison", VIOLATED, "SETTLED", state, True)]
    assert await shop.ledger.moves(sale, "poison") == ["2 lamp available > refused", "2 lamp refused > available"]
    assert await shop.ledger.balance(sale) == Balance(available=10, held=0, sold=0, refused=0)
    assert await is_all_there(shop, sale)
    assert (await shop.get(sale, "poison")).state == states.ReservationState.Value(f"RESERVATION_STATE_{state}")


async def test_an_order_that_is_refused_at_its_confirm(shop: Shop) -> None:
    """The ledger took the hold and cannot take the sale: the units, sold by now in Redis, come back."""
    sale = await shop.open_sale()

    async with shop.ledger.forbidding(NO_SALE_OF_POISON):
        await shop.reserve(sale, "poison")
        await shop.settled(sale)
        confirmed = await shop.confirm(sale, "poison")
        await shop.settled(sale)

    assert confirmed.reservation.state == CONFIRMED
    assert await shop.ledger.row(sale, "poison") == Row("ann", "COMPENSATED", "REFUSED", VIOLATED, "1 lamp")
    assert await shop.ledger.moves(sale, "poison") == [
        "1 lamp available > held",
        "1 lamp held > refused",
        "1 lamp refused > available",
    ]
    assert await is_all_there(shop, sale)


async def test_a_blocked_buyer_holds_nothing_for_long(shop: Shop) -> None:
    """Redis knows nothing of blocks and answers at once; the ledger refuses, and the reason is told."""
    sale = await shop.open_sale()
    await shop.block("mallory")

    answer = await shop.reserve(sale, "r-1", buyer_id="mallory")
    await shop.reserve(sale, "r-2", buyer_id="ann")
    await shop.settled(sale)

    assert answer.reservation.state == HELD
    seen = await shop.get(sale, "r-1")
    assert (seen.state, seen.compensation_reason) == (COMPENSATED, states.COMPENSATION_REASON_BUYER_BLOCKED)
    assert seen.note == "the buyer is blocked: a test"
    assert await shop.ledger.letters(sale) == [DeadLetter("r-1", BLOCKED, "SETTLED", "COMPENSATED", True)]
    assert await shop.ledger.row(sale, "r-2") == Row("ann", "HELD", "RECORDED", "", "1 lamp")
    assert await shop.stock(sale) == Stock(available=9, held=1, sold=0)


async def test_a_hold_made_before_its_buyer_was_blocked(shop: Shop) -> None:
    """It was lawful and may end in peace; only its confirm is refused."""
    sale = await shop.open_sale()
    await shop.reserve(sale, "bought", buyer_id="eve")
    await shop.reserve(sale, "left", buyer_id="eve")
    await shop.settled(sale)

    await shop.block("eve")
    confirmed = await shop.confirm(sale, "bought")
    await shop.release(sale, "left")
    await shop.settled(sale)

    assert confirmed.reservation.state == CONFIRMED
    assert await shop.ledger.row(sale, "bought") == Row("eve", "COMPENSATED", "REFUSED", BLOCKED, "1 lamp")
    assert await shop.ledger.row(sale, "left") == Row("eve", "RELEASED", "RECORDED", "", "1 lamp")
    assert await shop.ledger.letters(sale) == [DeadLetter("bought", BLOCKED, "SETTLED", "COMPENSATED", True)]
    assert await is_all_there(shop, sale)


async def is_all_there(shop: Shop, sale: str) -> bool:
    """Nothing of the sale is held or sold."""
    return await shop.stock(sale) == Stock(available=10, held=0, sold=0)
