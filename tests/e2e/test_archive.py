"""Archived reservations and sales: they are read from the ledger, and their ids are not used for new ones."""

import asyncio
import time
from datetime import timedelta
from functools import partial
from typing import Any

import grpc
from google.protobuf.timestamp_pb2 import Timestamp
from grpc import StatusCode
from holdfast.inventory.v1 import inventory_admin_service_pb2 as admin
from holdfast.inventory.v1 import reservation_pb2 as states
from holdfast.inventory.v1 import sale_pb2 as sales

from tests.e2e.archived_sales import (
    ARCHIVES_S,
    BOUGHT,
    LONG_AGO,
    archived_sale,
    is_archived,
    is_sale_archived,
    reserve_refused,
    sale_with_archived_reservations,
)
from tests.e2e.conftest import RETENTION_S
from tests.inventory_server import CallError, call_error, error_of
from tests.ledger_rows import Balance, DeadLetter, Row
from tests.stack_fixture import StackFixture, Stock
from tests.waiting import eventually

HELD, CONFIRMED = states.RESERVATION_STATE_HELD, states.RESERVATION_STATE_CONFIRMED
RELEASED, COMPENSATED = states.RESERVATION_STATE_RELEASED, states.RESERVATION_STATE_COMPENSATED
RECORDED, REFUSED = states.LEDGER_STATE_RECORDED, states.LEDGER_STATE_REFUSED
CALLERS = 16
NEW_ADJUSTMENT: dict[str, Any] = {"sku": "lamp", "adjustment_id": "a-2", "delta": 1, "reason": "found"}
ARCHIVED_AFTER_S = ARCHIVES_S + float(RETENTION_S)


async def test_an_archived_reservation_is_read_from_the_ledger(archiving: StackFixture) -> None:
    """A read a day later returns the same reservation as before."""
    sale = await sale_with_archived_reservations(archiving)

    bought, left = await archiving.get(sale, "bought"), await archiving.get(sale, "left")

    assert (bought.state, bought.ledger_state, bought.buyer_id) == (CONFIRMED, RECORDED, "ann")
    assert [(line.sku, line.quantity, line.confirmed_quantity) for line in bought.lines] == [("lamp", 2, 2)]
    assert (left.state, left.ledger_state, left.buyer_id) == (RELEASED, RECORDED, "bob")


async def test_an_archived_move_is_repeated_and_never_undone(archiving: StackFixture) -> None:
    """The table of moves holds for archived reservations, too."""
    sale = await sale_with_archived_reservations(archiving)

    confirmed = await archiving.confirm(sale, "bought")
    released = await archiving.release(sale, "left")
    too_late = await error_of(archiving.confirm(sale, "left"))
    sold = await error_of(archiving.release(sale, "bought"))

    assert (confirmed.replayed, confirmed.reservation.state) == (True, CONFIRMED)
    assert (released.replayed, released.reservation.state) == (True, RELEASED)
    assert code_and_reason(too_late) == (StatusCode.FAILED_PRECONDITION, "WRONG_RESERVATION_STATE")
    assert too_late.metadata["state"] == "RESERVATION_STATE_RELEASED"
    assert sold.metadata["state"] == "RESERVATION_STATE_CONFIRMED"
    assert await archiving.stock(sale) == Stock(available=8, held=0, sold=2)


async def test_an_archived_id_that_is_used_again_is_compensated(archiving: StackFixture) -> None:
    """Redis has no record and grants it; the ledger has one and refuses the order, and the units go back once."""
    sale = await sale_with_archived_reservations(archiving)

    again, repeated = await reserve_refused(archiving, sale, "bought", {"lamp": 3}, buyer_id="carl")
    await archiving.settled(sale)
    await eventually(lambda: is_archived(archiving, sale, "bought"), ARCHIVES_S)
    later = await archiving.get(sale, "bought")

    assert (again.replayed, again.reservation.state) == (False, HELD)
    assert isinstance(repeated, CallError)
    assert code_and_reason(repeated) == (StatusCode.ALREADY_EXISTS, "RESERVATION_ID_REUSED")
    assert (later.state, later.ledger_state, later.buyer_id) == (CONFIRMED, RECORDED, "ann")
    assert await archiving.ledger.dead_letters(sale) == [
        DeadLetter("bought", "ID_REUSED", "SETTLED", "COMPENSATED", True)
    ]
    assert (await archiving.ledger.moves(sale, "bought"))[-2:] == [
        "3 lamp available > refused",
        "3 lamp refused > available",
    ]
    assert await archiving.ledger.balance(sale) == Balance(available=8, held=0, sold=2, refused=0)
    assert await archiving.stock(sale) == Stock(available=8, held=0, sold=2)


