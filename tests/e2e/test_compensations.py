"""The ledger's orders to give units back may come again and late; they strike nothing but what they name, and once."""

import pytest
from holdfast.inventory.v1 import reservation_pb2 as states
from holdfast.inventory.v1.events_pb2 import Compensation

from tests.e2e.ledger import Balance, DeadLetter, Row
from tests.e2e.shop import Shop, Stock
from tests.waiting import eventually

HELD, COMPENSATED = states.RESERVATION_STATE_HELD, states.RESERVATION_STATE_COMPENSATED
ALL_THERE = Stock(available=10, held=0, sold=0)


async def test_an_order_that_comes_again_gives_nothing_back_twice(shop: Shop) -> None:
    """Promise 3: Kafka may deliver an order any number of times."""
    sale, order = await compensated(shop, "carl")

    for _ in range(3):
        await repeat(shop, order)

    await shop.settled(sale)
    assert shop.carried_out(sale)["given_back"] == 1
    assert await shop.stock(sale) == ALL_THERE
    assert await shop.ledger.moves(sale, "r-1") == ["1 lamp available > refused", "1 lamp refused > available"]
    assert len(await shop.facts(sale)) == 2


@pytest.mark.parametrize("move", ["confirm", "release"])
async def test_an_order_that_comes_after_the_buyer_moved_on(shop: Shop, move: str) -> None:
    """The compensator was slow: a sale is undone all the same, and what was given back is not given back again."""
    buyer = f"slow-{move}"
    sale = await shop.open_sale()
    await shop.block(buyer)

    async with shop.holding("compensate"):
        await shop.reserve(sale, "r-1", buyer_id=buyer)
        await eventually(lambda: is_refused(shop, sale))
        await (shop.confirm if move == "confirm" else shop.release)(sale, "r-1")
    await eventually(lambda: shop.carried_out(sale))
    await shop.settled(sale)

    state = "COMPENSATED" if move == "confirm" else "RELEASED"
    assert shop.carried_out(sale)["given_back"] == (1 if move == "confirm" else 0)
    assert await shop.ledger.row(sale, "r-1") == Row(buyer, state, "REFUSED", "BUYER_BLOCKED", "1 lamp")
    assert await shop.ledger.letters(sale) == [DeadLetter("r-1", "BUYER_BLOCKED", "SETTLED", state, True)]
    assert await shop.ledger.moves(sale, "r-1") == ["1 lamp available > refused", "1 lamp refused > available"]
    assert await shop.stock(sale) == ALL_THERE


async def test_an_order_never_strikes_a_newer_reservation_of_its_id(forgetful: Shop) -> None:
    """Orders name where the reservation was made, for an id comes again once its record has left Redis."""
    sale = await forgetful.open_sale()
    async with forgetful.ledger.forbidding("reservation_id <> 'r-1'"):  # so that the ledger never had a row of it
        await forgetful.reserve(sale, "r-1", buyer_id="dora")
        await forgetful.settled(sale)
    [order, *_] = await forgetful.compensations(sale)
    await eventually(lambda: is_forgotten(forgetful, sale))
    await forgetful.reserve(sale, "r-1", {"lamp": 2}, buyer_id="emil")

    await repeat(forgetful, order)

    await forgetful.settled(sale)
    assert (await forgetful.get(sale, "r-1")).state == HELD
    assert await forgetful.stock(sale) == Stock(available=8, held=2, sold=0)
    assert await forgetful.ledger.row(sale, "r-1") == Row("emil", "HELD", "RECORDED", "", "2 lamp")
    assert await forgetful.ledger.balance(sale) == Balance(available=8, held=2, sold=0, refused=0)


async def compensated(shop: Shop, buyer: str) -> tuple[str, Compensation]:
    """A sale with one order, of a blocked buyer, whose units came back, and the ledger's order to give them back."""
    sale = await shop.open_sale()
    await shop.block(buyer)
    await shop.reserve(sale, "r-1", buyer_id=buyer)
    await shop.settled(sale)
    assert (await shop.get(sale, "r-1")).state == COMPENSATED
    [order, *_] = await shop.compensations(sale)
    return sale, order


async def repeat(shop: Shop, order: Compensation) -> None:
    """Send an order once more, and wait until the compensator has dealt with it."""
    before = shop.carried_out(order.sale_id).total()
    await shop.publish(order)
    await eventually(lambda: shop.carried_out(order.sale_id).total() > before)


async def is_refused(shop: Shop, sale: str) -> bool:
    """The ledger has refused the order and waits for its units."""
    return (await shop.ledger.balance(sale)).refused == 1


async def is_forgotten(shop: Shop, sale: str) -> bool:
    """Redis has no record of it any more."""
    return not await shop.in_redis(sale, "r-1")
