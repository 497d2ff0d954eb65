"""Compensations that Kafka delivers again or late give back the units of their reservation, once."""

import pytest
from holdfast.inventory.v1 import reservation_pb2 as states
from holdfast.inventory.v1.events_pb2 import Compensation

from tests.ledger_rows import DeadLetter, Row
from tests.stack_fixture import StackFixture, Stock
from tests.waiting import eventually

HELD, COMPENSATED = states.RESERVATION_STATE_HELD, states.RESERVATION_STATE_COMPENSATED
ALL_THERE = Stock(available=10, held=0, sold=0)


async def test_a_repeated_compensation_gives_nothing_back_twice(stack: StackFixture) -> None:
    """Promise 3: Kafka may deliver a compensation any number of times."""
    sale, order = await compensated(stack, "carl")

    for _ in range(3):
        await stack.publish(order)

    await stack.settled(sale)
    assert stack.compensation_outcomes(sale)["given_back"] == 1
    assert await stack.stock(sale) == ALL_THERE
    assert await stack.ledger.moves(sale, "r-1") == ["1 lamp available > refused", "1 lamp refused > available"]
    assert len(await stack.facts(sale)) == 2


@pytest.mark.parametrize("move", ["confirm", "release"])
async def test_a_compensation_comes_after_a_confirm_or_release(stack: StackFixture, move: str) -> None:
    """With a slow compensator, a confirmed order is still compensated, and a released one is not given back twice."""
    buyer = f"slow-{move}"
    sale = await stack.open_sale()
    await stack.refuse_orders_of(buyer)

    async with stack.halted("compensate"):
        await stack.reserve(sale, "r-1", buyer_id=buyer)
        await eventually(lambda: is_refused(stack, sale))
        await (stack.confirm if move == "confirm" else stack.release)(sale, "r-1")
    await eventually(lambda: stack.compensation_outcomes(sale))
    await stack.settled(sale)

    state = "COMPENSATED" if move == "confirm" else "RELEASED"
    assert stack.compensation_outcomes(sale)["given_back"] == (1 if move == "confirm" else 0)
    assert await stack.ledger.row(sale, "r-1") == Row(buyer, state, "REFUSED", "BUYER_BLOCKED", "1 lamp")
    assert await stack.ledger.dead_letters(sale) == [DeadLetter("r-1", "BUYER_BLOCKED", "SETTLED", state, True)]
    assert await stack.ledger.moves(sale, "r-1") == ["1 lamp available > refused", "1 lamp refused > available"]
    assert await stack.stock(sale) == ALL_THERE


async def compensated(stack: StackFixture, buyer: str) -> tuple[str, Compensation]:
    """A sale with one compensated order of a blocked buyer, and its compensation."""
    sale = await stack.open_sale()
    await stack.refuse_orders_of(buyer)
    await stack.reserve(sale, "r-1", buyer_id=buyer)
    await stack.settled(sale)
    assert (await stack.get(sale, "r-1")).state == COMPENSATED
    [order, *_] = await stack.compensations(sale)
    return sale, order


async def is_refused(stack: StackFixture, sale: str) -> bool:
    """The ledger has refused the order, and its units are not back yet."""
    return (await stack.ledger.balance(sale)).refused == 1