async def test_a_refused_order_that_was_released_reads_the_same_when_archived(archiving: StackFixture) -> None:
    """It ended before its compensation came: Redis and the ledger return the same, and the ledger adds the reason."""
    sale = await archiving.open_sale()
    await archiving.refuse_orders_of("mallory")
    async with archiving.halted("persist"):
        await archiving.reserve(sale, "r-1", buyer_id="mallory")
        released = (await archiving.release(sale, "r-1")).reservation  # by Redis, whatever a later read finds
    await archiving.settled(sale)

    before = await archiving.get(sale, "r-1")
    await eventually(lambda: is_archived(archiving, sale, "r-1"), ARCHIVES_S)
    after = await archiving.get(sale, "r-1")

    assert await archiving.ledger.row(sale, "r-1") == Row("mallory", "RELEASED", "REFUSED", "BUYER_BLOCKED", "1 lamp")
    assert (released.state, released.ledger_state) == (RELEASED, states.LEDGER_STATE_PENDING)
    assert after.compensation_reason == states.COMPENSATION_REASON_BUYER_BLOCKED
    for later in (before, after):
        later.ClearField("compensation_reason")
    released.ledger_state = RECORDED
    assert before == after == released


async def test_a_compensation_never_touches_a_newer_reservation_of_its_id(archiving: StackFixture) -> None:
    """It names where the reservation was made, because an id can be used again once its record has left Redis."""
    sale = await archiving.open_sale()
    async with archiving.ledger.forbidding("reservation_id <> 'r-1'"):  # so that the ledger has no row of it
        await archiving.reserve(sale, "r-1", buyer_id="dora")
        await archiving.settled(sale)
    [compensation, *_] = await archiving.compensations(sale)
    await eventually(partial(is_archived, archiving, sale, "r-1"), ARCHIVES_S)
    await archiving.reserve(sale, "r-1", {"lamp": 2}, buyer_id="emil")

    await archiving.publish(compensation)

    await archiving.settled(sale)
    assert (await archiving.get(sale, "r-1")).state == HELD
    assert await archiving.stock(sale) == Stock(available=8, held=2, sold=0)
    assert await archiving.ledger.row(sale, "r-1") == Row("emil", "HELD", "RECORDED", "", "2 lamp")
    assert await archiving.ledger.balance(sale) == Balance(available=8, held=2, sold=0, refused=0)


async def test_a_spent_id_stays_spent(archiving: StackFixture) -> None:
    """After a release with `spend_id`, a later Reserve finds the id ended, or is compensated and finds it then."""
    sale = await archiving.open_sale()
    async with archiving.halted("relay"):  # so that it is not archived meanwhile
        spent = await archiving.release(sale, "r-1", spend_id=True)
        at_once = await archiving.reserve(sale, "r-1")
    await archiving.settled(sale)
    recorded = await archiving.ledger.row(sale, "r-1")
    await eventually(lambda: is_archived(archiving, sale, "r-1"), ARCHIVES_S)

    much_later, repeated = await reserve_refused(archiving, sale, "r-1")
    await archiving.settled(sale)

    assert (spent.replayed, spent.reservation.state) == (False, RELEASED)
    assert at_once.rejection.reason == states.REJECTION_REASON_RESERVATION_ENDED
    assert at_once.rejection.ended.state == RELEASED
    assert recorded == Row("", "RELEASED", "RECORDED", "", "")
    assert much_later.reservation.state == HELD
    assert not isinstance(repeated, CallError)
    assert repeated.rejection.ended.state == RELEASED
    assert await archiving.ledger.dead_letters(sale) == [DeadLetter("r-1", "ID_REUSED", "SETTLED", "COMPENSATED", True)]
    assert await archiving.stock(sale) == Stock(available=10, held=0, sold=0)


