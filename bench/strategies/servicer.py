"""The calls of a strategy, CreateSale, Reserve and GetSale as Holdfast has them; any other is UNIMPLEMENTED.

Sales are of one item, and reservations of one line.
"""

from collections.abc import Sequence
from typing import Any, NoReturn

import grpc
from google.protobuf.timestamp_pb2 import Timestamp
from holdfast.inventory.v1.inventory_admin_service_pb2 import CreateSaleRequest, CreateSaleResponse
from holdfast.inventory.v1.inventory_service_pb2 import GetSaleRequest, GetSaleResponse, ReserveRequest, ReserveResponse
from holdfast.inventory.v1.reservation_pb2 import (
    REJECTION_REASON_SOLD_OUT,
    RESERVATION_STATE_CONFIRMED,
    Rejection,
    Reservation,
    ReservationLine,
)
from holdfast.inventory.v1.sale_pb2 import SALE_STATE_OPEN, Item, Sale
from redis.exceptions import RedisError

from bench.strategies.base import POSTGRES_ERRORS, Order, Strategy

SERVICE = "holdfast.inventory.v1.InventoryService"
ADMIN_SERVICE = "holdfast.inventory.v1.InventoryAdminService"
STORE_ERRORS = (*POSTGRES_ERRORS, RedisError)
SOLD_OUT = ReserveResponse(rejection=Rejection(reason=REJECTION_REASON_SOLD_OUT))

Context = grpc.aio.ServicerContext[Any, Any]


class Servicer:
    """Translates the three calls for a strategy; an error of a store is UNAVAILABLE, and the outcome unknown."""

    def __init__(self, strategy: Strategy) -> None:
        self._strategy = strategy

    async def CreateSale(self, request: CreateSaleRequest, context: Context) -> CreateSaleResponse:
        """Put one item on sale."""
        (item,) = request.sale.items
        try:
            await self._strategy.create_sale(request.sale.sale_id, item.sku, item.total)
        except STORE_ERRORS as error:
            await unavailable(context, error)
        return CreateSaleResponse(sale=request.sale)

    async def Reserve(self, request: ReserveRequest, context: Context) -> ReserveResponse:
        """Sell the units of the line."""
        (line,) = request.lines
        order = Order(request.sale_id, request.reservation_id, request.buyer_id, line.sku, line.quantity)
        try:
            sold = await self._strategy.reserve(order)
        except STORE_ERRORS as error:
            await unavailable(context, error)
        return sold_response(order) if sold else SOLD_OUT

    async def GetSale(self, request: GetSaleRequest, context: Context) -> GetSaleResponse:
        """The item's stock, by the counter that decides."""
        try:
            item = await self._item(request.sale_id)
        except STORE_ERRORS as error:
            await unavailable(context, error)
        if item is None:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"there is no sale {request.sale_id}")
        return GetSaleResponse(sale=Sale(sale_id=request.sale_id, state=SALE_STATE_OPEN, items=[item]))

    async def _item(self, sale_id: str) -> Item | None:
        row = await self._strategy.database.fetchrow("select sku, total from item where sale_id = $1", sale_id)
        if row is None:
            return None
        available = await self._strategy.available(sale_id, row["sku"])
        return Item(sku=row["sku"], total=row["total"], available=available, sold=row["total"] - available)


async def unavailable(context: Context, error: BaseException) -> NoReturn:
    """End a call whose outcome is unknown."""
    await context.abort(grpc.StatusCode.UNAVAILABLE, f"{type(error).__name__}: {error}")


def sold_response(order: Order) -> ReserveResponse:
    """The response to a buyer who got the units."""
    now = Timestamp()
    now.GetCurrentTime()
    reservation = Reservation(
        sale_id=order.sale_id,
        reservation_id=order.reservation_id,
        buyer_id=order.buyer_id,
        lines=[ReservationLine(sku=order.sku, quantity=order.quantity, confirmed_quantity=order.quantity)],
        state=RESERVATION_STATE_CONFIRMED,
        revision=1,
        create_time=now,
        update_time=now,
    )
    return ReserveResponse(reservation=reservation, read_time=now)


def handlers(servicer: Servicer) -> Sequence[grpc.GenericRpcHandler]:
    """The three methods, registered by hand: generated code has each call wait for those that are not implemented."""
    handler = grpc.unary_unary_rpc_method_handler
    calls: dict[str, grpc.RpcMethodHandler[Any, Any]] = {
        "Reserve": handler(servicer.Reserve, ReserveRequest.FromString, ReserveResponse.SerializeToString),
        "GetSale": handler(servicer.GetSale, GetSaleRequest.FromString, GetSaleResponse.SerializeToString),
    }
    create = handler(servicer.CreateSale, CreateSaleRequest.FromString, CreateSaleResponse.SerializeToString)
    return [
        grpc.method_handlers_generic_handler(SERVICE, calls),
        grpc.method_handlers_generic_handler(ADMIN_SERVICE, {"CreateSale": create}),
    ]
