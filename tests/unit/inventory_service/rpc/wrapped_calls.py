"""Calls of methods that the middleware wraps, without a server."""

from collections.abc import Awaitable, Callable
from typing import Any

import grpc
from google.rpc import error_details_pb2, status_pb2
from holdfast.inventory.v1.inventory_admin_service_pb2_grpc import (
    InventoryAdminServiceServicer,
    add_InventoryAdminServiceServicer_to_server,
)
from holdfast.inventory.v1.inventory_service_pb2_grpc import (
    InventoryServiceServicer,
    add_InventoryServiceServicer_to_server,
)

from inventory_service.rpc.auth import Authenticate
from inventory_service.rpc.middleware import Middleware, Observe
from inventory_service.rpc.rate import CallerRate

Behaviour = Callable[[Any, Any], Awaitable[Any]]


class EveryHandler(dict[str, Any]):
    """Takes the place of a server in the generated code, and keeps the handlers of the methods by name."""

    def add_generic_rpc_handlers(self, _handlers: Any) -> None:
        """Has the same ones."""

    def add_registered_method_handlers(self, _service: str, handlers: dict[str, Any]) -> None:
        self.update(handlers)


EVERY_HANDLER: Any = EveryHandler()
add_InventoryServiceServicer_to_server(InventoryServiceServicer(), EVERY_HANDLER)  # type: ignore[abstract]
add_InventoryAdminServiceServicer_to_server(InventoryAdminServiceServicer(), EVERY_HANDLER)  # type: ignore[abstract]


class Aborted(Exception):
    """What gRPC raises in a handler that aborts."""


class FakeContext:
    """The context of one call, which keeps the reason that it was aborted with."""

    def __init__(self, remaining_s: float | None) -> None:
        self._remaining_s = remaining_s
        self.reason = ""
        self.status = status_pb2.Status()  # that it was aborted with

    def peer(self) -> str:
        return "ipv4:192.0.2.1:50000"

    def time_remaining(self) -> float | None:
        return self._remaining_s

    async def abort(self, code: grpc.StatusCode, sentence: str, trailers: tuple[tuple[str, bytes], ...]) -> None:
        info = error_details_pb2.ErrorInfo()
        self.status = status_pb2.Status.FromString(trailers[0][1])
        assert self.status.details[0].Unpack(info)
        self.reason = info.reason.removeprefix("ERROR_REASON_")
        raise Aborted


class Meter:
    """Keeps the status codes of the calls that ended."""

    def __init__(self) -> None:
        self.codes: list[str] = []

    def observer(self, service: str, method: str) -> Observe:
        return lambda code, seconds: self.codes.append(code)


class Calls:
    """Calls of methods that one middleware wraps."""

    def __init__(
        self, *, is_open: bool = True, authenticate: Authenticate | None = None, rate: CallerRate | None = None
    ) -> None:
        self.meter = Meter()
        self.middleware = Middleware(self.meter, authenticate, rate=rate)
        if is_open:
            self.middleware.open()

    async def outcome(
        self, method: str, behaviour: Behaviour, sent: bytes = b"", remaining_s: float | None = None
    ) -> str:
        """Why a call was aborted, or what its behaviour returned."""
        make = grpc.unary_stream_rpc_method_handler if method == "WatchSale" else grpc.unary_unary_rpc_method_handler
        handler: Any = make(behaviour, EVERY_HANDLER[method].request_deserializer)
        return await self.outcome_of(method, handler, sent, remaining_s)

    async def outcome_of(self, method: str, handler: Any, sent: bytes, remaining_s: float | None) -> str:
        wrapped: Any = self.middleware._wrap_method("a.Service", method, handler)
        call = wrapped.unary_unary or wrapped.unary_stream or wrapped.stream_stream
        context = FakeContext(remaining_s)
        try:
            return str(await call(wrapped.request_deserializer(sent), context))
        except Aborted:
            return context.reason
