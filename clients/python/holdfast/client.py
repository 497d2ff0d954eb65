"""The asyncio client: the generated stubs with several connections, deadlines, safe repeats and typed errors.

Each method is one call and returns that call's response message. A call that fails raises one of `holdfast.errors`;
sold out is no failure and comes back in the response.
"""

import asyncio
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from itertools import cycle
from types import TracebackType
from typing import Self, TypeVar

import grpc
from grpc import aio

from holdfast.inventory.v1.inventory_admin_service_pb2 import (
    BlockBuyerRequest,
    BlockBuyerResponse,
    CreateSaleRequest,
    CreateSaleResponse,
)
from holdfast.inventory.v1.inventory_admin_service_pb2_grpc import InventoryAdminServiceStub
from holdfast.inventory.v1.inventory_service_pb2 import (
    ConfirmReservationRequest,
    ConfirmReservationResponse,
    GetReservationRequest,
    GetReservationResponse,
    GetSaleRequest,
    GetSaleResponse,
    ReleaseReservationRequest,
    ReleaseReservationResponse,
    ReserveRequest,
    ReserveResponse,
)
from holdfast.inventory.v1.inventory_service_pb2_grpc import InventoryServiceStub
from holdfast.inventory.v1.reservation_pb2 import Line
from holdfast.inventory.v1.sale_pb2 import Item, Sale
from holdfast.retry import RetryBudget, RetryPolicy
from holdfast.statuses import error_from_rpc

Request = TypeVar("Request")
Response = TypeVar("Response")
Methods = Iterator[aio.UnaryUnaryMultiCallable[Request, Response]]  # one a connection, in turn, without end

# A server process accepts calls connection by connection, and gRPC lets channels to one address share a connection
# unless each has a pool of its own. gRPC's pause before it reconnects grows to two minutes unless it is capped, and its
# own retries do not read Holdfast's error reasons.
CHANNEL_OPTIONS = (
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_retries", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2000),
)


