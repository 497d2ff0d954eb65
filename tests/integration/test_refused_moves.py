"""The table of states and moves for orders that the ledger refuses: whatever was done, their units go back once."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import pytest

from inventory_service.domain.keys import SaleKey
from inventory_service.domain.sale import SaleRead
from tests.contract.states import bring_to
from tests.contract.test_moves import STATES, cells, make, state_of
from tests.integration.loaded_shard import LoadedShard
from tests.ledger_consistency import inconsistencies
from tests.servers import connected

FORBID_SALES = "alter table reservation add constraint of_a_test check (state <> 'CONFIRMED')"
ROWS = "select sale_id, state from reservation where reservation_id = 'r-1'"
LETTERS = "select sale_id, state from dead_letter where reservation_id = 'r-1'"
ITEMS = "select sale_id, sku, available, held, sold, refused from item"
LIVE = ("HELD", "CONFIRMED")
TOLD_AS = {"OVERDUE": "EXPIRED", "PARTLY-SOLD": "CONFIRMED", "PARTLY-BACK": "CONFIRMED"}


@pytest.fixture
async def loaded(shared_valkey: str, database: str) -> AsyncIterator[LoadedShard]:
    """A shard with its ledger."""
    shard = await LoadedShard.opened(shared_valkey, database)
    yield shard
    await shard.close()


def moves_from(state: str) -> Mapping[str, str]:
    """The callers' moves of a row of the table, each with the state to which it leads."""
    row = {move: cell for of, move, cell in cells() if of == state and move != "compensate"}
    stands = TOLD_AS.get(state, state)
    return {move: cell if cell in STATES else stands for move, cell in row.items()}


@pytest.mark.parametrize("state", [*LIVE, "PARTLY-SOLD", "PARTLY-BACK", "RETURNED", "RELEASED", "EXPIRED", "OVERDUE"])
async def test_an_order_refused_when_it_was_made_ends_once(loaded: LoadedShard, state: str) -> None:
    """What is still out goes back by the compensation, and what ended before stays as it ended."""
    await loaded.block("b-1", blocked=True)

    await make_all(loaded, state)

    expected = {move: "COMPENSATED" if end in LIVE else end for move, end in moves_from(state).items()}
    assert await settled(loaded) == expected


@pytest.mark.parametrize("state", ["HELD", "CONFIRMED", "PARTLY-SOLD", "PARTLY-BACK"])
async def test_an_order_refused_when_it_was_sold_ends_once(loaded: LoadedShard, state: str) -> None:
    """A hold that was not sold stays."""
    async with connected(loaded.dsn) as db:
        await db.execute(FORBID_SALES)

    await make_all(loaded, state)

    expected = {move: "COMPENSATED" if end == "CONFIRMED" else end for move, end in moves_from(state).items()}
    assert await settled(loaded) == expected


async def make_all(shard: LoadedShard, state: str) -> None:
    """Make each move of the table from a state, in a sale of its own."""
    for move in moves_from(state):
        sale = SaleKey("default", move)
        await make(shard, move, await bring_to(shard, state, sale), sale)


async def settled(shard: LoadedShard) -> dict[str, str]:
    """Have the ledger judge and what it refuses compensated; by sale, the states that Redis and the ledger share."""
    await shard.drain()
    await shard.compensate()
    async with connected(shard.dsn) as db:
        assert await inconsistencies(db) == []
        await shard.drain()
        assert await inconsistencies(db) == []
        states = {row["sale_id"]: row["state"] for row in await db.fetch(ROWS)}
        letters = {row["sale_id"]: row["state"] for row in await db.fetch(LETTERS)}
        items = await db.fetch(ITEMS)
    assert set(letters.values()) <= {"SETTLED"}
    assert {sale for sale, state in states.items() if state == "COMPENSATED"} <= set(letters)
    assert {sale: await state_of(shard, SaleKey("default", sale)) for sale in states} == states
    assert await stock_of(shard, states) == sorted(tuple(row) for row in items)
    return states


async def stock_of(shard: LoadedShard, sales: Mapping[str, str]) -> Sequence[tuple[Any, ...]]:
    """The items in Redis as the ledger has them if none is refused any more."""
    found = []
    for sale in sales:
        read = await shard.stock.find_sale(SaleKey("default", sale))
        assert isinstance(read, SaleRead)
        found += [(sale, item.sku, item.available, item.held, item.sold, 0) for item in read.sale.items]
    return sorted(found)
