"""Calls that list what the ledger has: reservations, sales, adjustments, dead letters and blocked buyers."""

import asyncio
from collections.abc import Callable, Collection, Sequence
from typing import Final, TypeVar

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from holdfast.inventory.v1 import inventory_admin_service_pb2 as admin
from holdfast.inventory.v1 import inventory_service_pb2 as calls
from holdfast.inventory.v1.inventory_admin_service_pb2 import DeadLetterState
from holdfast.inventory.v1.reservation_pb2 import ReservationState
from holdfast.inventory.v1.sale_pb2 import SaleState

from inventory_service.domain.keys import Position
from inventory_service.domain.lists import (
    AdjustmentSelection,
    BlockedBuyerSelection,
    DeadLetterSelection,
    Page,
    PageRequest,
    ReservationSelection,
    SaleSelection,
    Selection,
)
from inventory_service.domain.page_tokens import InvalidPageToken, key_from_token, page_token
from inventory_service.domain.results import Failure
from inventory_service.rpc.auth import tenant_of
from inventory_service.rpc.calls.call import Context
from inventory_service.rpc.messages import (
    adjustment_to_proto,
    blocked_buyer_to_proto,
    dead_letter_to_proto,
    reservation_to_proto,
    sale_to_proto,
    timestamp,
)
from inventory_service.rpc.status import CallFailed
from inventory_service.rpc.validation import MAX_CHECKED, Validator
from inventory_service.service.lists import Lists

T = TypeVar("T")
M = TypeVar("M", bound=Message)
DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE = 50, 1000
MAX_PAGE_BYTES = 2 * 1024 * 1024  # half of what gRPC's clients take by default
MADE_AT_ONCE = 100  # messages between two waits: a page of 1000 would halt every other call for tens of milliseconds
_FRAME_BYTES = 6  # of an element in its page: tag and length
_MAX_INT32, _MAX_INT64 = 2**31 - 1, 2**63 - 1

RESERVATION_STATES: Final = frozenset(ReservationState.values()[1:])
SALE_STATES: Final = frozenset(SaleState.values()[1:])
DEAD_LETTER_STATES: Final = frozenset(DeadLetterState.values()[1:])

PagedRequest = (
    calls.ListReservationsRequest
    | admin.ListSalesRequest
    | admin.ListAdjustmentsRequest
    | admin.ListDeadLettersRequest
    | admin.ListBlockedBuyersRequest
)


class _ListCalls:
    """Calls that read one service of lists."""

    def __init__(self, lists: Lists) -> None:
        self._lists = lists


class ReservationListCalls(_ListCalls):
    """ListReservations."""

    async def ListReservations(
        self, request: calls.ListReservationsRequest, context: Context
    ) -> calls.ListReservationsResponse:
        """A page of reservations of a buyer, a sale or a reference."""
        selection, page, at_least = reservations_named(request, tenant_of(context), self._lists.shards)
        found = _found(await self._lists.reservations(selection, page, at_least))
        reservations, token = await _messages(selection, found, reservation_to_proto)
        return calls.ListReservationsResponse(
            reservations=reservations, next_page_token=token, complete_time=_complete_time(found)
        )


class OperatorListCalls(_ListCalls):
    """The lists for operators."""

    async def ListSales(self, request: admin.ListSalesRequest, context: Context) -> admin.ListSalesResponse:
        """A page of the tenant's sales."""
        selection, page = sales_named(request, tenant_of(context))
        found = _found(await self._lists.sales(selection, page))
        sales, token = await _messages(selection, found, sale_to_proto)
        return admin.ListSalesResponse(sales=sales, next_page_token=token, complete_time=_complete_time(found))

    async def ListAdjustments(
        self, request: admin.ListAdjustmentsRequest, context: Context
    ) -> admin.ListAdjustmentsResponse:
        """A page of a sale's changes of stock."""
        selection, page = adjustments_named(request, tenant_of(context))
        found = _found(await self._lists.adjustments(selection, page))
        adjustments, token = await _messages(selection, found, adjustment_to_proto)
        return admin.ListAdjustmentsResponse(
            adjustments=adjustments, next_page_token=token, complete_time=_complete_time(found)
        )

    async def ListDeadLetters(
        self, request: admin.ListDeadLettersRequest, context: Context
    ) -> admin.ListDeadLettersResponse:
        """A page of the orders that the ledger refused."""
        selection, page = dead_letters_named(request, tenant_of(context))
        found = _found(await self._lists.dead_letters(selection, page))
        letters, token = await _messages(selection, found, dead_letter_to_proto)
        return admin.ListDeadLettersResponse(
            dead_letters=letters, next_page_token=token, complete_time=_complete_time(found)
        )

    async def ListBlockedBuyers(
        self, request: admin.ListBlockedBuyersRequest, context: Context
    ) -> admin.ListBlockedBuyersResponse:
        """A page of the tenant's blocked buyers."""
        selection, page = blocked_buyers_named(request, tenant_of(context))
        found = _found(await self._lists.blocked_buyers(selection, page))
        buyers, token = await _messages(selection, found, blocked_buyer_to_proto)
        return admin.ListBlockedBuyersResponse(blocked_buyers=buyers, next_page_token=token)


