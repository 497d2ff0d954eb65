"""Sends a request, and repeats it until it is answered: what all methods of the client have in common."""

import asyncio
import weakref
from collections.abc import Callable
from types import TracebackType
from typing import Self, TypeVar

import grpc
from google.protobuf.message import Message
from grpc import aio

from holdfast.connections import CHANNEL_OPTIONS, Connections, Stubs, check_not_forked
from holdfast.errors import Closed, Details, HoldfastError, NoAnswer
from holdfast.retry import Attempts, RetryBudget, RetryPolicy
from holdfast.statuses import error_from_rpc, ids_of

Request = TypeVar("Request", bound=Message)
Response = TypeVar("Response")
Method = Callable[[Stubs], aio.UnaryUnaryMultiCallable[Request, Response]]

GRACE_S = 1.0  # for gRPC to end the last attempt at its deadline


class Caller:
    """Calls servers over several connections, which open when an event loop first uses them."""

    def __init__(self, address: str, channels: int, retry: RetryPolicy | None, use_proxy: bool) -> None:
        self._servers = address.split(",")
        self._channels = channels
        self._retry = retry or RetryPolicy()
        self._budget = RetryBudget(self._retry.repeats_per_s)
        # gRPC uses http_proxy even for loopback, which a proxy of the whole machine cannot reach.
        self._options = (*CHANNEL_OPTIONS, ("grpc.enable_http_proxy", int(use_proxy)))
        self._connections: dict[asyncio.AbstractEventLoop, Connections] = {}
        self._is_closed = False
        weakref.finalize(self, _drop, self._connections).atexit = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections for good; calls that are under way end with `Closed` before this returns."""
        self._is_closed = True
        connections = list(self._connections.values())
        self._connections.clear()
        for each in connections:
            await each.end()

    def _connect(self) -> Connections:
        """The connections on the running loop."""
        check_not_forked()
        if self._is_closed:
            raise Closed
        loop = asyncio.get_running_loop()
        if loop not in self._connections:
            for ended in [other for other in self._connections if other.is_closed()]:
                self._connections.pop(ended).drop()
            self._connections[loop] = Connections(self._servers, self._channels, self._options)
        return self._connections[loop]

    async def _ask(
        self, method: Method[Request, Response], request: Request, *, attempt_s: float | None = None
    ) -> Response:
        """Send one request until it is answered or the patience is spent; an unchanged request is never done twice.

        An attempt lasts `attempt_s`, or by default as long as a server needs that has to ask the ledger.
        """
        connections = self._connect()
        attempt_s = attempt_s or max(self._retry.attempt_s, self._retry.ledger_attempt_s)
        attempts = Attempts(self._retry, self._budget, attempt_s=attempt_s)
        try:
            async with asyncio.timeout(self._retry.overall_s + GRACE_S) as limit:
                with connections.under_way(limit):
                    return await _until_answered(method, request, attempts, connections)
        except TimeoutError:
            raise self._ended(request, attempts) from None

    def _ended(self, request: Message, attempts: Attempts) -> HoldfastError:
        """The error of a call that was ended by `close` or, if gRPC kept no deadline, by the clock."""
        details = Details(ids=ids_of(request))
        if not self._is_closed:
            return NoAnswer(grpc.StatusCode.DEADLINE_EXCEEDED, "No answer came in time.", details)
        closed = Closed(message="The client was closed during the call.", details=details)
        closed.outcome_unknown = attempts.outcome_unknown
        return closed


async def _until_answered(
    method: Method[Request, Response], request: Request, attempts: Attempts, connections: Connections
) -> Response:
    for stubs in connections.in_turn():
        try:
            return await method(stubs)(request, timeout=attempts.begin())
        except aio.AioRpcError as failure:
            error = error_from_rpc(failure, request)
        await asyncio.sleep(attempts.delay_after(error))
    raise AssertionError("the turns have no end")


def _drop(connections: dict[asyncio.AbstractEventLoop, Connections]) -> None:
    for each in connections.values():
        each.drop()
