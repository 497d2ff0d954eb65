"""The lists: reservations, sales, changes of stock, dead letters and blocked buyers, newest first."""

import copy
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar

from holdfast.caller import Caller, Method
from holdfast.inventory.v1.inventory_admin_service_pb2 import (
    BlockedBuyer,
    DeadLetter,
    DeadLetterState,
    ListAdjustmentsRequest,
    ListAdjustmentsResponse,
    ListBlockedBuyersRequest,
    ListBlockedBuyersResponse,
    ListDeadLettersRequest,
    ListDeadLettersResponse,
    ListSalesRequest,
    ListSalesResponse,
)
from holdfast.inventory.v1.inventory_service_pb2 import ListReservationsRequest, ListReservationsResponse
from holdfast.inventory.v1.reservation_pb2 import Position, Reservation, ReservationState
from holdfast.inventory.v1.sale_pb2 import Adjustment, Sale, SaleState
from holdfast.pages import Element, Page, Pages

Request = TypeVar(
    "Request",
    ListReservationsRequest,
    ListSalesRequest,
    ListAdjustmentsRequest,
    ListDeadLettersRequest,
    ListBlockedBuyersRequest,
)


class ListCalls(Caller):
    """Each method returns `Pages`: `async for` its elements, or its `.pages()`, which are the response messages.

    What the ledger does not hold yet is missing; a page's `complete_time` says up to when nothing is. Of a page there
    are at most `page_size` elements: 50 if it is 0, and never more than 1000. `page_token` is the `next_page_token` of
    a page of the same list: the iteration begins behind that page.
    """

    def list_reservations(
        self,
        *,
        buyer_id: str = "",
        sale_id: str = "",
        reference: str = "",
        states: Sequence[ReservationState] = (),
        at_least: Position | None = None,
        page_size: int = 0,
        page_token: str = "",
    ) -> Pages[Reservation, ListReservationsResponse]:
        """Reservations of a buyer, of a sale, or with a reference; at least one of the three is given.

        With `at_least`, such as the `position` of a reservation, a page waits until the ledger holds that change.
        """
        request = ListReservationsRequest(
            buyer_id=buyer_id,
            sale_id=sale_id,
            reference=reference,
            states=states,
            at_least=at_least,
            page_size=page_size,
            page_token=page_token,
        )
        return self._list(lambda stubs: stubs.buyers.ListReservations, request, lambda page: page.reservations)

    def list_sales(
        self, *, states: Sequence[SaleState] = (), page_size: int = 0, page_token: str = ""
    ) -> Pages[Sale, ListSalesResponse]:
        """Sales, without their items, which `get_sale` has."""
        request = ListSalesRequest(states=states, page_size=page_size, page_token=page_token)
        return self._list(lambda stubs: stubs.operators.ListSales, request, lambda page: page.sales)

    def list_adjustments(
        self, sale_id: str, *, sku: str = "", page_size: int = 0, page_token: str = ""
    ) -> Pages[Adjustment, ListAdjustmentsResponse]:
        """Changes of the stock of a sale, or of one of its items."""
        request = ListAdjustmentsRequest(sale_id=sale_id, sku=sku, page_size=page_size, page_token=page_token)
        return self._list(lambda stubs: stubs.operators.ListAdjustments, request, lambda page: page.adjustments)

    def list_dead_letters(
        self, *, sale_id: str = "", states: Sequence[DeadLetterState] = (), page_size: int = 0, page_token: str = ""
    ) -> Pages[DeadLetter, ListDeadLettersResponse]:
        """Orders that the ledger refused for good."""
        request = ListDeadLettersRequest(sale_id=sale_id, states=states, page_size=page_size, page_token=page_token)
        return self._list(lambda stubs: stubs.operators.ListDeadLetters, request, lambda page: page.dead_letters)

    def list_blocked_buyers(
        self, *, page_size: int = 0, page_token: str = ""
    ) -> Pages[BlockedBuyer, ListBlockedBuyersResponse]:
        """Buyers who are blocked; its pages have no `complete_time`."""
        request = ListBlockedBuyersRequest(page_size=page_size, page_token=page_token)
        return self._list(lambda stubs: stubs.operators.ListBlockedBuyers, request, lambda page: page.blocked_buyers)

    def _list(
        self, method: Method[Request, Page], first: Request, elements: Callable[[Page], Sequence[Element]]
    ) -> Pages[Element, Page]:
        def read(page_token: str) -> Coroutine[Any, Any, Page]:
            request = copy.deepcopy(first)
            request.page_token = page_token
            return self._read(method, request)

        return Pages(read, elements, first.page_token)
