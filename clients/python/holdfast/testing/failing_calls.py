"""Carries out failures on order: outside of everything that the server does with a call."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from re import Match
from typing import Any, TypeAlias

import grpc
from grpc.aio import ServicerContext

from holdfast.testing.failures import FailureOrder, Failures
from inventory_service.rpc.middleware import Middleware
from inventory_service.rpc.plain_requests import message_of
from inventory_service.rpc.registered import Handler

Context: TypeAlias = "ServicerContext[Any, Any]"
Behaviour = Callable[[Any, Context], Awaitable[Any]]
Received = Callable[[str, Any], None]  # the method's name, and the request or, of a stream of requests, None


class FailingMiddleware(Middleware):
    """The server's middleware, behind what the test ordered."""

    def __init__(self, failures: Failures, received: Received, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._failures = failures
        self._received = received

    def wrap(self, service: str, methods: Mapping[str, Handler]) -> dict[str, Handler]:
        """The methods of one service, wrapped twice."""
        failing = _Failing(self._failures, self._received)
        return {name: failing.wrap(name, handler) for name, handler in super().wrap(service, methods).items()}


class _Failing:
    def __init__(self, failures: Failures, received: Received) -> None:
        self._failures = failures
        self._received = received

    def wrap(self, name: str, inner: Handler) -> Handler:
        coders = {"request_deserializer": inner.request_deserializer, "response_serializer": inner.response_serializer}
        if inner.unary_unary is not None:
            return grpc.unary_unary_rpc_method_handler(self._unary(name, inner.unary_unary), **coders)
        if inner.unary_stream is not None:
            return grpc.unary_stream_rpc_method_handler(self._stream(name, inner.unary_stream), **coders)
        assert inner.stream_stream is not None, "no method of the API streams requests alone"
        return grpc.stream_stream_rpc_method_handler(self._stream(name, inner.stream_stream), **coders)

    def _unary(self, name: str, behaviour: Any) -> Any:
        async def call(request: Any, context: Context) -> Any:
            self._received(name, message_of(request) if isinstance(request, Match) else request)
            order = self._failures.take(name)
            if order is None:
                return await behaviour(request, context)
            if not order.done:
                await _delay_and_fail(order, context)
                return await behaviour(request, context)
            response = await behaviour(request, context)
            await _delay_and_fail(order, context)
            return response

        return call

    def _stream(self, name: str, behaviour: Any) -> Any:
        async def call(request: Any, context: Context) -> None:
            self._received(name, None if hasattr(request, "__aiter__") else request)
            order = self._failures.take(name)
            if order is None:
                await behaviour(request, context)
                return
            if order.status is not None and (order.done or order.messages):
                await _send_some(order.messages, behaviour, request, context)
                await _delay_and_fail(order, context)
            else:
                await _delay_and_fail(order, context)
                await behaviour(request, context)

        return call


async def _delay_and_fail(order: FailureOrder, context: Context) -> None:
    """Raises unless the call is only delayed."""
    await asyncio.sleep(order.delay_s)
    if order.status is not None:
        await context.abort(*order.status)


async def _send_some(messages: int, behaviour: Behaviour, request: Any, context: Context) -> None:
    """Run a stream until it has one more message than that, or ends."""
    limited: Any = _LimitedContext(context, messages)
    stream = asyncio.ensure_future(behaviour(request, limited))
    full = asyncio.ensure_future(limited.full.wait())
    try:
        await asyncio.wait((stream, full), return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (stream, full):
            task.cancel()
        await asyncio.gather(stream, full, return_exceptions=True)
    if not stream.cancelled():
        stream.result()


class _LimitedContext:
    """A stream's context that sends so many messages; the next one waits for ever."""

    def __init__(self, context: Context, messages: int) -> None:
        self._context = context
        self._left = messages
        self.full = asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    async def write(self, message: Any) -> None:
        if not self._left:
            self.full.set()
            await asyncio.Event().wait()  # the task that runs the stream is cancelled
        self._left -= 1
        await self._context.write(message)
