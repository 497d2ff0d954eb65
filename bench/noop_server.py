"""Baselines: servers whose Reserve does nothing and answers what a hold answers; one grpc.aio object, uvloop.

Their StreamReserve answers each message so, under its number.

The ordinary one is registered by the generated code, as every guide has it, so each method of the service adds a
waiter to every call that is accepted. The leanest one (`--lean`) registers the one method by hand. Neither has an
interceptor.
"""

import asyncio
import sys
from collections.abc import AsyncIterator
from typing import Any

import grpc
import uvloop
from holdfast.inventory.v1.inventory_service_pb2 import (
    ReserveRequest,
    ReserveResponse,
    ReserveResult,
    StreamReserveRequest,
    StreamReserveResponse,
)
from holdfast.inventory.v1.inventory_service_pb2_grpc import (
    InventoryServiceServicer,
    add_InventoryServiceServicer_to_server,
)
from holdfast.inventory.v1.reservation_pb2 import (
    LEDGER_STATE_PENDING,
    RESERVATION_STATE_HELD,
    Position,
    Reservation,
    ReservationLine,
)

from bench.arguments import parser_of

SERVICE = "holdfast.inventory.v1.InventoryService"
NOW_S = 1_795_000_000


def held() -> ReserveResponse:
    """An answer of the usual size."""
    reservation = Reservation(
        sale_id="bench-sale",
        reservation_id="r0-100000",
        buyer_id="b-100000",
        lines=[ReservationLine(sku="lamp", quantity=1)],
        state=RESERVATION_STATE_HELD,
        revision=1,
        create_time={"seconds": NOW_S, "nanos": 123_000_000},
        update_time={"seconds": NOW_S, "nanos": 123_000_000},
        expire_time={"seconds": NOW_S + 600, "nanos": 123_000_000},
        position=Position(shard=3, epoch=1, seq=1000, index=7),
        ledger_state=LEDGER_STATE_PENDING,
    )
    return ReserveResponse(reservation=reservation, read_time={"seconds": NOW_S, "nanos": 123_000_000})


class NoopServicer(InventoryServiceServicer):
    """Answers every Reserve alike."""

    def __init__(self) -> None:
        self._answer = held()

    async def Reserve(self, _request: ReserveRequest, _context: Any) -> ReserveResponse:
        """Serialized anew each time, as an answer is."""
        return self._answer

    async def StreamReserve(  # type: ignore[override]  # it writes in place of yielding
        self, requests: AsyncIterator[StreamReserveRequest], context: Any
    ) -> None:
        """The same on a stream."""
        async for message in requests:
            result = ReserveResult(response=self._answer)
            await context.write(StreamReserveResponse(correlation_id=message.correlation_id, result=result))


async def serve(listen: str, lean: bool) -> None:
    """Serve until ended."""
    servicer = NoopServicer()  # type: ignore[abstract]  # the others are never called
    server = grpc.aio.server()
    if lean:
        method = grpc.unary_unary_rpc_method_handler(
            servicer.Reserve,
            request_deserializer=ReserveRequest.FromString,
            response_serializer=ReserveResponse.SerializeToString,
        )
        server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(SERVICE, {"Reserve": method})])
    else:
        add_InventoryServiceServicer_to_server(servicer, server)
    server.add_insecure_port(listen)
    await server.start()
    await server.wait_for_termination()


def main() -> int:
    """Serve until ended."""
    parser = parser_of(__doc__)
    parser.add_argument("--lean", action="store_true", help="register the one method by hand")
    parser.add_argument("--listen", required=True, help="host:port")
    arguments = parser.parse_args()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(arguments.listen, arguments.lean))
    return 0


if __name__ == "__main__":
    sys.exit(main())
