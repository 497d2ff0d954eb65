"""The lists that a server answers from the ledger, while Redis goes on and the ledger follows."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from google.protobuf.json_format import MessageToDict
from holdfast.inventory.v1 import inventory_admin_service_pb2 as admin
from holdfast.inventory.v1 import inventory_service_pb2 as calls
from holdfast.inventory.v1.reservation_pb2 import LEDGER_STATE_RECORDED, LEDGER_STATE_REFUSED, Position, Reservation
from holdfast.inventory.v1.sale_pb2 import SaleState

from inventory_service.domain.lists import ReservationSelection
from inventory_service.domain.page_tokens import page_token
from tests.integration import listed_rows as rows
from tests.inventory_server import SHARDS, UNREACHABLE_DSN, Caller, calling, error_of, open_shards, running_server
from tests.ledger_rows import refuse_orders_of
from tests.outbox_booking import OutboxBooking, booking_outbox
from tests.servers import StartValkey, connected
from tests.waiting import eventually

PAGE_BYTES = 2 * 1024 * 1024
WAIT_S = 8.0  # of a caller; the half of it that is left for the answer is enough on a busy machine


@pytest.fixture
async def ledger(valkey: str, database: str) -> AsyncIterator[OutboxBooking]:
    """Follows the server of `caller` when the test says so."""
    async with booking_outbox(valkey, database, SHARDS) as booking:
        yield booking


async def list_reservations(caller: Caller, **selection: Any) -> calls.ListReservationsResponse:
    """All pages as one; complete up to the earliest moment of a page."""
    timeout, found = selection.pop("timeout", None), calls.ListReservationsResponse()
    token = None
    while token != "":
        request = calls.ListReservationsRequest(**selection, page_token=token)
        page = await caller.stock.ListReservations(request, timeout=timeout)
        found.reservations.extend(page.reservations)
        if token is None or page.complete_time.ToMilliseconds() < found.complete_time.ToMilliseconds():
            found.complete_time.CopyFrom(page.complete_time)
        token = page.next_page_token
    return found


def ids(found: calls.ListReservationsResponse) -> list[str]:
    return [reservation.reservation_id for reservation in found.reservations]


async def get(caller: Caller, reservation_id: str) -> Reservation:
    name = calls.GetReservationRequest(sale_id="lamp-sale", reservation_id=reservation_id)
    return (await caller.stock.GetReservation(name)).reservation


async def test_reservations_are_listed_as_they_are_read(caller: Caller, ledger: OutboxBooking) -> None:
    """Whatever has become of them: sold and returned in part, overdue and not swept, or released by a close."""
    await caller.create_sale()
    name: Any = {"sale_id": "lamp-sale", "reservation_id": "sold"}
    await caller.stock.Reserve(
        calls.ReserveRequest(**name, buyer_id="ada", lines=[{"sku": "lamp", "quantity": 3}], reference="cart:1")
    )
    part: Any = {"lines": [{"sku": "lamp", "quantity": 2}]}
    await caller.stock.ConfirmReservation(calls.ConfirmReservationRequest(**name, partial=part))
    part["reason"] = "broken"
    part["lines"][0]["quantity"] = 1
    await caller.stock.ReturnReservation(calls.ReturnReservationRequest(**name, **part))
    await caller.reserve("held")
    await caller.reserve("given-back")
    release = calls.ReleaseReservationRequest(sale_id="lamp-sale", reservation_id="given-back", reason="no")
    await caller.stock.ReleaseReservation(release)
    await caller.stock.Reserve(
        calls.ReserveRequest(
            **{**name, "reservation_id": "overdue"},
            buyer_id="ada",
            lines=[{"sku": "lamp", "quantity": 1}],
            hold_ttl={"seconds": 1},
        )
    )
    await ledger.book()

    async def is_overdue() -> bool:
        return ids(await list_reservations(caller, sale_id="lamp-sale", states=[4])) == ["overdue"]

    await eventually(is_overdue)
    states = [r.state for r in (await list_reservations(caller, sale_id="lamp-sale")).reservations]
    close = admin.CloseSaleRequest(sale_id="lamp-sale", release_holds=True)
    await caller.admin.CloseSale(close)
    await ledger.book()
    found = await list_reservations(caller, sale_id="lamp-sale", page_size=1)

    assert states == [4, 3, 1, 2]
    assert ids(found) == ["overdue", "given-back", "held", "sold"]
    for listed in found.reservations:
        read = await get(caller, listed.reservation_id)
        read.ledger_state = listed.ledger_state  # of Redis, to which nothing has reported what is settled
        assert listed == read
    assert [r.state for r in found.reservations] == [4, 3, 3, 2]
    assert {r.ledger_state for r in found.reservations} == {LEDGER_STATE_RECORDED}
    assert ids(await list_reservations(caller, reference="cart:1", buyer_id="ada")) == ["sold"]
    assert ids(await list_reservations(caller, buyer_id="buyer-held", states=[3])) == ["held"]


async def test_what_was_made_before_complete_time_is_listed(caller: Caller, ledger: OutboxBooking) -> None:
    """While reservations are made and the ledger falls behind and catches up again and again."""
    await caller.create_sale(units=10_000)
    made: dict[str, int] = {}
    listed: list[tuple[int, set[str], int]] = []
    is_over = asyncio.Event()

    async def reserve(seller: int) -> None:
        for number in range(150):
            held = await caller.reserve(f"r-{seller}-{number}")
            made[held.reservation.reservation_id] = held.reservation.create_time.ToMilliseconds()

    async def follow() -> None:
        while not is_over.is_set():
            await ledger.book()
            await asyncio.sleep(0.05)

    async def look() -> None:
        while not is_over.is_set():
            acknowledged = len(made)
            page = await list_reservations(caller, sale_id="lamp-sale", page_size=1000)
            listed.append((page.complete_time.ToMilliseconds(), set(ids(page)), acknowledged))

    others = [asyncio.create_task(task()) for task in (follow, look, look)]
    await asyncio.gather(*(reserve(seller) for seller in range(6)))
    is_over.set()
    await asyncio.gather(*others)

    for complete_ms, found, _ in listed:
        assert {name for name, made_ms in made.items() if made_ms < complete_ms} <= found
    assert any(len(found) < acknowledged for _, found, acknowledged in listed), "the ledger was never behind"
    assert len({complete_ms for complete_ms, *_ in listed}) > 5
    await ledger.book()

    async def is_complete() -> bool:
        page = await list_reservations(caller, sale_id="lamp-sale")
        return page.complete_time.ToMilliseconds() > max(made.values()) and len(page.reservations) == 900

    await eventually(is_complete)


async def test_a_list_waits_for_the_callers_own_commit(caller: Caller, ledger: OutboxBooking) -> None:
    """For half of its deadline; then the ledger is behind, and the call may be repeated."""
    await caller.create_sale()
    at_least = (await caller.reserve("r-1")).reservation.position

    of_an_ended_epoch = Position(shard=at_least.shard, epoch=0, seq=5)
    began = time.monotonic()
    error, lost = await asyncio.gather(
        *(
            error_of(list_reservations(caller, sale_id="lamp-sale", at_least=position, timeout=WAIT_S))
            for position in (at_least, of_an_ended_epoch)
        )
    )
    waited_s = time.monotonic() - began
    waiting = asyncio.create_task(list_reservations(caller, sale_id="lamp-sale", at_least=at_least, timeout=30.0))
    before = await list_reservations(caller, sale_id="lamp-sale")
    await ledger.book()

    assert (error.code, error.reason, error.retries) == (grpc.StatusCode.UNAVAILABLE, "LEDGER_BEHIND", True)
    assert WAIT_S / 2 - 0.05 < waited_s < WAIT_S
    assert ids(before) == []
    assert ids(await waiting) == ["r-1"]
    assert lost.reason == "LEDGER_BEHIND"


async def test_a_refused_order_is_a_dead_letter_and_is_listed_once_it_has_ended(
    caller: Caller, ledger: OutboxBooking, database: str
) -> None:
    """Until then it is no reservation; its letter has the id under which its compensation is sent."""
    await caller.create_sale()
    await refuse_orders_of(database, "buyer-bad")
    await caller.reserve("good")
    await caller.reserve("bad", quantity=2)
    await ledger.book()

    still_open = admin.ListDeadLettersRequest(sale_id="lamp-sale", states=["DEAD_LETTER_STATE_OPEN"])
    open_letters = await caller.admin.ListDeadLetters(still_open)
    before = await list_reservations(caller, sale_id="lamp-sale")
    await caller.stock.ReleaseReservation(
        calls.ReleaseReservationRequest(sale_id="lamp-sale", reservation_id="bad", reason="mine")
    )
    await ledger.book()
    letters = await caller.admin.ListDeadLetters(admin.ListDeadLettersRequest())
    after = await list_reservations(caller, sale_id="lamp-sale")

    async with connected(database) as db:
        compensation_id = await db.fetchval("select compensation_id from compensation")
    [letter] = open_letters.dead_letters
    assert (letter.dead_letter_id, letter.reservation_id) == (compensation_id, "bad")
    assert (letter.state, letter.reservation_state, letter.lines[0].quantity) == (1, 1, 2)
    assert [(each.dead_letter_id, each.state) for each in letters.dead_letters] == [(compensation_id, 2)]
    assert ids(before) == ["good"]
    assert ids(after) == ["bad", "good"]
    bad = after.reservations[0]
    assert (bad.state, bad.ledger_state, bad.compensation_reason) == (3, LEDGER_STATE_RECORDED, 1)
    assert LEDGER_STATE_REFUSED not in {r.ledger_state for r in after.reservations}


async def test_sales_adjustments_and_blocked_buyers_are_listed_as_they_are_read(
    caller: Caller, ledger: OutboxBooking
) -> None:
    """Sales without their items, in their states by the server's clock."""
    for sale_id in ("lamp-sale", "sofa-sale"):
        await caller.create_sale(sale_id, title="Lamps", return_window={"seconds": 60})
    await caller.admin.PauseSale(admin.PauseSaleRequest(sale_id="sofa-sale"))
    adjust: Any = {"sale_id": "lamp-sale", "sku": "lamp", "reason": "found", "reference": "note-1"}
    made = [
        await caller.admin.AdjustStock(admin.AdjustStockRequest(**adjust, adjustment_id=f"a-{n}", delta=n + 1))
        for n in range(3)
    ]
    for buyer in ("ada", "bob"):
        await caller.admin.BlockBuyer(admin.BlockBuyerRequest(buyer_id=buyer, reason="fraud"))
    await ledger.book()

    sales = await caller.admin.ListSales(admin.ListSalesRequest())
    paused = await caller.admin.ListSales(admin.ListSalesRequest(states=[SaleState.SALE_STATE_PAUSED]))
    adjustments = await caller.admin.ListAdjustments(admin.ListAdjustmentsRequest(sale_id="lamp-sale", sku="lamp"))
    others = await caller.admin.ListAdjustments(admin.ListAdjustmentsRequest(sale_id="lamp-sale", sku="sofa"))
    buyers = await caller.admin.ListBlockedBuyers(admin.ListBlockedBuyersRequest(page_size=1))
    rest = await caller.admin.ListBlockedBuyers(admin.ListBlockedBuyersRequest(page_token=buyers.next_page_token))

    assert [sale.sale_id for sale in sales.sales] == ["sofa-sale", "lamp-sale"]
    for listed in sales.sales:
        read = (await caller.stock.GetSale(calls.GetSaleRequest(sale_id=listed.sale_id))).sale
        read.ClearField("items")
        assert listed == read
    assert list(paused.sales) == [sales.sales[0]]
    assert list(adjustments.adjustments) == [each.adjustment for each in reversed(made)]
    assert (list(others.adjustments), others.next_page_token) == ([], "")
    assert all(page.HasField("complete_time") for page in (sales, paused, adjustments, others))
    told = [*buyers.blocked_buyers, *rest.blocked_buyers]
    assert [(buyer.buyer_id, buyer.reason, buyer.actor) for buyer in told] == [
        ("bob", "fraud", ""),
        ("ada", "fraud", ""),
    ]
    assert told[0].create_time.ToMilliseconds() >= told[1].create_time.ToMilliseconds() > 0


