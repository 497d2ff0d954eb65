"""The lists of the client: pages that are read when they are needed, each with a patience of its own."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import grpc
import pytest
from google.protobuf.message import Message
from holdfast import errors
from holdfast.blocking import BlockingClient
from holdfast.client import Client
from holdfast.inventory.v1 import inventory_admin_service_pb2 as admin
from holdfast.inventory.v1 import inventory_service_pb2 as calls
from holdfast.inventory.v1.error_reason_pb2 import ErrorReason
from holdfast.inventory.v1.reservation_pb2 import Position, Reservation, ReservationState
from holdfast.inventory.v1.sale_pb2 import Adjustment, Sale, SaleState
from holdfast.retry import RetryPolicy

from tests.unit.clients.fake_inventory import ErrorStatus, FakeInventory, unavailable
from tests.waiting import LONG_S

PATIENT = RetryPolicy(overall_s=LONG_S, attempt_s=LONG_S, first_delay_s=0.001)
ONE, TWO, THREE = (Reservation(reservation_id=f"r-{number}") for number in (1, 2, 3))
NOON = datetime(2026, 11, 27, 12, tzinfo=UTC)
# The second is empty and not the last, as a server may answer that has looked at enough rows.
PAGES = [
    calls.ListReservationsResponse(reservations=[ONE, TWO], next_page_token="t-1", complete_time=NOON),
    calls.ListReservationsResponse(next_page_token="t-2"),
    calls.ListReservationsResponse(reservations=[THREE]),
]

SENT: list[tuple[Callable[[Client], Any], Message, Message, Message]] = [
    (
        lambda client: client.list_reservations(
            buyer_id="ada",
            sale_id="lamps",
            reference="cart-7",
            states=[ReservationState.RESERVATION_STATE_HELD],
            at_least=Position(epoch=1, seq=2),
            page_size=10,
            page_token="t-0",
        ),
        calls.ListReservationsRequest(
            buyer_id="ada",
            sale_id="lamps",
            reference="cart-7",
            states=[ReservationState.RESERVATION_STATE_HELD],
            at_least=Position(epoch=1, seq=2),
            page_size=10,
            page_token="t-0",
        ),
        calls.ListReservationsResponse(reservations=[ONE]),
        ONE,
    ),
    (
        lambda client: client.list_sales(states=[SaleState.SALE_STATE_OPEN], page_size=10, page_token="t-0"),
        admin.ListSalesRequest(states=[SaleState.SALE_STATE_OPEN], page_size=10, page_token="t-0"),
        admin.ListSalesResponse(sales=[Sale(sale_id="lamps")]),
        Sale(sale_id="lamps"),
    ),
    (
        lambda client: client.list_adjustments("lamps", sku="lamp", page_size=10, page_token="t-0"),
        admin.ListAdjustmentsRequest(sale_id="lamps", sku="lamp", page_size=10, page_token="t-0"),
        admin.ListAdjustmentsResponse(adjustments=[Adjustment(adjustment_id="a-1")]),
        Adjustment(adjustment_id="a-1"),
    ),
    (
        lambda client: client.list_dead_letters(
            sale_id="lamps", states=[admin.DeadLetterState.DEAD_LETTER_STATE_OPEN], page_size=10, page_token="t-0"
        ),
        admin.ListDeadLettersRequest(
            sale_id="lamps", states=[admin.DeadLetterState.DEAD_LETTER_STATE_OPEN], page_size=10, page_token="t-0"
        ),
        admin.ListDeadLettersResponse(dead_letters=[admin.DeadLetter(dead_letter_id="d-1")]),
        admin.DeadLetter(dead_letter_id="d-1"),
    ),
    (
        lambda client: client.list_blocked_buyers(page_size=10, page_token="t-0"),
        admin.ListBlockedBuyersRequest(page_size=10, page_token="t-0"),
        admin.ListBlockedBuyersResponse(blocked_buyers=[admin.BlockedBuyer(buyer_id="ada")]),
        admin.BlockedBuyer(buyer_id="ada"),
    ),
]


@pytest.mark.parametrize(("call", "request_", "page", "element"), SENT, ids=[type(row[1]).__name__ for row in SENT])
async def test_a_list_sends_its_selection_and_returns_elements(
    fake: FakeInventory, call: Callable[[Client], Any], request_: Message, page: Message, element: Message
) -> None:
    """What is not given stays unset."""
    fake.will_answer(type(request_).__name__.removesuffix("Request"), page)

    async with Client(fake.address, retry=PATIENT) as client:
        elements = [each async for each in call(client)]

    assert elements == [element]
    assert fake.asked == [request_]


async def test_elements_come_page_by_page(fake: FakeInventory) -> None:
    """A page without elements is not the end, and each page but the first is asked for by its token."""
    fake.will_answer("ListReservations", *PAGES)

    async with Client(fake.address, retry=PATIENT) as client:
        elements = [each async for each in client.list_reservations(buyer_id="ada", page_size=2)]

    assert elements == [ONE, TWO, THREE]
    assert [(asked.buyer_id, asked.page_size, asked.page_token) for asked in fake.asked] == [
        ("ada", 2, ""),
        ("ada", 2, "t-1"),
        ("ada", 2, "t-2"),
    ]


async def test_a_page_is_read_when_it_is_needed(fake: FakeInventory) -> None:
    """A caller that leaves the loop asks for no more."""
    fake.will_answer("ListReservations", *PAGES)

    async with Client(fake.address, retry=PATIENT) as client:
        async for _ in client.list_reservations(buyer_id="ada"):
            break

    assert len(fake.asked) == 1


async def test_the_responses_themselves_can_be_had(fake: FakeInventory) -> None:
    """They have the token to go on with later, and the time up to which the list is complete."""
    fake.will_answer("ListReservations", *PAGES)

    async with Client(fake.address, retry=PATIENT) as client:
        pages = [page async for page in client.list_reservations(buyer_id="ada").pages()]

    assert pages == PAGES


async def test_each_page_is_repeated_by_itself(fake: FakeInventory) -> None:
    """The elements before it do not come again."""
    fake.will_answer("ListReservations", PAGES[0], unavailable(ErrorReason.ERROR_REASON_LEDGER_UNREACHABLE), PAGES[2])

    async with Client(fake.address, retry=PATIENT) as client:
        elements = [each async for each in client.list_reservations(buyer_id="ada")]

    assert elements == [ONE, TWO, THREE]


async def test_a_list_that_fails_raises_and_has_left_nothing_unknown(fake: FakeInventory) -> None:
    """Nothing was to be done, and the elements before it have come."""
    fake.will_answer("ListReservations", PAGES[0], ErrorStatus(grpc.StatusCode.INTERNAL))

    async with Client(fake.address, retry=RetryPolicy(overall_s=20, attempt_s=20, first_delay_s=60)) as client:
        found = client.list_reservations(buyer_id="ada")
        elements = [await anext(found), await anext(found)]
        with pytest.raises(errors.NoAnswer) as raised:
            await anext(found)

    assert elements == [ONE, TWO]
    assert not raised.value.outcome_unknown


def test_a_list_of_the_blocking_client(fake: FakeInventory) -> None:
    """The same elements, and the same pages, for a caller without an event loop."""
    fake.will_answer("ListReservations", *PAGES, *PAGES)

    with BlockingClient(fake.address, retry=PATIENT) as client:
        found = client.list_reservations(buyer_id="ada")
        assert list(found) == [ONE, TWO, THREE]
        assert list(found.pages()) == PAGES


def test_a_list_of_a_closed_client_says_so(fake: FakeInventory) -> None:
    """Between two pages too."""
    fake.will_answer("ListReservations", *PAGES)
    client = BlockingClient(fake.address, retry=PATIENT)
    pages = client.list_reservations(buyer_id="ada").pages()
    next(pages)

    client.close()

    with pytest.raises(errors.Closed):
        next(pages)
