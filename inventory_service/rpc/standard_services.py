"""Guards health and reflection, gRPC's standard services: against bytes that are no request, and too many streams."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from typing import Any

import grpc
from grpc.aio import ServicerContext
from grpc_health.v1 import health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2_grpc
from holdfast.inventory.v1 import error_reason_pb2 as reasons

from inventory_service.domain.results import Failure
from inventory_service.rpc.health import HealthServicer
from inventory_service.rpc.middleware import MAKE_HANDLER, UNPARSABLE, Middleware, safe_deserializer
from inventory_service.rpc.reflection import ReflectionServicer
from inventory_service.rpc.registered import Handler, MethodsByService
from inventory_service.rpc.slots import Slots
from inventory_service.rpc.status import CallFailed, status_of

MOST_CALLS = 4096  # of each method of these services that a process has open at a time
MOST_BYTES = 4096  # of a request, which names a service or a symbol
Context = ServicerContext[Any, Any]
Behaviour = Callable[[Any, Context], Awaitable[Any]]


def standard_methods(
    health: HealthServicer, services: Iterable[str], middleware: Middleware
) -> Mapping[str, Mapping[str, Handler]]:
    """The methods of both services, by service and name. Health is for everyone and answers while the server drains."""
    found: Any = MethodsByService()  # Any: the generated code's types want a whole server
    health_pb2_grpc.add_HealthServicer_to_server(health, found)
    reflection = ReflectionServicer(services, middleware.authenticate)
    reflection_pb2_grpc.add_ServerReflectionServicer_to_server(reflection, found)  # type: ignore[no-untyped-call]
    return {
        service: {name: guarded(handler) for name, handler in methods.items()} for service, methods in found.items()
    }


def guarded(handler: Handler, most: int = MOST_CALLS) -> Handler:
    """The method for so many calls at a time: more are OVERLOADED, and bytes that are no request UNREADABLE."""
    behaviour: Any = handler.unary_unary or handler.unary_stream or handler.stream_stream
    slots = Slots()

    async def call(request: Any, context: Context) -> Any:
        slots.in_use += 1
        try:
            if slots.in_use > most:
                raise CallFailed(Failure(reasons.ERROR_REASON_OVERLOADED))
            return await behaviour(_readable(request), context)
        except CallFailed as failed:
            await context.abort(*status_of(failed))
        except grpc.aio.AbortError:  # the service has ended the call
            raise
        except grpc.aio.BaseError as gone:  # the peer is, while a message is written: gRPC cancels this call next
            raise asyncio.CancelledError from gone
        finally:
            slots.in_use -= 1

    return MAKE_HANDLER[handler.request_streaming, handler.response_streaming](
        call, safe_deserializer(_bounded(handler.request_deserializer)), handler.response_serializer
    )


def _bounded(deserialize: Callable[[bytes], Any] | None) -> Callable[[bytes], Any]:
    """A deserializer of small requests: an open stream keeps its request, and needs no token."""
    assert deserialize is not None

    def bounded(raw: bytes) -> Any:
        if len(raw) > MOST_BYTES:
            raise ValueError(f"more than {MOST_BYTES} bytes")
        return deserialize(raw)

    return bounded


def _readable(request: Any) -> Any:
    """A request, or a stream of requests; CallFailed where one cannot be read."""
    if request is UNPARSABLE:
        raise CallFailed(Failure(reasons.ERROR_REASON_UNREADABLE))
    return _all_readable(request) if hasattr(request, "__aiter__") else request


async def _all_readable(requests: AsyncIterator[Any]) -> AsyncIterator[Any]:
    async for request in requests:
        yield _readable(request)
