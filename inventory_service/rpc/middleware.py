"""Wraps every method of the servicers: the checks that each call passes, its slot, its end, metrics and exceptions.

Methods are wrapped once, when they are registered, and not call by call as gRPC's interceptors do: that costs 3 %.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from re import Match
from time import perf_counter
from typing import Any, Protocol

import grpc
import structlog
from grpc.aio import ServicerContext
from holdfast.inventory.v1 import error_reason_pb2 as reasons

from inventory_service.domain.caller import Caller
from inventory_service.domain.results import Failure
from inventory_service.domain.time_left import caller_leaves
from inventory_service.rpc.auth import Authenticate, current_caller
from inventory_service.rpc.bulk_requests import parse_batch, parse_message
from inventory_service.rpc.methods import METHODS, TIME_LIMIT_S, MethodClass
from inventory_service.rpc.plain_requests import parse_reserve
from inventory_service.rpc.rate import CallerRate
from inventory_service.rpc.refusals import Refusals
from inventory_service.rpc.registered import Handler
from inventory_service.rpc.slots import Slots
from inventory_service.rpc.status import CallFailed, status_of
from inventory_service.rpc.stream_tokens import StreamTokens
from inventory_service.rpc.time_limit import TimeLimit
from inventory_service.rpc.validation import reject_unknown_fields

MIN_TIME_S = 0.010  # a request for a busy shard may wait some milliseconds before it goes to Redis

Behaviour = Callable[[Any, ServicerContext[Any, Any]], Awaitable[Any]]
Admit = Callable[[Any, ServicerContext[Any, Any], float | None], None]  # request, context, seconds left
Observe = Callable[[str, float], None]  # status code by name, seconds
log = structlog.get_logger()


class CallMeter(Protocol):
    """Counts calls."""

    def observer(self, service: str, method: str) -> Observe: ...


class _Unparsable:
    """Stands for bytes that do not parse, so that the caller gets INVALID_ARGUMENT in place of gRPC's UNKNOWN."""


UNPARSABLE = _Unparsable()
_OWN_PARSERS: Mapping[str, Callable[[bytes], Any]] = {  # by method
    "Reserve": parse_reserve,
    "BatchReserve": parse_batch,
    "StreamReserve": parse_message,
}
MAKE_HANDLER: Mapping[tuple[bool, bool], Callable[..., Handler]] = {  # by what is a stream: request, response
    (False, False): grpc.unary_unary_rpc_method_handler,
    (False, True): grpc.unary_stream_rpc_method_handler,
    (True, False): grpc.stream_unary_rpc_method_handler,
    (True, True): grpc.stream_stream_rpc_method_handler,
}