def reservations_named(
    request: calls.ListReservationsRequest, tenant: str, shards: int
) -> tuple[ReservationSelection, PageRequest, Position | None]:
    """The reservations to list, the page, and the commit that the ledger must have."""
    fields = Validator()
    _optional_ids(fields, request, "buyer_id", "sale_id", "reference")
    if not (request.buyer_id or request.sale_id or request.reference):
        fields.add_violation("buyer_id", "must be set, unless sale_id or reference is")
    states = _states(fields, request.states, RESERVATION_STATES)
    selection = ReservationSelection(tenant, request.buyer_id, request.sale_id, request.reference, states)
    at_least = _at_least(fields, request, shards) if request.HasField("at_least") else None
    return selection, _page_of(fields, request, selection), at_least


def sales_named(request: admin.ListSalesRequest, tenant: str) -> tuple[SaleSelection, PageRequest]:
    """The sales to list, and the page."""
    fields = Validator()
    selection = SaleSelection(tenant, _states(fields, request.states, SALE_STATES))
    return selection, _page_of(fields, request, selection)


def adjustments_named(request: admin.ListAdjustmentsRequest, tenant: str) -> tuple[AdjustmentSelection, PageRequest]:
    """The adjustments to list, and the page."""
    fields = Validator()
    fields.ids(request, "sale_id")
    _optional_ids(fields, request, "sku")
    selection = AdjustmentSelection(tenant, request.sale_id, request.sku)
    return selection, _page_of(fields, request, selection)


def dead_letters_named(request: admin.ListDeadLettersRequest, tenant: str) -> tuple[DeadLetterSelection, PageRequest]:
    """The dead letters to list, and the page."""
    fields = Validator()
    _optional_ids(fields, request, "sale_id")
    selection = DeadLetterSelection(tenant, request.sale_id, _states(fields, request.states, DEAD_LETTER_STATES))
    return selection, _page_of(fields, request, selection)


def blocked_buyers_named(
    request: admin.ListBlockedBuyersRequest, tenant: str
) -> tuple[BlockedBuyerSelection, PageRequest]:
    """All of the tenant, and the page."""
    selection = BlockedBuyerSelection(tenant)
    return selection, _page_of(Validator(), request, selection)


def _optional_ids(fields: Validator, request: Message, *names: str) -> None:
    fields.ids(request, *(name for name in names if getattr(request, name)))


def _states(fields: Validator, states: Sequence[int], known: Collection[int]) -> tuple[int, ...]:
    if len(states) > MAX_CHECKED:
        fields.add_violation("states", f"must be at most {MAX_CHECKED}")
        return ()
    for index, state in enumerate(states):
        if state not in known:
            fields.add_violation(f"states[{index}]", "must be a state that this server knows, and not UNSPECIFIED")
    return tuple(sorted(set(states)))


def _at_least(fields: Validator, request: calls.ListReservationsRequest, shards: int) -> Position:
    shard, epoch, seq, index = (getattr(request.at_least, name) for name in Position._fields)
    fields.number("at_least.shard", shard, 0, shards - 1)
    fields.number("at_least.epoch", epoch, 0, _MAX_INT64)
    fields.number("at_least.seq", seq, 0, _MAX_INT64)
    fields.number("at_least.index", index, 0, _MAX_INT32)
    return Position(shard, epoch, seq, index)


def _page_of(fields: Validator, request: PagedRequest, selection: Selection) -> PageRequest:
    """The page; fails the call if it, or a field that was checked before, is out of bounds."""
    after = None
    if request.page_size < 0:
        fields.add_violation("page_size", "must not be negative")
    if request.page_token:
        try:
            after = key_from_token(selection, request.page_token)
        except InvalidPageToken:
            fields.add_violation("page_token", "must be the next_page_token of an answer to the same selection")
    fields.raise_if_invalid()
    return PageRequest(min(request.page_size or DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE), after)


def _found(page: Page[T] | Failure) -> Page[T]:
    if isinstance(page, Failure):
        raise CallFailed(page)
    return page


async def _messages(selection: Selection, page: Page[T], to_proto: Callable[[T], M]) -> tuple[list[M], str]:
    """The elements that fit into a page, and the token of the next one; the first always fits."""
    messages: list[M] = []
    size, last = 0, page.last_looked_at
    for _, element in page.elements:
        message = to_proto(element)
        size += message.ByteSize() + _FRAME_BYTES
        if messages and size > MAX_PAGE_BYTES:
            return messages, page_token(selection, page.elements[len(messages) - 1][0])
        messages.append(message)
        if len(messages) % MADE_AT_ONCE == 0:
            await asyncio.sleep(0)
    return messages, page_token(selection, last) if last is not None else ""


def _complete_time(page: Page[T]) -> Timestamp | None:
    return None if page.complete_time_ms is None else timestamp(page.complete_time_ms)
