"""A reservation from the call through Redis to the ledger's rows and the published facts."""

import asyncio
from datetime import timedelta

from holdfast.inventory.v1 import reservation_pb2 as states

from tests.ledger_rows import Balance, Row
from tests.stack_fixture import StackFixture, Stock
from tests.waiting import eventually

NEW = states.RESERVATION_STATE_UNSPECIFIED
HELD, CONFIRMED = states.RESERVATION_STATE_HELD, states.RESERVATION_STATE_CONFIRMED
RELEASED, EXPIRED = states.RESERVATION_STATE_RELEASED, states.RESERVATION_STATE_EXPIRED
BRIEF = timedelta(milliseconds=300)


async def test_a_reservation_reaches_the_ledgers_tables(stack: StackFixture) -> None:
    """Promises 2 and 4: an acknowledged reservation is in every table, and Redis then shows it as RECORDED."""
    sale = await stack.open_sale({"lamp": 10, "shade": 20})

    answer = await stack.reserve(sale, "r-1", {"shade": 3, "lamp": 2})
    await stack.settled(sale)

    made = answer.reservation
    assert (made.state, made.ledger_state) == (HELD, states.LEDGER_STATE_PENDING)
    assert await stack.ledger.row(sale, "r-1") == Row("ann", "HELD", "RECORDED", "", "2 lamp, 3 shade")
    assert await stack.ledger.moves(sale, "r-1") == ["2 lamp available > held", "3 shade available > held"]
    assert await stack.ledger.balance(sale, "lamp") == Balance(available=8, held=2, sold=0, refused=0)
    assert await stack.ledger.balance(sale, "shade") == Balance(available=17, held=3, sold=0, refused=0)
    assert await stack.ledger.has_commit(made.position.shard, made.position.epoch, made.position.seq)
    assert (await stack.get(sale, "r-1")).ledger_state == states.LEDGER_STATE_RECORDED


async def test_every_change_is_published_once_and_in_order(stack: StackFixture) -> None:
    """Consumers of the facts need nothing else: each position once, with the states before and after it."""
    sale = await stack.open_sale()

    await stack.reserve(sale, "bought", {"lamp": 2})
    await stack.confirm(sale, "bought")
    await stack.reserve(sale, "left")
    await stack.release(sale, "left")
    await stack.settled(sale)

    facts = await stack.facts(sale)
    assert [(fact.reservation.reservation_id, fact.previous_state, fact.reservation.state) for fact in facts] == [
        ("bought", NEW, HELD),
        ("bought", HELD, CONFIRMED),
        ("left", NEW, HELD),
        ("left", HELD, RELEASED),
    ]
    positions = [(fact.position.epoch, fact.position.seq, fact.position.index) for fact in facts]
    assert positions == sorted(set(positions))
    assert all(fact.reservation.ledger_state == states.LEDGER_STATE_RECORDED for fact in facts)
    assert await stack.ledger.moves(sale, "bought") == ["2 lamp available > held", "2 lamp held > sold"]


async def test_a_repeated_reserve_is_one_hold_and_one_fact(stack: StackFixture) -> None:
    """A caller that got no answer retries with the same id, and gets no second unit."""
    sale = await stack.open_sale()
    first = await stack.reserve(sale, "r-1")

    again = await stack.reserve(sale, "r-1")
    await stack.settled(sale)

    assert not first.replayed
    assert again.replayed
    assert again.reservation.position == first.reservation.position
    assert await stack.stock(sale) == Stock(available=9, held=1, sold=0)
    assert len(await stack.facts(sale)) == 1
    assert await stack.ledger.moves(sale, "r-1") == ["1 lamp available > held"]


async def test_concurrent_repeats_are_one_hold(stack: StackFixture) -> None:
    """A caller may send the same id many times before the first call is answered."""
    sale = await stack.open_sale()

    answers = await asyncio.gather(*(stack.reserve(sale, "r-1") for _ in range(50)))
    await stack.settled(sale)

    assert sorted(answer.replayed for answer in answers) == [False] + [True] * 49
    assert {answer.reservation.position.seq for answer in answers} == {answers[0].reservation.position.seq}
    assert await stack.ledger.balance(sale) == Balance(available=9, held=1, sold=0, refused=0)
    assert len(await stack.facts(sale)) == 1


async def test_a_purchase_without_a_hold_is_recorded_as_sold(stack: StackFixture) -> None:
    """In a sale without holds a Reserve is the purchase."""
    sale = await stack.open_sale(hold_ttl=timedelta(0))

    answer = await stack.reserve(sale, "r-1")
    await stack.settled(sale)

    assert answer.reservation.state == CONFIRMED
    assert await stack.ledger.row(sale, "r-1") == Row("ann", "CONFIRMED", "RECORDED", "", "1 lamp")
    assert await stack.ledger.moves(sale, "r-1") == ["1 lamp available > sold"]


async def test_an_expired_hold_reaches_the_ledger_by_itself(stack: StackFixture) -> None:
    """Promise 3: a hold without a further call expires in the ledger too, and its units are available again."""
    sale = await stack.open_sale(1, hold_ttl=BRIEF)
    await stack.reserve(sale, "r-1")

    await eventually(lambda: is_expired(stack, sale, "r-1"))
    await stack.settled(sale)

    assert await stack.ledger.moves(sale, "r-1") == ["1 lamp available > held", "1 lamp held > available"]
    assert await stack.ledger.balance(sale) == Balance(available=1, held=0, sold=0, refused=0)
    assert [fact.reservation.state for fact in await stack.facts(sale)] == [HELD, EXPIRED]


async def is_expired(stack: StackFixture, sale: str, reservation_id: str) -> bool:
    """The ledger holds it as expired."""
    return await stack.ledger.row(sale, reservation_id) == Row("ann", "EXPIRED", "RECORDED", "", "1 lamp")