async def test_another_tenants_rows_and_tokens_are_not_seen(
    caller: Caller, ledger: OutboxBooking, database: str
) -> None:
    """Although their ids are the caller's own."""
    await caller.create_sale()
    await caller.reserve("r-1")
    await ledger.book()
    async with connected(database) as db:
        shard = await db.fetchval("select shard from reservation")
        row = rows.StoredReservation(
            *("zenith", "lamp-sale", "r-2", "buyer-r-1", "", "CONFIRMED"), rows.START, rows.START, shard
        )
        await rows.insert_reservations(db, [row])
        await db.execute("update blocked_buyer set tenant = 'zenith'")
    selection = ReservationSelection("zenith", "buyer-r-1", "", "", ())
    theirs = page_token(selection, (1_900_000_000_000_000, "x", "x"))

    error = await error_of(list_reservations_page(caller, buyer_id="buyer-r-1", page_token=theirs))
    own = page_token(selection._replace(tenant="default"), (1_900_000_000_000_000, "x", "x"))

    assert ids(await list_reservations(caller, buyer_id="buyer-r-1")) == ["r-1"]
    assert ids(await list_reservations(caller, sale_id="lamp-sale")) == ["r-1"]
    assert (error.reason, error.fields) == ("FIELD_OUT_OF_BOUNDS", ["page_token"])
    assert ids(await list_reservations_page(caller, buyer_id="buyer-r-1", page_token=own)) == ["r-1"]


