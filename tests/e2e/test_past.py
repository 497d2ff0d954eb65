"""Reservations and sales that have left Redis: the ledger answers for them, and their ids are never taken for new."""

import asyncio
import time
from functools import partial

import grpc
from google.protobuf.timestamp_pb2 import Timestamp
from grpc import StatusCode
from holdfast.inventory.v1 import reservation_pb2 as states
from holdfast.inventory.v1 import sale_pb2 as sales

from tests.e2e.conftest import RETENTION_S
from tests.e2e.ledger import Balance, DeadLetter, Row
from tests.e2e.past import (
    FORGETS_S,
    LONG_AGO,
    has_left,
    is_forgotten,
    reserve_in_vain,
    sale_of_the_past,
    sale_with_a_past,
)
from tests.e2e.shop import Shop, Stock
from tests.integration.served import Told, refusal_of, told
from tests.waiting import eventually

HELD, CONFIRMED = states.RESERVATION_STATE_HELD, states.RESERVATION_STATE_CONFIRMED
RELEASED, COMPENSATED = states.RESERVATION_STATE_RELEASED, states.RESERVATION_STATE_COMPENSATED
RECORDED, REFUSED = states.LEDGER_STATE_RECORDED, states.LEDGER_STATE_REFUSED
REPEATERS = 16
LEAVES_S = FORGETS_S + float(RETENTION_S)


async def test_a_reservation_of_the_past_is_read_from_the_ledger(forgetful: Shop) -> None:
    """Whoever asks a day later hears the same as before."""
    sale = await sale_with_a_past(forgetful)

    bought, left = await forgetful.get(sale, "bought"), await forgetful.get(sale, "left")

    assert (bought.state, bought.ledger_state, bought.buyer_id) == (CONFIRMED, RECORDED, "ann")
    assert [(line.sku, line.quantity, line.confirmed_quantity) for line in bought.lines] == [("lamp", 2, 2)]
    assert (left.state, left.ledger_state, left.buyer_id) == (RELEASED, RECORDED, "bob")


async def test_a_move_of_the_past_is_repeated_and_never_undone(forgetful: Shop) -> None:
    """The table of moves holds for what Redis has forgotten, too."""
    sale = await sale_with_a_past(forgetful)

    confirmed = await forgetful.confirm(sale, "bought")
    released = await forgetful.release(sale, "left")
    too_late = await refusal_of(forgetful.confirm(sale, "left"))
    sold = await refusal_of(forgetful.release(sale, "bought"))

    assert (confirmed.replayed, confirmed.reservation.state) == (True, CONFIRMED)
    assert (released.replayed, released.reservation.state) == (True, RELEASED)
    assert in_words(too_late) == (StatusCode.FAILED_PRECONDITION, "WRONG_RESERVATION_STATE")
    assert too_late.metadata["state"] == "RESERVATION_STATE_RELEASED"
    assert sold.metadata["state"] == "RESERVATION_STATE_CONFIRMED"
    assert await forgetful.stock(sale) == Stock(available=8, held=0, sold=2)


async def test_an_id_of_the_past_that_is_used_anew_is_compensated(forgetful: Shop) -> None:
    """Redis judges it anew, for it remembers nothing; the ledger remembers, and the units go back once."""
    sale = await sale_with_a_past(forgetful)

    again, seen = await reserve_in_vain(forgetful, sale, "bought", {"lamp": 3}, buyer_id="carl")
    await forgetful.settled(sale)
    await eventually(lambda: is_forgotten(forgetful, sale, "bought"), FORGETS_S)
    later = await forgetful.get(sale, "bought")

    assert (again.replayed, again.reservation.state) == (False, HELD)
    assert (seen.state, seen.ledger_state, seen.buyer_id) == (COMPENSATED, REFUSED, "carl")
    assert seen.compensation_reason == states.COMPENSATION_REASON_ID_REUSED
    assert (later.state, later.ledger_state, later.buyer_id) == (CONFIRMED, RECORDED, "ann")
    assert await forgetful.ledger.letters(sale) == [DeadLetter("bought", "ID_REUSED", "SETTLED", "COMPENSATED", True)]
    assert (await forgetful.ledger.moves(sale, "bought"))[-2:] == [
        "3 lamp available > refused",
        "3 lamp refused > available",
    ]
    assert await forgetful.ledger.balance(sale) == Balance(available=8, held=0, sold=2, refused=0)
    assert await forgetful.stock(sale) == Stock(available=8, held=0, sold=2)