async def test_an_archived_id_cannot_be_spent(archiving: StackFixture) -> None:
    """A sold reservation stays sold, and the error names its state, whether Redis has the record or not."""
    sale = await sale_with_archived_reservations(archiving)

    sold = await error_of(archiving.release(sale, "bought", spend_id=True))
    left = await archiving.release(sale, "left", spend_id=True)
    await archiving.settled(sale)

    assert code_and_reason(sold) == (StatusCode.FAILED_PRECONDITION, "WRONG_RESERVATION_STATE")
    assert sold.metadata["state"] == "RESERVATION_STATE_CONFIRMED"
    assert (left.replayed, left.reservation.state, left.reservation.buyer_id) == (True, RELEASED, "bob")
    assert await archiving.ledger.dead_letters(sale) == []
    assert await archiving.ledger.row(sale, "bought") == Row("ann", "CONFIRMED", "RECORDED", "", "2 lamp")
    assert await archiving.ledger.balance(sale) == Balance(available=8, held=0, sold=2, refused=0)


async def test_calls_about_archived_reservations_fail_while_the_ledger_is_down(archiving: StackFixture) -> None:
    """The ledger may have it, and NOT_FOUND would make a caller buy twice. Reserve answers as usual."""
    sale = await sale_with_archived_reservations(archiving)

    async with archiving.without("postgres"):
        calls = {
            "get": archiving.get(sale, "bought"),
            "get what never was": archiving.get(sale, "never-was"),
            "confirm": archiving.confirm(sale, "bought"),
            "release": archiving.release(sale, "left"),
            "spend": archiving.release(sale, "bought", spend_id=True),
            "spend what never was": archiving.release(sale, "never-was", spend_id=True),
            "reserve in an unknown sale": archiving.reserve("never-was", "r-1"),
            "block a buyer": archiving.block("mallory"),
        }
        errors = {what: code_and_reason(await error_of(call)) for what, call in calls.items()}
        held = await archiving.reserve(sale, "r-1")

    assert errors == dict.fromkeys(calls, (StatusCode.UNAVAILABLE, "LEDGER_UNREACHABLE"))
    assert held.reservation.state == HELD
    await archiving.settled(sale)
    assert await archiving.ledger.row(sale, "r-1") == Row("ann", "HELD", "RECORDED", "", "1 lamp")
    await eventually(partial(is_unknown, archiving, sale, "never-was"))


async def is_unknown(stack: StackFixture, sale: str, reservation_id: str) -> bool:
    """The ledger answers, and has no such reservation."""
    error = code_and_reason(await error_of(stack.get(sale, reservation_id)))
    return error == (StatusCode.NOT_FOUND, "RESERVATION_NOT_FOUND")


async def test_an_archived_sale_is_answered_from_the_ledger(archiving: StackFixture) -> None:
    """A late caller gets the same reservations as before, and SALE_ENDED for a new one."""
    sale = await archived_sale(archiving)

    seen = await archiving.sale(sale)
    bought, left = await archiving.get(sale, "bought"), await archiving.get(sale, "left")
    again = await archiving.reserve(sale, **BOUGHT)
    given_back = await archiving.reserve(sale, "left", buyer_id="bob")
    other = [
        await error_of(archiving.reserve(sale, **(BOUGHT | change)))
        for change in ({"lines": {"lamp": 1}}, {"hold_ttl": timedelta(hours=3)}, {"reference": ""})
    ]
    late = await archiving.reserve(sale, "late")
    unknown = await error_of(archiving.reserve(sale, "late", {"sofa": 1}))

    assert (seen.state, seen.items[0].total, seen.etag != "") == (sales.SALE_STATE_ARCHIVED, 10, True)
    assert await archiving.stock(sale) == Stock(available=8, held=0, sold=2)
    assert (bought.state, bought.reference, left.state) == (CONFIRMED, "cart-7", RELEASED)
    assert (again.replayed, again.reservation) == (True, bought)
    assert (given_back.replayed, given_back.rejection.ended) == (True, left)
    assert given_back.rejection.reason == states.REJECTION_REASON_RESERVATION_ENDED
    assert {*map(code_and_reason, other)} == {(StatusCode.ALREADY_EXISTS, "RESERVATION_ID_REUSED")}
    assert late.rejection.reason == states.REJECTION_REASON_SALE_ENDED
    assert code_and_reason(unknown) == (StatusCode.NOT_FOUND, "ITEM_NOT_FOUND")


