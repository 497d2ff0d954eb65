"""The checks that every call passes before it is judged, in their order."""

from typing import Any

import grpc
from google.rpc import error_details_pb2, status_pb2
from holdfast.inventory.v1 import inventory_service_pb2 as calls

from inventory_service.rpc.middleware import Middleware, Observe

READ = calls.GetSaleRequest(sale_id="lamp-sale").SerializeToString()
UNREADABLE = b"\xff"


class Aborted(Exception):
    """What gRPC raises in a handler that aborts."""


class FakeContext:
    """The context of one call, which keeps the reason that it was aborted with."""

    def __init__(self, remaining_s: float | None) -> None:
        self._remaining_s = remaining_s
        self.reason = ""

    def time_remaining(self) -> float | None:
        return self._remaining_s

    async def abort(self, code: grpc.StatusCode, sentence: str, trailers: tuple[tuple[str, bytes], ...]) -> None:
        info = error_details_pb2.ErrorInfo()
        assert status_pb2.Status.FromString(trailers[0][1]).details[0].Unpack(info)
        self.reason = info.reason.removeprefix("ERROR_REASON_")
        raise Aborted


class NoMeter:
    """Counts nothing."""

    def observer(self, service: str, method: str) -> Observe:
        return lambda code, seconds: None


async def read_sale(request: Any, context: Any) -> bytes:
    return b"read"


def built() -> Any:
    return grpc.unary_unary_rpc_method_handler(
        read_sale, request_deserializer=calls.GetSaleRequest.FromString, response_serializer=None
    )


def not_built() -> Any:
    return grpc.unary_unary_rpc_method_handler(lambda request, context: None)


async def outcome(middleware: Middleware, handler: Any, sent: bytes, remaining_s: float | None = None) -> str:
    """Why a call was aborted, or the name of its response."""
    wrapped: Any = middleware._wrap_method("a.Service", "Method", handler)
    request = wrapped.request_deserializer(sent) if wrapped.request_deserializer else sent
    context = FakeContext(remaining_s)
    try:
        return str((await wrapped.unary_unary(request, context)).decode())
    except Aborted:
        return context.reason


async def test_the_first_check_that_fails_decides() -> None:
    """A request that fails them all hears one reason after the other, as each is mended."""
    middleware = Middleware(NoMeter())

    assert await outcome(middleware, built(), UNREADABLE, remaining_s=0.001) == "DEADLINE_TOO_SHORT"
    assert await outcome(middleware, built(), UNREADABLE, remaining_s=1.0) == "SHARD_NOT_SERVING"
    middleware.open()
    assert await outcome(middleware, built(), UNREADABLE, remaining_s=1.0) == "UNREADABLE"
    assert await outcome(middleware, built(), READ, remaining_s=1.0) == "read"
    await middleware.drain(within_s=0.0)
    assert await outcome(middleware, built(), UNREADABLE, remaining_s=0.001) == "SERVER_DRAINING"


async def test_a_call_that_is_not_built_is_told_before_its_deadline_and_its_bytes() -> None:
    """It will not be judged whatever it says, but a draining server sends every caller away."""
    middleware = Middleware(NoMeter())

    assert await outcome(middleware, not_built(), UNREADABLE, remaining_s=0.001) == "NOT_BUILT"
    await middleware.drain(within_s=0.0)
    assert await outcome(middleware, not_built(), UNREADABLE, remaining_s=0.001) == "SERVER_DRAINING"