class Middleware:
    """Wraps the methods of all services of one process; its calls and its streams have slots of their own."""

    def __init__(
        self,
        meter: CallMeter,
        authenticate: Authenticate | None = None,
        rate: CallerRate | None = None,
        stream_tokens: StreamTokens | None = None,
    ) -> None:
        """Without `authenticate` every caller may call every method, as the default tenant; without `rate`, at will."""
        self._meter = meter
        self.authenticate = authenticate
        self._rate = rate
        self._stream_tokens = stream_tokens
        self.slots = Slots()
        self.streams = Slots()
        self.refusals = Refusals()
        self.draining = asyncio.Event()  # a stream that is open ends itself once it is set
        self.drain_is_late = asyncio.Event()  # a drain has taken too long: what is open has to end
        self._is_draining = False  # the same, for each call
        self._open = False
        self._idle = asyncio.Event()

    @property
    def in_flight(self) -> int:
        """Calls and streams under way."""
        return self.slots.in_use + self.streams.in_use

    def open(self) -> None:
        """Admit calls: Redis has answered, and has as many shards as this server is set to."""
        self._open = True

    async def drain(self, within_s: float) -> bool:
        """Reject new calls and wait for those in flight; False if one of them takes longer than `within_s`."""
        self._is_draining = True
        self.draining.set()
        if not self.in_flight:
            return True
        try:
            async with asyncio.timeout(within_s):
                await self._idle.wait()
        except TimeoutError:
            self.drain_is_late.set()
            return False
        return True

    def wrap(self, service: str, methods: Mapping[str, Handler]) -> dict[str, Handler]:
        """The methods of one service, wrapped, by name."""
        return {name: self._wrap_method(service, name, handler) for name, handler in methods.items()}

    def _wrap_method(self, service: str, name: str, handler: Handler) -> Handler:
        behaviour = handler.unary_unary or handler.unary_stream or handler.stream_unary or handler.stream_stream
        return MAKE_HANDLER[handler.request_streaming, handler.response_streaming](
            self._wrapped(behaviour, METHODS[name], self._meter.observer(service, name)),
            request_deserializer=safe_deserializer(_OWN_PARSERS.get(name, handler.request_deserializer)),
            response_serializer=_serialized,
        )

    def _wrapped(self, behaviour: Any, method: MethodClass, observe: Observe) -> Behaviour:
        admit = self._admission(method)
        if self._stream_tokens and (method.time_limit_s is None or method.time_limit_s > TIME_LIMIT_S):
            behaviour = self._stream_tokens.checked(behaviour)
        slots, limit = self._slots_of(method), TimeLimit(method.time_limit_s)

        async def wrapped(request: Any, context: ServicerContext[Any, Any]) -> Any:
            slots.in_use += 1
            began, left_s = perf_counter(), context.time_remaining()
            if left_s is not None:
                caller_leaves.set(began + left_s)
            code, ended, limited = "CANCELLED", None, limit.begin(began, left_s)
            try:
                admit(request, context, left_s)
                response = await behaviour(request, context)
                code = "OK"
                return response
            except CallFailed as failed:
                ended = failed
            except asyncio.CancelledError:  # by the caller, by its deadline, or by the limit
                if limited is None or not limit.end(limited):
                    raise
                limited.uncancel()
                ended = _overdue(method)
            except grpc.aio.BaseError as gone:  # the peer is, while a message is written: gRPC cancels this call next
                raise asyncio.CancelledError from gone
            except Exception:  # any bug: the caller still gets a status with ErrorInfo
                log.exception("unhandled_exception", call=behaviour.__name__, **current_caller.get().named)
                ended = _failed(reasons.ERROR_REASON_OUTCOME_UNKNOWN)
            finally:
                if limited is not None:
                    limit.end(limited)
                observe(ended.code.name if ended else code, perf_counter() - began)
                self._leave(slots)
            await self._refuse(context, ended, slots)

        return wrapped

    def _admission(self, method: MethodClass) -> Admit:
        """The checks of every call of a method; the call itself then checks its fields' bounds."""
        slots, check_caller = self._slots_of(method), self._caller_check(method)
        is_whole_change = method.changes and not method.has_requests

        def admit(request: Any, context: ServicerContext[Any, Any], left_s: float | None) -> None:
            """Each check in its order: the first that fails decides."""
            if self._is_draining:
                raise _failed(reasons.ERROR_REASON_SERVER_DRAINING)
            check_caller(context)
            if slots.in_use > method.slots:
                raise _failed(reasons.ERROR_REASON_OVERLOADED)
            if left_s is not None and left_s < MIN_TIME_S:
                raise _failed(reasons.ERROR_REASON_DEADLINE_TOO_SHORT)
            if not self._open:
                raise _failed(reasons.ERROR_REASON_SHARD_NOT_SERVING)
            if request is UNPARSABLE:
                raise _failed(reasons.ERROR_REASON_UNREADABLE)
            if is_whole_change and not isinstance(request, Match):  # a match has no such field
                reject_unknown_fields(request)

        return admit

    def _caller_check(self, method: MethodClass) -> Callable[[ServicerContext[Any, Any]], None]:
        """The checks of who calls a method, and how often."""
        authenticate, rate = self.authenticate, self._rate if method.is_charged else None
        lacks_scope = method.scopes.isdisjoint

        def check(context: ServicerContext[Any, Any]) -> None:
            if authenticate is not None:
                caller = authenticate(context)
                if lacks_scope(caller.scopes):
                    raise _scope_missing(caller, method)
                current_caller.set(caller)
            if rate is not None:
                rate.charge(context)

        return check

    def _slots_of(self, method: MethodClass) -> Slots:
        return self.streams if method.time_limit_s is None else self.slots

    async def _refuse(self, context: ServicerContext[Any, Any], failed: CallFailed, slots: Slots) -> None:
        if slots is self.slots:  # and not those of streams
            await self.refusals.may_go()
        await context.abort(*status_of(failed))

    def _leave(self, slots: Slots) -> None:
        slots.in_use -= 1
        if self._is_draining:
            self.refusals.call_ended()
            if not self.in_flight:
                self._idle.set()


def _scope_missing(caller: Caller, method: MethodClass) -> CallFailed:
    log.debug("caller_refused", problem="scope_missing", scope=method.weakest_scope, **caller.named)
    return CallFailed(Failure(reasons.ERROR_REASON_SCOPE_MISSING, {"scope": method.weakest_scope}))


def _failed(reason: int) -> CallFailed:
    return CallFailed(Failure(reason))


def _overdue(method: MethodClass) -> CallFailed:
    """What ends a call that its limit has cancelled: a change may have been sent to a server before."""
    unknown, nothing_done = reasons.ERROR_REASON_OUTCOME_UNKNOWN, reasons.ERROR_REASON_DEADLINE_TOO_SHORT
    return _failed(unknown if method.changes else nothing_done)


def safe_deserializer(deserialize: Callable[[bytes], Any] | None) -> Callable[[bytes], Any]:
    """A deserializer that never raises."""
    assert deserialize is not None

    def safe(raw: bytes) -> Any:
        try:
            return deserialize(raw)
        except Exception:  # noqa: BLE001  (protobuf's runtimes raise different things for the same bytes)
            return UNPARSABLE

    return safe


def _serialized(response: Any) -> bytes:
    """A response that a servicer has already serialized is sent as it is."""
    return response if type(response) is bytes else response.SerializeToString()
