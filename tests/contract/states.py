"""Brings a reservation to a state, or to one of those that a read tells as another state."""

from collections.abc import Sequence

from inventory_service.domain.keys import Position, SaleKey
from inventory_service.domain.moves import Move
from inventory_service.domain.results import Granted
from inventory_service.domain.sale import SaleAction
from tests.contract.requests import (
    MINUTE_MS,
    SALE,
    act,
    compensate,
    confirm,
    create,
    give_back,
    release,
    reserve,
    spend,
)
from tests.contract.results import granted
from tests.contract.shards import ShardUnderTest
from tests.sales import make_sale

ID = "r-1"
NOWHERE = Position(0, 1, 999, 0)
MANY = 100  # holds, all that a close takes back; the sweep has the rest


async def bring_to(shard: ShardUnderTest, state: str, sale: SaleKey = SALE) -> Position:
    """Bring the reservation to a state by the moves that lead there; returns its creation position."""
    lamps = 10 + (MANY if state == "CLOSED" else 0)
    await make_sale(shard.stock, create(sale, max_hold_ttl_ms=30 * MINUTE_MS, items={"lamp": lamps, "shade": 10}))
    if state == "none":
        return NOWHERE
    if state == "SPENT":
        return await moved(shard, spend(ID, sale))
    held = await granted(shard, reserve(ID, sale=sale, lamp=2, shade=1))
    if state in ("OVERDUE", "EXPIRED"):
        await shard.tick(10 * MINUTE_MS)
    last_moves: dict[str, Sequence[Move]] = {
        "CONFIRMED": [confirm(ID, sale)],
        "PARTLY-SOLD": [confirm(ID, sale, lamp=1)],
        "PARTLY-BACK": [confirm(ID, sale), give_back(ID, sale, lamp=1)],
        "RETURNED": [confirm(ID, sale), give_back(ID, sale)],
        "RELEASED": [release(ID, sale)],
    }
    for move in last_moves.get(state, ()):
        await moved(shard, move)
    if state == "CLOSED":
        await shard.stock.reserve_many(0, [reserve(f"a-{number:03}", sale=sale) for number in range(MANY)])
        await shard.stock.change_sale(act(SaleAction.CLOSE_AND_RELEASE, sale))
    if state == "EXPIRED":
        await shard.stock.expire(0)
    if state == "COMPENSATED":
        await shard.stock.compensate(compensate(ID, held.reservation.created, sale))
    return held.reservation.created


async def moved(shard: ShardUnderTest, move: Move) -> Position:
    """Make a move, which must be granted; the reservation's creation position."""
    answer = await shard.stock.move(move)
    assert isinstance(answer, Granted), answer
    return answer.reservation.created