async def test_a_refused_order_that_was_released_is_told_alike_before_and_after(forgetful: Shop) -> None:
    """It ended before its compensation came: its end is on the books, whoever is asked."""
    sale = await forgetful.open_sale()
    await forgetful.block("mallory")
    async with forgetful.holding("persist"):
        await forgetful.reserve(sale, "r-1", buyer_id="mallory")
        await forgetful.release(sale, "r-1")
    await forgetful.settled(sale)

    before = await forgetful.get(sale, "r-1")
    await eventually(lambda: is_forgotten(forgetful, sale, "r-1"), FORGETS_S)
    after = await forgetful.get(sale, "r-1")

    assert await forgetful.ledger.row(sale, "r-1") == Row("mallory", "RELEASED", "REFUSED", "BUYER_BLOCKED", "1 lamp")
    assert (before.state, before.ledger_state) == (RELEASED, RECORDED)
    before.compensation_reason = states.COMPENSATION_REASON_BUYER_BLOCKED  # of which Redis never heard
    assert after == before


async def test_a_spent_id_stays_spent(forgetful: Shop) -> None:
    """A caller in doubt closed the matter; a Reserve that comes later finds it ended, or has its units taken back."""
    sale = await forgetful.open_sale()
    async with forgetful.holding("relay"):  # so that nobody forgets it meanwhile
        spent = await forgetful.release(sale, "r-1", spend_id=True)
        at_once = await forgetful.reserve(sale, "r-1")
    await forgetful.settled(sale)
    recorded = await forgetful.ledger.row(sale, "r-1")
    await eventually(lambda: is_forgotten(forgetful, sale, "r-1"), FORGETS_S)

    much_later, seen = await reserve_in_vain(forgetful, sale, "r-1")
    await forgetful.settled(sale)

    assert (spent.replayed, spent.reservation.state) == (False, RELEASED)
    assert at_once.rejection.reason == states.REJECTION_REASON_RESERVATION_ENDED
    assert at_once.rejection.ended.state == RELEASED
    assert recorded == Row("", "RELEASED", "RECORDED", "", "")
    assert much_later.reservation.state == HELD
    assert seen.compensation_reason == states.COMPENSATION_REASON_ID_REUSED
    assert await forgetful.ledger.letters(sale) == [DeadLetter("r-1", "ID_REUSED", "SETTLED", "COMPENSATED", True)]
    assert await forgetful.stock(sale) == Stock(available=10, held=0, sold=0)


async def test_an_id_of_the_past_cannot_be_spent(forgetful: Shop) -> None:
    """What was sold stays sold, and who asks hears so, whether Redis remembers it or not."""
    sale = await sale_with_a_past(forgetful)

    sold = await refusal_of(forgetful.release(sale, "bought", spend_id=True))
    left = await forgetful.release(sale, "left", spend_id=True)
    await forgetful.settled(sale)

    assert in_words(sold) == (StatusCode.FAILED_PRECONDITION, "WRONG_RESERVATION_STATE")
    assert sold.metadata["state"] == "RESERVATION_STATE_CONFIRMED"
    assert (left.replayed, left.reservation.state, left.reservation.buyer_id) == (True, RELEASED, "bob")
    assert await forgetful.ledger.letters(sale) == []
    assert await forgetful.ledger.row(sale, "bought") == Row("ann", "CONFIRMED", "RECORDED", "", "2 lamp")
    assert await forgetful.ledger.balance(sale) == Balance(available=8, held=0, sold=2, refused=0)


async def test_nothing_is_called_unknown_while_the_ledger_is_away(forgetful: Shop) -> None:
    """Only the ledger could know better; "not found" would make a caller buy twice. Reserve answers as usual."""
    sale = await sale_with_a_past(forgetful)

    async with forgetful.without("postgres"):
        asked = {
            "get": forgetful.get(sale, "bought"),
            "get what never was": forgetful.get(sale, "never-was"),
            "confirm": forgetful.confirm(sale, "bought"),
            "release": forgetful.release(sale, "left"),
            "spend": forgetful.release(sale, "bought", spend_id=True),
            "spend what never was": forgetful.release(sale, "never-was", spend_id=True),
            "reserve in an unknown sale": forgetful.reserve("never-was", "r-1"),
            "block a buyer": forgetful.block("nobody"),
        }
        heard = {what: in_words(await refusal_of(call)) for what, call in asked.items()}
        held = await forgetful.reserve(sale, "r-1")

    assert heard == dict.fromkeys(asked, (StatusCode.UNAVAILABLE, "LEDGER_UNREACHABLE"))
    assert held.reservation.state == HELD
    await forgetful.settled(sale)
    assert await forgetful.ledger.row(sale, "r-1") == Row("ann", "HELD", "RECORDED", "", "1 lamp")
    await eventually(partial(is_unknown, forgetful, sale, "never-was"))