async def list_reservations_page(caller: Caller, **fields: Any) -> calls.ListReservationsResponse:
    return await caller.stock.ListReservations(calls.ListReservationsRequest(**fields))


async def test_a_page_ends_at_two_mebibytes(caller: Caller, ledger: OutboxBooking, database: str) -> None:
    """Whatever the page size is: clients take 4 MiB."""
    async with connected(database) as db:
        await rows.insert_adjustments(
            db,
            [
                rows.StoredAdjustment("default", "lamp-sale", f"a-{n}", "lamp", rows.START, 1, n, 0)
                for n in range(1, 1201)
            ],
        )
        await db.execute("update adjustment set reason = repeat('🛒', 512), reference = repeat('🛒', 256)")

    pages, token = list[admin.ListAdjustmentsResponse](), None
    while token != "":
        request = admin.ListAdjustmentsRequest(sale_id="lamp-sale", page_size=5000, page_token=token)
        pages.append(await caller.admin.ListAdjustments(request))
        token = pages[-1].next_page_token

    *full, last = [page.ByteSize() for page in pages]
    assert full
    assert all(PAGE_BYTES - 4096 < size <= PAGE_BYTES + 100 for size in full), full  # beside its token
    assert last <= PAGE_BYTES
    assert len({each.adjustment_id for page in pages for each in page.adjustments}) == 1200


