"""Watches: the messages of one server after the other, until there are no more."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Generic, TypeVar

import grpc
from google.protobuf.message import Message
from grpc import aio

from holdfast.access import Metadata
from holdfast.connections import Connections, Pool, Stubs
from holdfast.errors import Details, NoAnswer
from holdfast.retry import GRACE_S, Attempts, RetryPolicy
from holdfast.statuses import error_from_rpc, ids_of
from holdfast.streams import Stream

Request = TypeVar("Request", bound=Message)
Response = TypeVar("Response")


class Watch(Stream[Response], Generic[Request, Response]):
    """Asks the next server whenever one ends the watch early, is lost or falls silent.

    The patience of the client is for the time without a message after that, and begins anew with each message. These
    repeats need no budget: a watch makes one in `longest_delay_s`, and an application has few of them.
    """

    def __init__(
        self,
        method: Callable[[Stubs], aio.UnaryStreamMultiCallable[Request, Response]],
        request: Request,
        metadata_of: Callable[[Message], Metadata],
        pool: Pool,
        retry: RetryPolicy,
        quiet_s: float,  # a server that sends nothing for longer is taken for lost
    ) -> None:
        super().__init__(pool, ids_of(request))
        self._method = method
        self._request = request
        self._metadata_of = metadata_of
        self._retry = retry
        self._quiet_s = quiet_s
        self._limit_s = quiet_s  # for the next message
        self._servers: Iterator[Stubs] | None = None
        self._messages: AsyncIterator[Response] | None = None  # of the call that is out
        self._attempts: Attempts | None = None  # those since the last message

    async def _next(self, connections: Connections) -> Response:
        """The next message, from whichever server; StopAsyncIteration once a server says that there are no more."""
        while True:
            messages = self._messages or self._begin(connections)
            try:
                async with asyncio.timeout(self._limit_s) as silence:
                    message = await anext(messages)
            except aio.AioRpcError as failure:
                error = error_from_rpc(failure, self._request)
            except TimeoutError:
                if not silence.expired():
                    raise  # an interceptor's own
                error = NoAnswer(grpc.StatusCode.DEADLINE_EXCEEDED, "No message came in time.", Details(ids=self._ids))
            else:
                self._attempts, self._limit_s = None, self._quiet_s
                return message
            self._messages = self._running = None
            error.outcome_unknown = False  # it only reads
            await asyncio.sleep(self._attempts_so_far().delay_after(error))

    def _begin(self, connections: Connections) -> AsyncIterator[Response]:
        """Ask the next server."""
        self._servers = self._servers or connections.in_turn()
        self._limit_s = self._attempts_so_far().begin() + GRACE_S
        call = self._method(next(self._servers))(self._request, metadata=self._metadata_of(self._request))
        self._running, self._messages = call, aiter(call)
        return self._messages

    def _attempts_so_far(self) -> Attempts:
        if self._attempts is None:
            self._attempts = Attempts(self._retry, None, attempt_s=self._retry.ledger_attempt_s)
        return self._attempts
