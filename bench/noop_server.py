"""The measuring rod: an ordinary grpc.aio server (one object, uvloop) whose Reserve does nothing.

As lean as such a server can be: one method, no interceptor, and a response of the usual size that is made once and
serialized each call.
"""

import asyncio
import sys
from typing import Any

import grpc
import uvloop
from holdfast.inventory.v1.inventory_service_pb2 import ReserveRequest, ReserveResponse
from holdfast.inventory.v1.reservation_pb2 import (
    LEDGER_STATE_PENDING,
    RESERVATION_STATE_HELD,
    Position,
    Reservation,
    ReservationLine,
)

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


async def serve() -> None:
    """Listen on any port, tell which, and serve until killed."""
    answer = held()

    async def reserve(_request: ReserveRequest, _context: Any) -> ReserveResponse:
        return answer

    method = grpc.unary_unary_rpc_method_handler(
        reserve,
        request_deserializer=ReserveRequest.FromString,
        response_serializer=ReserveResponse.SerializeToString,
    )
    server = grpc.aio.server()
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(SERVICE, {"Reserve": method})])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(f"listening address=127.0.0.1:{port}", file=sys.stderr, flush=True)
    await server.wait_for_termination()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve())
