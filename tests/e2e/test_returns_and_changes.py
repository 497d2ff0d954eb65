"""Moves that few other tests make on a whole stack: a return of what has been archived, and a change of a hold."""

import asyncio
from collections.abc import Mapping
from functools import partial
from typing import Any

from holdfast.inventory.v1 import inventory_service_pb2 as calls
from holdfast.inventory.v1 import reservation_pb2 as states
from holdfast.inventory.v1.reservation_pb2 import Line, Reservation

from tests.e2e.archived_sales import ARCHIVES_S, is_archived, sale_with_archived_reservations
from tests.inventory_server import Caller
from tests.ledger_rows import Balance, Row
from tests.repeated_calls import calling_until_answered
from tests.stack_fixture import StackFixture, Stock
from tests.waiting import eventually

HELD, CONFIRMED = states.RESERVATION_STATE_HELD, states.RESERVATION_STATE_CONFIRMED
RETURNED = states.RESERVATION_STATE_RETURNED


async def test_an_archived_purchase_is_returned_once(archiving: StackFixture) -> None:
    """Two callers at once hear of one return; after it was archived again, the rest comes back and leaves the sale."""
    sale = await sale_with_archived_reservations(archiving)

    async with calling_until_answered(archiving.running.addresses.listen) as other:
        first, second = await asyncio.gather(
            *(give_back(caller, sale, lines=[Line(sku="lamp", quantity=1)]) for caller in (archiving.caller, other))
        )
    after_one = await archiving.stock(sale)
    await eventually(partial(is_archived, archiving, sale, "bought"), ARCHIVES_S)
    rest = await give_back(archiving.caller, sale, discard=True)
    await archiving.settled(sale)

    assert sorted([first.replayed, second.replayed]) == [False, True]
    assert as_told(first.reservation) == as_told(second.reservation) == (CONFIRMED, 3, [("lamp", 2, 2, 1)])
    assert after_one == Stock(available=9, held=0, sold=1)
    assert (rest.replayed, as_told(rest.reservation)) == (False, (RETURNED, 4, [("lamp", 2, 2, 2)]))
    assert (await archiving.sale(sale)).items[0].total == 9
    assert await archiving.ledger.row(sale, "bought") == Row("ann", "RETURNED", "RECORDED", "", "2 lamp")
    assert (await archiving.ledger.moves(sale, "bought"))[-2:] == ["1 lamp sold > available", "1 lamp sold > external"]
    await stands_everywhere(archiving, sale, lamp=Stock(available=9, held=0, sold=0))


async def test_a_changed_hold_is_recorded_and_sold_as_it_was_changed(archiving: StackFixture) -> None:
    """With one line more and one that has risen, in Redis, in the ledger and once it is archived."""
    sale = await archiving.open_sale({"lamp": 10, "shade": 5})
    await archiving.reserve(sale, "r-1", {"lamp": 2})

    lines = [Line(sku="lamp", quantity=3), Line(sku="shade", quantity=1)]
    request = calls.ChangeReservationRequest(sale_id=sale, reservation_id="r-1", lines=lines)
    changed = await archiving.caller.stock.ChangeReservation(request)
    held = await archiving.stock(sale), await archiving.stock(sale, "shade")
    await archiving.confirm(sale, "r-1")
    await archiving.settled(sale)
    before = await archiving.get(sale, "r-1")
    await eventually(partial(is_archived, archiving, sale, "r-1"), ARCHIVES_S)

    assert (changed.replayed, as_told(changed.reservation)) == (
        False,
        (HELD, 2, [("lamp", 3, 0, 0), ("shade", 1, 0, 0)]),
    )
    assert held == (Stock(available=7, held=3, sold=0), Stock(available=4, held=1, sold=0))
    assert as_told(before) == (CONFIRMED, 3, [("lamp", 3, 3, 0), ("shade", 1, 1, 0)])
    assert await archiving.get(sale, "r-1") == before
    assert await archiving.ledger.row(sale, "r-1") == Row("ann", "CONFIRMED", "RECORDED", "", "3 lamp, 1 shade")
    assert await archiving.ledger.moves(sale, "r-1") == [
        "2 lamp available > held",
        "1 lamp available > held",
        "1 shade available > held",
        "3 lamp held > sold",
        "1 shade held > sold",
    ]
    shade = Stock(available=4, held=0, sold=1)
    await stands_everywhere(archiving, sale, lamp=Stock(available=7, held=0, sold=3), shade=shade)


async def give_back(caller: Caller, sale: str, **fields: Any) -> calls.ReturnReservationResponse:
    """Return what was bought, all of it unless lines are given."""
    request = calls.ReturnReservationRequest(sale_id=sale, reservation_id="bought", reason="broken", **fields)
    return await caller.stock.ReturnReservation(request)


def as_told(told: Reservation) -> tuple[int, int, list[tuple[str, int, int, int]]]:
    """State and revision, and of each line what was claimed, was sold and has come back."""
    lines = [(line.sku, line.quantity, line.confirmed_quantity, line.returned_quantity) for line in told.lines]
    return told.state, told.revision, lines


async def stands_everywhere(stack: StackFixture, sale: str, **stock: Stock) -> None:
    """Redis and the ledger have this stock, and the audit finds no difference."""
    units: Mapping[str, Stock] = stock
    for sku, expected in units.items():
        assert await stack.stock(sale, sku) == expected
        assert await stack.ledger.balance(sale, sku) == Balance(*expected, refused=0)
    audit = await stack.run("audit", sale)
    assert audit.code == 0, audit.stdout