@asynccontextmanager
async def serving(redis_url: str, dsn: str) -> AsyncIterator[Caller]:
    async with running_server(redis_url, dsn) as address, calling(address) as caller:
        yield caller


async def test_without_the_ledger_there_is_no_list(valkey: str) -> None:
    """It may be repeated."""
    await open_shards(valkey)
    async with serving(valkey, UNREACHABLE_DSN) as caller:
        error = await error_of(list_reservations(caller, sale_id="lamp-sale"))
        waited = await error_of(list_reservations(caller, sale_id="lamp-sale", at_least=Position(), timeout=30.0))

    assert (error.code, error.reason) == (grpc.StatusCode.UNAVAILABLE, "LEDGER_UNREACHABLE")
    assert (waited.reason, waited.retries) == ("LEDGER_UNREACHABLE", True)


async def test_without_redis_lists_go_on(start_valkey: StartValkey, database: str) -> None:
    """Complete up to the last commit that the ledger has, and states by the server's clock."""
    valkey = start_valkey()
    await open_shards(valkey.address)
    async with booking_outbox(valkey.address, database, SHARDS) as ledger, serving(valkey.address, database) as caller:
        await caller.create_sale()
        await caller.create_sale("sofa-sale")
        held = await caller.reserve("r-1")
        await ledger.book()
        running = await list_reservations(caller, sale_id="lamp-sale")
        valkey.kill()

        async def is_noticed() -> calls.ListReservationsResponse | None:
            found = await list_reservations(caller, sale_id="lamp-sale")
            return found if found.complete_time != running.complete_time else None

        without = await eventually(is_noticed)
        everywhere = await list_reservations(caller, buyer_id="buyer-r-1")

    assert running.complete_time.ToMilliseconds() > held.reservation.create_time.ToMilliseconds()
    assert without.complete_time == held.reservation.create_time
    assert MessageToDict(without.reservations[0]) == MessageToDict(running.reservations[0])
    assert ids(everywhere) == ["r-1"]
