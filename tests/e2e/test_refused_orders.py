"""Orders that the ledger refuses for good: the units of each go back once, whatever its state by then."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest
from holdfast.inventory.v1 import inventory_admin_service_pb2 as admin
from holdfast.inventory.v1 import reservation_pb2 as states

from tests.ledger_rows import Balance, DeadLetter, Row
from tests.stack_fixture import StackFixture, Stock
from tests.waiting import eventually

HELD, CONFIRMED = states.RESERVATION_STATE_HELD, states.RESERVATION_STATE_CONFIRMED
COMPENSATED = states.RESERVATION_STATE_COMPENSATED
BLOCKED, VIOLATED = "BUYER_BLOCKED", "CONSTRAINT_VIOLATED"
BRIEF, USUAL = timedelta(milliseconds=300), timedelta(minutes=10)

# Check constraints of the ledger: on the order's live states, on any row of it, and on its sale.
NO_LIVE_POISON = "reservation_id <> 'poison' or state not in ('HELD', 'CONFIRMED')"
NO_POISON = "reservation_id <> 'poison'"
NO_SALE_OF_POISON = "reservation_id <> 'poison' or state <> 'CONFIRMED'"


async def test_one_poison_order_among_a_thousand_is_compensated_and_no_other(stack: StackFixture) -> None:
    """Promise 5: refusing is for the one order alone, and its units come back exactly once."""
    sale = await stack.open_sale(2000)
    wishes = {f"good-{number}": 1 for number in range(1000)} | {"poison": 2}
    order = random.Random(7).sample(sorted(wishes), len(wishes))

    async with stack.ledger.forbidding(NO_LIVE_POISON):
        answers = await asyncio.gather(*(stack.reserve(sale, name, {"lamp": wishes[name]}) for name in order))
        await stack.settled(sale)

    assert {answer.reservation.state for answer in answers} == {HELD}
    assert await stack.ledger.recorded(sale, "HELD") == 1000
    assert await stack.ledger.dead_letters(sale) == [DeadLetter("poison", VIOLATED, "SETTLED", "COMPENSATED", True)]
    assert len({order.compensation_id for order in await stack.compensations(sale)}) == 1
    await eventually(lambda: stack.compensation_outcomes(sale))  # the compensator logs it after it is done
    assert stack.compensation_outcomes(sale)["given_back"] == 1
    assert await stack.ledger.moves(sale, "poison") == ["2 lamp available > refused", "2 lamp refused > available"]
    assert await stack.ledger.balance(sale) == Balance(available=1000, held=1000, sold=0, refused=0)
    assert await stack.stock(sale) == Stock(available=1000, held=1000, sold=0)


async def test_the_reason_of_a_compensation_is_in_redis_ledger_and_facts(stack: StackFixture) -> None:
    """GetReservation, the ledger's row and the facts have the same reason."""
    sale = await stack.open_sale()

    async with stack.ledger.forbidding(NO_LIVE_POISON):
        await stack.reserve(sale, "poison")
        await stack.settled(sale)

    seen = await stack.get(sale, "poison")
    assert (seen.state, seen.ledger_state) == (COMPENSATED, states.LEDGER_STATE_REFUSED)
    assert seen.compensation_reason == states.COMPENSATION_REASON_CONSTRAINT_VIOLATED
    assert "of_a_test" in seen.note
    assert await stack.ledger.row(sale, "poison") == Row("ann", "COMPENSATED", "REFUSED", VIOLATED, "1 lamp")
    made, given_back = await stack.facts(sale)
    assert made.reservation.ledger_state == given_back.reservation.ledger_state == states.LEDGER_STATE_REFUSED
    assert given_back.reservation.compensation_reason == states.COMPENSATION_REASON_CONSTRAINT_VIOLATED
    assert (given_back.previous_state, given_back.reservation.state) == (HELD, COMPENSATED)


async def test_an_order_without_a_row_is_read_from_its_dead_letter(stack: StackFixture) -> None:
    """The ledger cannot record it as a reservation; its dead letter has its final state."""
    sale = await stack.open_sale()

    async with stack.ledger.forbidding(NO_POISON):
        await stack.reserve(sale, "poison")
        await stack.settled(sale)

    assert await stack.ledger.row(sale, "poison") is None
    assert await stack.ledger.dead_letters(sale) == [DeadLetter("poison", VIOLATED, "SETTLED", "COMPENSATED", True)]
    assert (await stack.get(sale, "poison")).state == COMPENSATED
    assert await is_all_there(stack, sale)


async def confirm(stack: StackFixture, sale: str) -> None:
    """Buy it."""
    await stack.confirm(sale, "poison")


async def release(stack: StackFixture, sale: str) -> None:
    """Give it back."""
    await stack.release(sale, "poison")


async def expire(stack: StackFixture, sale: str) -> None:
    """Wait until its hold was taken back."""
    await eventually(lambda: is_all_there(stack, sale))


@pytest.mark.parametrize(
    ("move_on", "state"),
    [
        pytest.param(confirm, "COMPENSATED", id="confirmed"),
        pytest.param(release, "RELEASED", id="released"),
        pytest.param(expire, "EXPIRED", id="expired"),
    ],
)
async def test_a_poison_order_that_changed_before_the_ledger_applied_it(
    stack: StackFixture, move_on: Callable[[StackFixture, str], Awaitable[None]], state: str
) -> None:
    """Promise 3: its units come back once, by its own end if it has one, else by the compensation."""
    sale = await stack.open_sale(hold_ttl=BRIEF if move_on is expire else USUAL)

    async with stack.ledger.forbidding(NO_POISON):
        async with stack.halted("persist"):
            await stack.reserve(sale, "poison", {"lamp": 2})
            await move_on(stack, sale)
        await stack.settled(sale)

    assert await stack.ledger.dead_letters(sale) == [DeadLetter("poison", VIOLATED, "SETTLED", state, True)]
    assert await stack.ledger.moves(sale, "poison") == ["2 lamp available > refused", "2 lamp refused > available"]
    assert await stack.ledger.balance(sale) == Balance(available=10, held=0, sold=0, refused=0)
    assert await is_all_there(stack, sale)
    assert (await stack.get(sale, "poison")).state == states.ReservationState.Value(f"RESERVATION_STATE_{state}")