async def test_a_closed_sale_is_archived_with_its_adjustments(archiving: StackFixture) -> None:
    """A repeat of an adjustment hears what was done, for good; nothing else changes the sale any more."""
    sale, operator = await archiving.open_sale(units=3), archiving.caller.admin
    await archiving.reserve(sale, "held")
    adjust = admin.AdjustStockRequest(sale_id=sale, sku="lamp", adjustment_id="a-1", new_total=5, reason="found")
    made = await operator.AdjustStock(adjust)
    closed = await operator.CloseSale(admin.CloseSaleRequest(sale_id=sale, release_holds=True, reason="over"))

    await eventually(partial(is_sale_archived, archiving, sale), ARCHIVES_S)
    again = await operator.AdjustStock(adjust)
    other = await error_of(operator.AdjustStock(admin.AdjustStockRequest(**{**NEW_ADJUSTMENT, "sale_id": sale})))
    update = admin.UpdateSaleRequest(sale={"sale_id": sale, "title": "Other"}, update_mask={"paths": ["title"]})
    updated = await error_of(operator.UpdateSale(update))

    released = await archiving.get(sale, "held")
    found = await archiving.sale(sale)
    assert (again.replayed, again.adjustment, again.item.available) == (True, made.adjustment, 5)
    assert code_and_reason(other) == code_and_reason(updated) == (StatusCode.FAILED_PRECONDITION, "WRONG_SALE_STATE")
    assert other.metadata["state"] == "SALE_STATE_ARCHIVED"
    assert (released.state, released.note) == (RELEASED, "over")
    assert (found.state, found.close_time) == (sales.SALE_STATE_ARCHIVED, closed.sale.close_time)
    audit = await archiving.run("audit", sale)
    assert audit.code == 0, audit.stdout


async def test_an_archived_sale_is_not_created_again(archiving: StackFixture) -> None:
    """Its id is never free again, even for the same settings."""
    sale = await archived_sale(archiving)

    again = await error_of(archiving.open_sale_named(sale))

    assert code_and_reason(again) == (StatusCode.ALREADY_EXISTS, "SALE_ID_REUSED")
    audit = await archiving.run("audit", sale)
    assert audit.code == 0, audit.stdout


async def test_a_sale_archived_during_repeated_creates_is_created_once(archiving: StackFixture) -> None:
    """Repeated CreateSale calls return the sale, and SALE_ID_REUSED once it is archived."""
    end_time = Timestamp(seconds=round(time.time()))
    sale = await archiving.open_sale(start_time=LONG_AGO, end_time=end_time)

    errors = await asyncio.gather(*(create_until_rejected(archiving, sale, end_time) for _ in range(CALLERS)))

    assert errors == [(StatusCode.ALREADY_EXISTS, "SALE_ID_REUSED")] * CALLERS
    assert await is_sale_archived(archiving, sale)
    await archiving.settled(sale)
    audit = await archiving.run("audit", sale)
    assert audit.code == 0, audit.stdout


async def create_until_rejected(stack: StackFixture, sale: str, end_time: Timestamp) -> tuple[StatusCode, str]:
    """Repeat CreateSale until it fails; return the error."""
    deadline = time.monotonic() + ARCHIVED_AFTER_S
    while time.monotonic() < deadline:
        try:
            await stack.open_sale_named(sale, start_time=LONG_AGO, end_time=end_time)
        except grpc.aio.AioRpcError as error:
            return code_and_reason(call_error(error))
    raise AssertionError("the sale was not archived")


async def test_calls_about_archived_sales_fail_while_the_ledger_is_down(archiving: StackFixture) -> None:
    """And its id is not given to another sale."""
    sale = await archived_sale(archiving)

    async with archiving.without("postgres"):
        calls = [
            archiving.sale(sale),
            archiving.reserve(sale, "bought", {"lamp": 2}, buyer_id="ann"),
            archiving.reserve(sale, "late"),
            archiving.release(sale, "late", spend_id=True),
            archiving.open_sale_named(sale),
        ]
        errors = [code_and_reason(await error_of(call)) for call in calls]

    assert errors == [(StatusCode.UNAVAILABLE, "LEDGER_UNREACHABLE")] * len(calls)


def code_and_reason(error: CallError) -> tuple[StatusCode, str]:
    """The code and the reason of an error."""
    return error.code, error.reason
