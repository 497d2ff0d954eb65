"""Requests of a caller without an event loop: taken in a thread of their own, since the next may be long in coming."""

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterator, Iterable
from typing import TypeVar

Request = TypeVar("Request")

MOST_AHEAD = 64  # requests that are taken before they can be sent; each costs a change of threads otherwise


class ThreadedRequests(AsyncIterator[Request]):
    """Iterates over what a thread takes from an ordinary iterable, which other threads do not touch."""

    def __init__(self, requests: Iterable[Request]) -> None:
        self._requests = requests
        self._taken: deque[Request] = deque()
        self._arrived = asyncio.Event()
        self._room = threading.Semaphore(MOST_AHEAD)
        self._error: BaseException | None = None
        self._is_over = False
        self._is_closed = False
        self._thread: threading.Thread | None = None

    async def __anext__(self) -> Request:
        """The next request, or the exception of the iterable once all requests before it were returned."""
        if self._thread is None:
            loop = asyncio.get_running_loop()
            self._thread = threading.Thread(target=self._take, args=(loop,), name="holdfast-requests", daemon=True)
            self._thread.start()
        while not self._taken:
            if self._is_over:
                raise self._error or StopAsyncIteration
            self._arrived.clear()
            await self._arrived.wait()
        self._room.release()
        return self._taken.popleft()

    def close(self) -> None:
        """Let the thread end, as soon as the iterable lets it."""
        self._is_closed = True
        self._room.release()

    def _take(self, loop: asyncio.AbstractEventLoop) -> None:
        try:
            iterator = iter(self._requests)
            while self._room.acquire() and not self._is_closed:
                self._taken.append(next(iterator))
                if len(self._taken) == 1:
                    self._tell(loop)
        except StopIteration:
            pass
        except BaseException as error:  # noqa: BLE001 - of the caller's iterable: the caller gets it with the answers
            self._error = error
        self._is_over = True
        self._tell(loop)

    def _tell(self, loop: asyncio.AbstractEventLoop) -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(self._arrived.set)
