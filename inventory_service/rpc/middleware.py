"""Wraps every method of the servicers: admission, deadline, unparsable bytes, metrics and unhandled exceptions.

Methods are wrapped once, when they are registered, and not call by call as gRPC's interceptors do: that costs 3 %.
"""

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Mapping
from time import perf_counter
from typing import Any, Protocol, TypeAlias

import grpc
import structlog
from grpc.aio import ServicerContext
from holdfast.inventory.v1 import error_reason_pb2 as reasons

from inventory_service.domain.results import Failure
from inventory_service.rpc.status import CallFailed, row_of, status_of

MIN_TIME_S = 0.010  # a request for a busy shard may wait 8 ms in the batcher before it goes to Redis

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Behaviour = Callable[[Any, ServicerContext[Any, Any]], Awaitable[Any]]
Observe = Callable[[str, float], None]  # status code by name, seconds
log = structlog.get_logger()


class CallMeter(Protocol):
    """Counts calls."""

    def observer(self, service: str, method: str) -> Observe: ...


class _Unparsable:
    """Stands for bytes that do not parse, so that the caller gets INVALID_ARGUMENT in place of gRPC's UNKNOWN."""


_UNPARSABLE = _Unparsable()


class Middleware:
    """Wraps the methods of all services of one process and counts the calls in flight."""

    def __init__(self, meter: CallMeter) -> None:
        self._meter = meter
        self._in_flight = 0
        self._open = False
        self._draining = False
        self._idle = asyncio.Event()

    @property
    def in_flight(self) -> int:
        return self._in_flight

    def open(self) -> None:
        """Admit calls: Redis has answered, and has as many shards as this server is set to."""
        self._open = True

    async def drain(self, within_s: float) -> bool:
        """Reject new calls and wait for those in flight; False if one of them takes longer than `within_s`."""
        self._draining = True
        if not self._in_flight:
            return True
        try:
            async with asyncio.timeout(within_s):
                await self._idle.wait()
        except TimeoutError:
            return False
        return True

    def wrap(self, service: str, methods: Mapping[str, Handler]) -> grpc.GenericRpcHandler:
        """The methods of one service, wrapped."""
        wrapped = {name: self._wrap_method(service, name, handler) for name, handler in methods.items()}
        return grpc.method_handlers_generic_handler(service, wrapped)

    def _wrap_method(self, service: str, name: str, handler: Handler) -> Handler:
        observe = self._meter.observer(service, name)
        if not inspect.iscoroutinefunction(handler.unary_unary):
            return self._unimplemented(handler, observe)
        return grpc.unary_unary_rpc_method_handler(
            self._wrapped(handler.unary_unary, observe),
            request_deserializer=_safe_deserializer(handler.request_deserializer),
            response_serializer=_serialized,
        )

    def _wrapped(self, behaviour: Behaviour, observe: Observe) -> Behaviour:
        async def wrapped(request: Any, context: ServicerContext[Any, Any]) -> Any:
            self._in_flight += 1
            code, started = "OK", perf_counter()
            try:
                self._admit(request, context)
                return await behaviour(request, context)
            except CallFailed as failed:
                code = row_of(failed.failure.reason).code.name
                await context.abort(*status_of(failed))
            except asyncio.CancelledError:
                code = "CANCELLED"  # by the caller, or by its deadline
                raise
            except Exception:  # any bug: the caller still gets a status with ErrorInfo
                log.exception("unhandled_exception", call=behaviour.__name__)
                code = "UNAVAILABLE"
                await context.abort(*status_of(CallFailed(Failure(reasons.ERROR_REASON_OUTCOME_UNKNOWN))))
            finally:
                observe(code, perf_counter() - started)
                self._leave()

        return wrapped

    def _unimplemented(self, handler: Handler, observe: Observe) -> Handler:
        """Answer UNIMPLEMENTED: what a servicer does not override is the generated one, no coroutine function."""

        async def unimplemented(_request: Any, context: ServicerContext[Any, Any]) -> Any:
            draining = reasons.ERROR_REASON_SERVER_DRAINING
            reason = draining if self._draining else reasons.ERROR_REASON_NOT_BUILT
            observe(row_of(reason).code.name, 0.0)
            await context.abort(*status_of(CallFailed(Failure(reason))))

        if handler.request_streaming:
            return grpc.stream_stream_rpc_method_handler(unimplemented)
        if handler.response_streaming:
            return grpc.unary_stream_rpc_method_handler(unimplemented)
        return grpc.unary_unary_rpc_method_handler(unimplemented)

    def _admit(self, request: Any, context: ServicerContext[Any, Any]) -> None:
        """The checks of every call that is built; the first that fails decides."""
        if self._draining:
            raise CallFailed(Failure(reasons.ERROR_REASON_SERVER_DRAINING))
        remaining_s = context.time_remaining()
        if remaining_s is not None and remaining_s < MIN_TIME_S:
            raise CallFailed(Failure(reasons.ERROR_REASON_DEADLINE_TOO_SHORT))
        if not self._open:
            raise CallFailed(Failure(reasons.ERROR_REASON_SHARD_NOT_SERVING))
        if request is _UNPARSABLE:
            raise CallFailed(Failure(reasons.ERROR_REASON_UNREADABLE))

    def _leave(self) -> None:
        self._in_flight -= 1
        if self._draining and not self._in_flight:
            self._idle.set()


def _safe_deserializer(deserialize: Callable[[bytes], Any] | None) -> Callable[[bytes], Any]:
    """A deserializer that never raises."""
    assert deserialize is not None

    def safe(raw: bytes) -> Any:
        try:
            return deserialize(raw)
        except Exception:  # noqa: BLE001  (protobuf's runtimes raise different things for the same bytes)
            return _UNPARSABLE

    return safe


def _serialized(response: Any) -> bytes:
    """A response that a servicer has already serialized is sent as it is."""
    return response if type(response) is bytes else response.SerializeToString()
