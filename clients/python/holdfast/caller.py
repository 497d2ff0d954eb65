"""Sends a request, and repeats it until it is answered: what all methods of the client have in common."""

import asyncio
import copy
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from types import TracebackType
from typing import Self, TypeVar

import grpc
from google.protobuf.message import Message
from grpc import aio

from holdfast.access import Access, Metadata, Token, with_token
from holdfast.connections import Connections, Pool, Stubs
from holdfast.errors import Closed, Details, HoldfastError, NoAnswer, TokenUnavailable
from holdfast.retry import GRACE_S, Attempts, RetryBudget, RetryPolicy
from holdfast.statuses import error_from_rpc, ids_of

Request = TypeVar("Request", bound=Message)
Response = TypeVar("Response")
Method = Callable[[Stubs], aio.UnaryUnaryMultiCallable[Request, Response]]


class Caller:
    """Calls servers over a pool of connections, as often as its policy allows."""

    def __init__(self, access: Access, retry: RetryPolicy | None, token: Token | None) -> None:
        self._pool = Pool(access)
        self._retry = retry or RetryPolicy()
        self._budget = RetryBudget(self._retry.repeats_per_s)
        self._token = token
        self._metadata: Metadata = ()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def with_options(
        self, *, timeout_s: float | None = None, retry: RetryPolicy | None = None, metadata: Metadata = ()
    ) -> Self:
        """The same client for some calls: with another patience, or with metadata that these calls carry.

        It has the same connections, and closing either closes both. `timeout_s` goes before the `overall_s` and the
        `audit_s` of `retry`. With another `repeats_per_s` it has a budget for repeats of its own: make it once, and not
        for each call.
        """
        other = copy.copy(self)
        other._retry = retry or self._retry
        if other._retry.repeats_per_s != self._retry.repeats_per_s:
            other._budget = RetryBudget(other._retry.repeats_per_s)
        if timeout_s is not None:
            other._retry = replace(other._retry, overall_s=timeout_s, audit_s=timeout_s)
        other._metadata = (*self._metadata, *metadata)
        return other

    async def close(self) -> None:
        """Close the connections for good; calls that are under way end with `Closed` before this returns."""
        await self._pool.close()

    async def _ask(
        self, method: Method[Request, Response], request: Request, *, attempt_s: float | None = None
    ) -> Response:
        """Send one request until it is answered or the patience is spent; an unchanged request is never done twice.

        An attempt lasts `attempt_s`, or by default as long as a server needs that has to ask the ledger.
        """
        connections = self._pool.connections()
        attempts = Attempts(self._retry, self._budget, attempt_s=attempt_s or self._ledger_attempt_s)
        answering = self._until_answered(method, request, attempts, connections.in_turn())
        return await self._within_patience(answering, connections, attempts, request)

    async def _within_patience(
        self, work: Awaitable[Response], connections: Connections, attempts: Attempts, request: Message
    ) -> Response:
        """Wait for what makes these attempts, until the patience is spent or the client is closed."""
        try:
            async with asyncio.timeout(self._retry.overall_s + GRACE_S) as limit:
                with connections.under_way(limit):
                    return await work
        except TimeoutError:
            if not limit.expired():
                raise  # an interceptor's own
            raise self._ended(request, attempts) from None

    async def _read(
        self, method: Method[Request, Response], request: Request, *, attempt_s: float | None = None
    ) -> Response:
        """Send a request that changes nothing, as `_ask` does: nothing is unknown after it."""
        try:
            return await self._ask(method, request, attempt_s=attempt_s)
        except HoldfastError as error:
            error.outcome_unknown = False
            raise

    async def _until_answered(
        self, method: Method[Request, Response], request: Request, attempts: Attempts, servers: Iterator[Stubs]
    ) -> Response:
        while True:
            metadata = self._metadata_of(request, attempts.outcome_unknown)
            call = method(next(servers))(request, timeout=attempts.begin(), metadata=metadata)
            try:
                return await call
            except aio.AioRpcError as failure:
                error = error_from_rpc(failure, request)
            await asyncio.sleep(attempts.delay_after(error))

    @property
    def _ledger_attempt_s(self) -> float:
        return max(self._retry.attempt_s, self._retry.ledger_attempt_s)

    def _metadata_of(self, request: Message, outcome_unknown: bool = False) -> Metadata:
        try:
            return with_token(self._metadata, self._token)
        except Exception as cause:  # of the caller's own function: an attempt before may have done what is asked
            why = f"There is no token to send: {type(cause).__name__}: {cause}"
            error = TokenUnavailable(grpc.StatusCode.UNAUTHENTICATED, why, Details(ids=ids_of(request)))
            error.outcome_unknown = outcome_unknown
            raise error from cause

    def _ended(self, request: Message, attempts: Attempts) -> HoldfastError:
        """The error of a call that was ended by `close` or, if gRPC kept no deadline, by the clock."""
        details = Details(ids=ids_of(request))
        if not self._pool.is_closed:
            return NoAnswer(grpc.StatusCode.DEADLINE_EXCEEDED, "No answer came in time.", details)
        closed = Closed(message="The client was closed during the call.", details=details)
        closed.outcome_unknown = attempts.outcome_unknown
        return closed
