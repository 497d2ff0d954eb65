"""Runs a `Client` on an event loop in a thread of its own, and waits for its answers."""

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import CancelledError, Future
from types import TracebackType
from typing import Any, NamedTuple, Self, TypeVar

from holdfast.client import Client
from holdfast.connections import check_not_forked
from holdfast.errors import Closed

Response = TypeVar("Response")


class Running(NamedTuple):
    """A loop that runs until `stop` is set on it."""

    thread: threading.Thread
    loop: asyncio.AbstractEventLoop
    stop: asyncio.Event


class EventLoopThread:
    """The part of `BlockingClient` that is written by hand: how it starts, waits and ends."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._lock = threading.Lock()  # nothing is handed to the loop once it is about to end
        self._running: Running | None = None  # from the first call on
        self._is_closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections and end the thread; calls of other threads that are under way end with `Closed`."""
        with self._lock:
            is_first, self._is_closed = not self._is_closed, True
        if self._running is not None and self._running.thread.is_alive():
            if is_first:
                self._running.loop.call_soon_threadsafe(self._running.stop.set)
            self._running.thread.join()

    def _wait(self, answer: Coroutine[Any, Any, Response]) -> Response:
        """The result of a coroutine that runs on the loop; the retry policy says how long that may take.

        An exception that interrupts the wait, such as that of Ctrl-C, cancels the call.
        """
        future = self._hand_over(answer)
        try:
            return future.result()
        except CancelledError:  # of the loop, which ended before the answer
            raise Closed from None
        except BaseException:
            future.cancel()
            raise

    def _hand_over(self, answer: Coroutine[Any, Any, Response]) -> "Future[Response]":
        try:
            check_not_forked()
            with self._lock:
                if self._running is None and not self._is_closed:
                    self._running = _start(self._client)
                if self._running is None or self._is_closed or not self._running.thread.is_alive():
                    raise Closed
                return asyncio.run_coroutine_threadsafe(answer, self._running.loop)
        except Closed:
            answer.close()  # it was never begun
            raise


def _start(client: Client) -> Running:
    """Start a thread whose loop closes the client when it ends."""
    started: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = Future()

    async def run() -> None:
        async with client:
            stop = asyncio.Event()
            started.set_result((asyncio.get_running_loop(), stop))
            await stop.wait()

    thread = threading.Thread(target=lambda: asyncio.run(run()), name="holdfast-client", daemon=True)
    thread.start()
    return Running(thread, *started.result())
