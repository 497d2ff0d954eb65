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

# The calls of a process before a fork: to free them in the process that was forked would end it.
_kept_over_forks: list[object] = []


class Cancellable(Protocol):
    """A call of gRPC, or a task."""

    def cancel(self) -> bool:
        """End it."""


class Stream(AsyncIterator[Answer]):
    """Iterates over the answers of one call, once.

    The call ends with the iteration: when the server ends it, when it raises an error or is cancelled, when the loop
    over it is left, or by `aclose`, which `async with` calls. If the stream has a name, it does not end with the loop.
    """

    def __init__(self, pool: Pool, ids: Mapping[str, str]) -> None:
        self._pool = pool
        self._ids = ids
        self._process = os.getpid()
        self._loop: asyncio.AbstractEventLoop | None = None  # that of the first answer
        self._running: Cancellable | None = None  # what is cancelled when the stream ends
        self._waiting: asyncio.Timeout | None = None  # while a task waits for the next answer
        self._has_ended = False

    def __del__(self) -> None:
        if self._running is not None:
            if self._process == os.getpid():
                self.cancel_soon()
            else:
                _kept_over_forks.append(self._running)

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
        """End the call from whichever thread."""
        if self._loop is not None and self._running is not None:
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
            if self._pool.is_closed:
                raise Closed(message="The client was closed.", details=Details(ids=self._ids)) from None
            raise  # an interceptor's own
        finally:
            self._waiting = None

    @abstractmethod
    async def _next(self, connections: Connections) -> Answer:
        """Wait for the next answer; StopAsyncIteration if there is none."""