async def test_an_order_that_is_refused_at_its_confirm(stack: StackFixture) -> None:
    """The ledger took the hold and cannot take the sale: the units, sold by now in Redis, come back."""
    sale = await stack.open_sale()

    async with stack.ledger.forbidding(NO_SALE_OF_POISON):
        await stack.reserve(sale, "poison")
        await stack.settled(sale)
        confirmed = await stack.confirm(sale, "poison")
        await stack.settled(sale)

    assert confirmed.reservation.state == CONFIRMED
    assert await stack.ledger.row(sale, "poison") == Row("ann", "COMPENSATED", "REFUSED", VIOLATED, "1 lamp")
    assert await stack.ledger.moves(sale, "poison") == [
        "1 lamp available > held",
        "1 lamp held > refused",
        "1 lamp refused > available",
    ]
    assert await is_all_there(stack, sale)


async def test_a_refused_purchase_is_sold_anew(stack: StackFixture) -> None:
    """An operator replays its dead letter once the ledger takes it: booked like any order, and the audit agrees."""
    sale = await stack.open_sale()
    async with stack.ledger.forbidding(NO_SALE_OF_POISON):
        made = (await stack.reserve(sale, "poison", {"lamp": 2}, reference="cart-7")).reservation.position
        await stack.confirm(sale, "poison")
        await stack.settled(sale)

    letter = f"{made.shard}-{made.epoch}-{made.seq}-{made.index}"
    request = admin.ReplayDeadLetterRequest(dead_letter_id=letter, reservation_id="again")
    answer = await stack.caller.admin.ReplayDeadLetter(request)
    await stack.settled(sale)

    assert (answer.outcome.reservation.state, answer.outcome.reservation.reference) == (CONFIRMED, "cart-7")
    assert (answer.dead_letter.state, answer.dead_letter.replayed_as) == (admin.DEAD_LETTER_STATE_REPLAYED, "again")
    assert await stack.ledger.dead_letters(sale) == [DeadLetter("poison", VIOLATED, "REPLAYED", "COMPENSATED", True)]
    assert await stack.ledger.row(sale, "again") == Row("ann", "CONFIRMED", "RECORDED", "", "2 lamp")
    assert await stack.ledger.moves(sale, "again") == ["2 lamp available > sold"]
    fact = (await stack.facts(sale))[-1]
    assert (fact.previous_state, fact.reservation.state) == (states.RESERVATION_STATE_UNSPECIFIED, CONFIRMED)
    assert await stack.stock(sale) == Stock(available=8, held=0, sold=2)
    audit = await stack.run("audit", sale, "--json")
    assert audit.code == 0, audit.stdout


async def test_a_blocked_buyers_order_is_compensated(stack: StackFixture) -> None:
    """A shard that did not hear of the block grants the hold; the ledger refuses it, with the reason."""
    sale = await stack.open_sale()
    await stack.refuse_orders_of("blocked-late")

    answer = await stack.reserve(sale, "r-1", buyer_id="blocked-late")
    await stack.reserve(sale, "r-2", buyer_id="ann")
    await stack.settled(sale)

    assert answer.reservation.state == HELD
    seen = await stack.get(sale, "r-1")
    assert (seen.state, seen.compensation_reason) == (COMPENSATED, states.COMPENSATION_REASON_BUYER_BLOCKED)
    assert seen.note == "the buyer is blocked: a test"
    assert await stack.ledger.dead_letters(sale) == [DeadLetter("r-1", BLOCKED, "SETTLED", "COMPENSATED", True)]
    assert await stack.ledger.row(sale, "r-2") == Row("ann", "HELD", "RECORDED", "", "1 lamp")
    assert await stack.stock(sale) == Stock(available=9, held=1, sold=0)


async def test_a_hold_made_before_its_buyer_was_blocked(stack: StackFixture) -> None:
    """It was valid when it was made and may be released; only its confirm is refused."""
    sale = await stack.open_sale()
    await stack.reserve(sale, "bought", buyer_id="eve")
    await stack.reserve(sale, "left", buyer_id="eve")
    await stack.settled(sale)

    await stack.block("eve")
    confirmed = await stack.confirm(sale, "bought")
    await stack.release(sale, "left")
    await stack.settled(sale)

    assert confirmed.reservation.state == CONFIRMED
    assert await stack.ledger.row(sale, "bought") == Row("eve", "COMPENSATED", "REFUSED", BLOCKED, "1 lamp")
    assert await stack.ledger.row(sale, "left") == Row("eve", "RELEASED", "RECORDED", "", "1 lamp")
    assert await stack.ledger.dead_letters(sale) == [DeadLetter("bought", BLOCKED, "SETTLED", "COMPENSATED", True)]
    assert await is_all_there(stack, sale)


async def is_all_there(stack: StackFixture, sale: str) -> bool:
    """Nothing of the sale is held or sold."""
    return await stack.stock(sale) == Stock(available=10, held=0, sold=0)
