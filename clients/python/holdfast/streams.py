"""What a call with many answers returns: an iterator that can be ended at any time, and from any thread."""

import asyncio
import os
from abc import abstractmethod
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from types import TracebackType
from typing import Protocol, Self, TypeVar

from holdfast.connections import Connections, Pool
from holdfast.errors import Closed, Details

Answer = TypeVar("Answer", covariant=True)


class Cancellable(Protocol):
    """A call of gRPC, or a task."""

    def cancel(self) -> bool:
        """End it."""


class Stream(AsyncIterator[Answer]):
    """Iterates over the answers of one call, once.

    The call ends with the iteration: when the server ends it, when it raises an error or is cancelled, when the loop
    over it is left, or by `aclose`, which `async with` calls. If the stream has a name, it does not end with the loop.
    """

    changes_something = False  # whether what has not been answered may have been done

    def __init__(self, pool: Pool, ids: Mapping[str, str]) -> None:
        self._pool = pool
        self._ids = ids
        self._process = os.getpid()
        self._loop: asyncio.AbstractEventLoop | None = None  # that of the first answer
        self._running: Cancellable | None = None  # what is cancelled when the stream ends
        self._waiting: asyncio.Timeout | None = None  # while a task waits for the next answer
        self._has_ended = False

    def __del__(self) -> None:
        self.cancel_soon()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def __anext__(self) -> Answer:
        """The next answer."""
        if self._waiting:
            raise RuntimeError("Another task waits for the next answer already.")
        if self._has_ended:
            raise StopAsyncIteration
        try:
            return await self._wait(self._pool.connections())
        except BaseException:  # whatever ends the iteration ends the call
            await self.aclose()
            raise

    async def aclose(self) -> None:
        """End the call; a task that waits for the next answer finds that there is none."""
        self._has_ended = True
        if self._waiting and not self._waiting.expired():
            self._waiting.reschedule(0)
        elif self._running is not None and self._process == os.getpid():
            self._running.cancel()
            self._running = None

    def cancel_soon(self) -> None:
        """End the call from whichever thread; that of a process before a fork is left alone."""
        if self._loop is not None and self._running is not None and self._process == os.getpid():
            with suppress(RuntimeError):  # a loop that is closed has ended its calls
                self._loop.call_soon_threadsafe(self._running.cancel)

    async def _wait(self, connections: Connections) -> Answer:
        self._loop = connections.loop
        try:
            async with asyncio.timeout(None) as self._waiting:
                with connections.under_way(self._waiting):
                    return await self._next(connections)
        except TimeoutError:
            if self._has_ended:
                raise StopAsyncIteration from None
            if not self._pool.is_closed:
                raise  # an interceptor's own
            closed = Closed(message="The client was closed.", details=Details(ids=self._ids))
            closed.outcome_unknown = self.changes_something
            raise closed from None
        finally:
            self._waiting = None

    @abstractmethod
    async def _next(self, connections: Connections) -> Answer:
        """Wait for the next answer; StopAsyncIteration if there is none."""