async def is_unknown(shop: Shop, sale: str, reservation_id: str) -> bool:
    """The ledger was asked, and has none."""
    heard = in_words(await refusal_of(shop.get(sale, reservation_id)))
    return heard == (StatusCode.NOT_FOUND, "RESERVATION_NOT_FOUND")


async def test_a_sale_of_the_past_is_answered_from_the_ledger(forgetful: Shop) -> None:
    """Whoever comes late hears the same as before it left: what was bought, and that nothing can be had any more."""
    sale = await sale_of_the_past(forgetful)

    seen = await forgetful.sale(sale)
    bought, left = await forgetful.get(sale, "bought"), await forgetful.get(sale, "left")
    again = await forgetful.reserve(sale, "bought", {"lamp": 2}, buyer_id="ann")
    given_back = await forgetful.reserve(sale, "left", buyer_id="bob")
    other = await refusal_of(forgetful.reserve(sale, "bought", {"lamp": 1}, buyer_id="ann"))
    late = await forgetful.reserve(sale, "late")
    unknown = await refusal_of(forgetful.reserve(sale, "late", {"sofa": 1}))

    assert (seen.state, seen.items[0].total, seen.etag != "") == (sales.SALE_STATE_ARCHIVED, 10, True)
    assert await forgetful.stock(sale) == Stock(available=8, held=0, sold=2)
    assert (bought.state, left.state) == (CONFIRMED, RELEASED)
    assert (again.replayed, again.reservation) == (True, bought)
    assert (given_back.replayed, given_back.rejection.ended) == (True, left)
    assert given_back.rejection.reason == states.REJECTION_REASON_RESERVATION_ENDED
    assert in_words(other) == (StatusCode.ALREADY_EXISTS, "RESERVATION_ID_REUSED")
    assert late.rejection.reason == states.REJECTION_REASON_SALE_ENDED
    assert in_words(unknown) == (StatusCode.NOT_FOUND, "ITEM_NOT_FOUND")


async def test_a_sale_of_the_past_is_not_made_again(forgetful: Shop) -> None:
    """Its id is taken for good, for the very same settings too."""
    sale = await sale_of_the_past(forgetful)

    again = await refusal_of(forgetful.open_sale_named(sale))

    assert in_words(again) == (StatusCode.ALREADY_EXISTS, "SALE_ID_REUSED")
    audit = await forgetful.run("audit", "--sale", sale, HOLDFAST_RECORD_RETENTION_S=RETENTION_S)
    assert audit.code == 0, audit.said


async def test_a_sale_that_leaves_while_its_making_is_repeated_is_made_once(forgetful: Shop) -> None:
    """A client that cannot stop asking hears how it stands, and from one moment on that its id is taken."""
    end_time = Timestamp(seconds=round(time.time()))
    sale = await forgetful.open_sale(start_time=LONG_AGO, end_time=end_time)

    heard = await asyncio.gather(*(makes_until_refused(forgetful, sale, end_time) for _ in range(REPEATERS)))

    assert heard == [(StatusCode.ALREADY_EXISTS, "SALE_ID_REUSED")] * REPEATERS
    assert await has_left(forgetful, sale)
    await forgetful.settled(sale)
    audit = await forgetful.run("audit", "--sale", sale, HOLDFAST_RECORD_RETENTION_S=RETENTION_S)
    assert audit.code == 0, audit.said


async def makes_until_refused(shop: Shop, sale: str, end_time: Timestamp) -> tuple[StatusCode, str]:
    """Make the same sale again and again: what ends it, as whoever makes a sale twice would hear."""
    deadline = time.monotonic() + LEAVES_S
    while time.monotonic() < deadline:
        try:
            await shop.open_sale_named(sale, start_time=LONG_AGO, end_time=end_time)
        except grpc.aio.AioRpcError as error:
            return in_words(told(error))
    raise AssertionError("it never left")


async def test_a_sale_of_the_past_is_not_called_unknown_while_the_ledger_is_away(forgetful: Shop) -> None:
    """Nor is its id given to another sale."""
    sale = await sale_of_the_past(forgetful)

    async with forgetful.without("postgres"):
        asked = [
            forgetful.sale(sale),
            forgetful.reserve(sale, "bought", {"lamp": 2}, buyer_id="ann"),
            forgetful.reserve(sale, "late"),
            forgetful.release(sale, "late", spend_id=True),
            forgetful.open_sale_named(sale),
        ]
        heard = [in_words(await refusal_of(call)) for call in asked]

    assert heard == [(StatusCode.UNAVAILABLE, "LEDGER_UNREACHABLE")] * len(asked)


def in_words(heard: Told) -> tuple[StatusCode, str]:
    """What a caller tells a refusal by."""
    return heard.code, heard.reason
