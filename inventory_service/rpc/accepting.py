"""Accepts calls by the method that gRPC's core finds for each, so that no path that a caller sends is read in Python.

`grpc.aio` decodes the path of each call whose method is not registered, and a path that is not UTF-8 ends its server
object for good. Here every method is registered, and a call of any other is answered without a look at its path. Nor is
the method of a call searched for, which would read all of its headers and leave a reference cycle. This replaces one
loop of `grpc.aio` and uses names inside gRPC: docs/decisions/accepting.md lists them.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any

import grpc
from grpc._cython import cygrpc  # type: ignore[attr-defined]  # gRPC has no types for what is inside

from inventory_service.rpc.registered import Handler

Accept = Callable[[], Awaitable[Any]]
Answer = Callable[[Any, asyncio.AbstractEventLoop], Awaitable[None]]  # a call, from its first message on
_ANSWER: Mapping[tuple[bool, bool], Callable[..., Awaitable[None]]] = {  # by what is a stream: request, response
    (False, False): cygrpc._handle_unary_unary_rpc,
    (False, True): cygrpc._handle_unary_stream_rpc,
    (True, False): cygrpc._handle_stream_unary_rpc,
    (True, True): cygrpc._handle_stream_stream_rpc,
}


class AcceptingServer(cygrpc.AioServer):  # type: ignore[misc]
    """A server object for these methods, by path, with a loop for each in the place of one that waits for all."""

    def __init__(self, methods: Mapping[str, Handler], options: Sequence[tuple[str, int]]) -> None:
        self._own_loop = asyncio.get_running_loop()
        super().__init__(self._own_loop, None, (), (), options, None)
        self.add_registered_method_handlers(dict(methods))
        self._methods = methods
        self._tasks: set[asyncio.Task[None]] = set()  # the event loop itself keeps no reference
        self._loops: set[asyncio.Task[None]] = set()  # of these, those that accept calls
        self._stopped: asyncio.Future[None] = self._own_loop.create_future()
        self._failure: BaseException | None = None

    def bind(self, address: str, credentials: grpc.ServerCredentials | None = None) -> int:
        """Listen at this address, in plaintext without credentials, and return the port; RuntimeError if it cannot."""
        raw = address.encode()
        port: int = self.add_insecure_port(raw) if credentials is None else self.add_secure_port(raw, credentials)
        if not port:
            raise RuntimeError(f"gRPC cannot listen on {address}")
        return port

    async def stop(self, grace_s: float | None) -> None:
        """As of any server of `grpc.aio`, which alone would wait for a loop that has ended by an exception."""
        if self.is_running() and self._failure is not None and not self._stopped.done():
            self._stopped.set_exception(cygrpc._RequestCallError())
        await self.shutdown(grace_s)
        if self._loops:  # or what gRPC still tells them would meet a closed event loop
            await asyncio.wait(self._loops)

    def raise_if_failed(self) -> None:
        """Raise what has ended the loop of a method, if anything has: its calls are accepted no longer."""
        if self._failure is not None:
            raise self._failure

    def _make_request_call_future(self, method: bytes | None) -> "asyncio.Future[None]":
        """Where gRPC asks for the first call of a method, or of none: begin its loop, and return the end of all."""
        accept = self._request_call if method is None else lambda: self._request_registered_call(method)
        name = "" if method is None else method.decode()
        accepting = self._begin(self._accept_calls(name, accept))
        accepting.add_done_callback(self._loop_ended)
        self._loops.add(accepting)
        return self._stopped

    async def _accept_calls(self, name: str, accept: Accept) -> None:
        """Begin each call of one method, as gRPC does, until the server stops."""
        loop, answer = self._own_loop, _answer(self._methods.get(name))
        while True:
            try:
                call = await accept()
            except cygrpc._RequestCallError as error:
                if self.is_running():
                    continue
                if not self._stopped.done():
                    self._stopped.set_exception(error)  # gRPC's loop waits for this
                return
            self._begin(cygrpc._schedule_rpc_coro(answer(call, loop), call, loop, name))

    def _begin(self, work: Any) -> "asyncio.Task[None]":
        task: asyncio.Task[None] = self._own_loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _loop_ended(self, loop_of_method: "asyncio.Task[None]") -> None:
        if not loop_of_method.cancelled():
            failure = loop_of_method.exception()  # read in any case: asyncio logs each that nothing has read
            self._failure = self._failure or failure


def _answer(handler: "Handler | None") -> Answer:
    """What answers the calls of a method; without a handler, UNIMPLEMENTED."""
    if handler is None:
        return lambda call, loop: cygrpc._handle_rpc("", _NoMethods(), (), call, loop, False)
    return partial(_ANSWER[handler.request_streaming, handler.response_streaming], handler)


class _NoMethods:
    """Takes the place of the methods among which gRPC would search."""

    def resolve_handler(self, _details: grpc.HandlerCallDetails) -> None:
        """There is none."""