class Client:
    """Calls one server over several connections, which open when they are first used, or several servers.

    `address` is host:port; several have commas between them and share the connections. Calls go over the connections
    in turn and so do repeats, so a server that is down costs a call one attempt. With `use_proxy` the connections go
    through the proxy that the environment names (`http_proxy`, `https_proxy`, `no_proxy`).
    """

    def __init__(
        self, address: str, *, channels: int = 8, retry: RetryPolicy | None = None, use_proxy: bool = False
    ) -> None:
        self._retry = retry or RetryPolicy()
        servers = cycle(address.split(","))
        # gRPC uses http_proxy even for loopback, which a proxy of the whole machine cannot reach.
        options = (*CHANNEL_OPTIONS, ("grpc.enable_http_proxy", int(use_proxy)))
        self._channels = [aio.insecure_channel(next(servers), options=options) for _ in range(channels)]
        buyers = [InventoryServiceStub(channel) for channel in self._channels]
        operators = [InventoryAdminServiceStub(channel) for channel in self._channels]
        self._reserve = cycle([stub.Reserve for stub in buyers])
        self._confirm = cycle([stub.ConfirmReservation for stub in buyers])
        self._release = cycle([stub.ReleaseReservation for stub in buyers])
        self._get_reservation = cycle([stub.GetReservation for stub in buyers])
        self._get_sale = cycle([stub.GetSale for stub in buyers])
        self._create_sale = cycle([stub.CreateSale for stub in operators])
        self._block_buyer = cycle([stub.BlockBuyer for stub in operators])

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections; calls under way are cancelled."""
        await asyncio.gather(*(channel.close() for channel in self._channels))

    async def reach(self, within_s: float) -> bool:
        """Whether a server accepts connections at the address, or at one of them; sends no call."""
        attempts = [asyncio.ensure_future(channel.channel_ready()) for channel in self._channels]
        connected, pending = await asyncio.wait(attempts, timeout=within_s, return_when=asyncio.FIRST_COMPLETED)
        for attempt in pending:
            attempt.cancel()
        return bool(connected)

    async def reserve(
        self,
        sale_id: str,
        reservation_id: str,
        buyer_id: str,
        lines: Mapping[str, int],
        *,
        hold_ttl: timedelta | None = None,
        reference: str = "",
    ) -> ReserveResponse:
        """Hold units (`lines`: SKU to quantity) for a buyer, all or none; returns a reservation or a rejection.

        `reference` names what they belong to, such as an order or a cart, and stays with the reservation.

        Choose one `reservation_id` for each claim and keep it: a repeat with the same id, after an error or a crash,
        returns what became of the claim and never buys twice.
        """
        return await self._ask(
            self._reserve,
            ReserveRequest(
                sale_id=sale_id,
                reservation_id=reservation_id,
                buyer_id=buyer_id,
                lines=[Line(sku=sku, quantity=quantity) for sku, quantity in lines.items()],
                hold_ttl=hold_ttl,
                reference=reference,
            ),
        )

    async def confirm(self, sale_id: str, reservation_id: str) -> ConfirmReservationResponse:
        """Sell what is held."""
        request = ConfirmReservationRequest(sale_id=sale_id, reservation_id=reservation_id)
        return await self._ask(self._confirm, request)

    async def release(
        self, sale_id: str, reservation_id: str, *, reason: str = "", spend_id: bool = False
    ) -> ReleaseReservationResponse:
        """Give back what is held; with `spend_id` also end an id whose Reserve got no answer."""
        request = ReleaseReservationRequest(
            sale_id=sale_id, reservation_id=reservation_id, reason=reason, spend_id=spend_id
        )
        return await self._ask(self._release, request)

    async def get_reservation(self, sale_id: str, reservation_id: str) -> GetReservationResponse:
        """Read a reservation."""
        request = GetReservationRequest(sale_id=sale_id, reservation_id=reservation_id)
        return await self._ask(self._get_reservation, request)

    async def get_sale(self, sale_id: str) -> GetSaleResponse:
        """Read a sale and its stock."""
        return await self._ask(self._get_sale, GetSaleRequest(sale_id=sale_id))

    async def create_sale(
        self,
        sale_id: str,
        items: Mapping[str, int],
        *,
        title: str = "",
        start_time: datetime | None = None,
        end_time: datetime | None = None,
        hold_ttl: timedelta | None = None,
        max_hold_ttl: timedelta | None = None,
        buyer_limit: int = 0,
    ) -> CreateSaleResponse:
        """Make a sale of `items` (SKU to units). A repeat must have equal arguments, times included.

        Unset: it starts now, never ends, and holds last 10 minutes. A `hold_ttl` of zero makes each Reserve a purchase.
        A time without a zone is local time.
        """
        sale = Sale(
            sale_id=sale_id,
            title=title,
            start_time=_with_zone(start_time),
            end_time=_with_zone(end_time),
            hold_ttl=hold_ttl,
            max_hold_ttl=max_hold_ttl,
            buyer_limit=buyer_limit,
            items=[Item(sku=sku, total=total) for sku, total in items.items()],
        )
        return await self._ask(self._create_sale, CreateSaleRequest(sale=sale))

    async def block_buyer(self, buyer_id: str, reason: str) -> BlockBuyerResponse:
        """Make the ledger refuse this buyer's orders from now on."""
        return await self._ask(self._block_buyer, BlockBuyerRequest(buyer_id=buyer_id, reason=reason))

    async def _ask(self, methods: Methods[Request, Response], request: Request) -> Response:
        """Send one request until it is answered or the budget is spent; an unchanged request is never done twice."""
        budget = RetryBudget(self._retry)
        while True:
            try:
                return await next(methods)(request, timeout=budget.attempt_s())
            except grpc.aio.AioRpcError as failure:
                error = error_from_rpc(failure)
            await asyncio.sleep(budget.delay_after(error))


def _with_zone(time: datetime | None) -> datetime | None:
    """A time without a zone as local time, which is what Python takes it for; protobuf would take it for UTC."""
    return time.astimezone() if time is not None and time.tzinfo is None else time
