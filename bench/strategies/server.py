"""The gRPC server of a strategy: CreateSale, Reserve and GetSale as Holdfast has them; any other is UNIMPLEMENTED.

`python -m bench.strategies.server NAME --listen HOST:PORT --postgres DSN --redis URL`. It runs on uvloop and registers
the three methods by hand, which is the quickest way that grpc.aio has in one server object.
"""

import argparse
import asyncio
import signal
import sys
from typing import Any, NoReturn

import grpc
import uvloop
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

from bench.strategies.base import POSTGRES_ERRORS, SCHEMA, Order, Settings, Strategy, connect_postgres, connect_redis
from bench.strategies.catalog import SERVERS

SERVICE = "holdfast.inventory.v1.InventoryService"
ADMIN_SERVICE = "holdfast.inventory.v1.InventoryAdminService"
STORE_ERRORS = (*POSTGRES_ERRORS, RedisError)
GRACE_S = 2.0
SOLD_OUT = ReserveResponse(rejection=Rejection(reason=REJECTION_REASON_SOLD_OUT))

ReserveContext = grpc.aio.ServicerContext[ReserveRequest, ReserveResponse]
CreateContext = grpc.aio.ServicerContext[CreateSaleRequest, CreateSaleResponse]
GetContext = grpc.aio.ServicerContext[GetSaleRequest, GetSaleResponse]


class Servicer:
    """Translates the three calls for a strategy, for sales of one item and reservations of one line."""

    def __init__(self, strategy: Strategy) -> None:
        self._strategy = strategy

    async def CreateSale(self, request: CreateSaleRequest, context: CreateContext) -> CreateSaleResponse:
        """Put one item on sale."""
        (item,) = request.sale.items
        await self._strategy.create_sale(request.sale.sale_id, item.sku, item.total)
        return CreateSaleResponse(sale=request.sale)

    async def Reserve(self, request: ReserveRequest, context: ReserveContext) -> ReserveResponse:
        """Sell the units of the line; an error of a store is UNAVAILABLE, and the outcome unknown."""
        (line,) = request.lines
        order = Order(request.sale_id, request.reservation_id, request.buyer_id, line.sku, line.quantity)
        try:
            sold = await self._strategy.reserve(order)
        except STORE_ERRORS as error:
            await unavailable(context, error)
        return sold_response(order) if sold else SOLD_OUT

    async def GetSale(self, request: GetSaleRequest, context: GetContext) -> GetSaleResponse:
        """The item's stock, by the counter that decides."""
        row = await self._strategy.database.fetchrow("select sku, total from item where sale_id = $1", request.sale_id)
        if row is None:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"there is no sale {request.sale_id}")
        sku, total = row["sku"], row["total"]
        available = await self._strategy.available(request.sale_id, sku)
        item = Item(sku=sku, total=total, available=available, sold=total - available)
        return GetSaleResponse(sale=Sale(sale_id=request.sale_id, state=SALE_STATE_OPEN, items=[item]))


async def unavailable(context: ReserveContext, error: BaseException) -> NoReturn:
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


def grpc_server(servicer: Servicer) -> grpc.aio.Server:
    """A server with the three methods."""
    handler = grpc.unary_unary_rpc_method_handler
    calls: dict[str, grpc.RpcMethodHandler[Any, Any]] = {
        "Reserve": handler(servicer.Reserve, ReserveRequest.FromString, ReserveResponse.SerializeToString),
        "GetSale": handler(servicer.GetSale, GetSaleRequest.FromString, GetSaleResponse.SerializeToString),
    }
    create = handler(servicer.CreateSale, CreateSaleRequest.FromString, CreateSaleResponse.SerializeToString)
    server = grpc.aio.server()
    server.add_generic_rpc_handlers(
        [
            grpc.method_handlers_generic_handler(SERVICE, calls),
            grpc.method_handlers_generic_handler(ADMIN_SERVICE, {"CreateSale": create}),
        ]
    )
    return server


async def serve(name: str, settings: Settings) -> None:
    """Serve until SIGTERM."""
    database, redis = await connect_postgres(settings.postgres_dsn), connect_redis(settings.redis_url)
    await database.execute(SCHEMA)
    server = grpc_server(Servicer(SERVERS[name](database, redis)))
    server.add_insecure_port(settings.listen)
    await server.start()
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await stop.wait()
    await server.stop(GRACE_S)
    database.terminate()


def parsed() -> tuple[str, Settings]:
    """The name of the strategy and the addresses."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=SERVERS)
    parser.add_argument("--listen", default="", help="host:port")
    parser.add_argument("--postgres", required=True, metavar="DSN")
    parser.add_argument("--redis", required=True, metavar="URL")
    arguments = parser.parse_args()
    return arguments.name, Settings(arguments.listen, arguments.postgres, arguments.redis)


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(*parsed()))
    sys.exit()
