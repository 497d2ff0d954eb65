"""Runs a `Client` on an event loop in a thread of its own, and waits for its answers."""

import asyncio
import copy
import os
import threading
from collections.abc import Coroutine
from concurrent.futures import CancelledError, Future
from types import TracebackType
from typing import Any, NamedTuple, Self, TypeVar

from holdfast.access import Metadata
from holdfast.blocking_iterators import BlockingPages, BlockingStream
from holdfast.client import Client
from holdfast.connections import check_not_forked
from holdfast.errors import Closed
from holdfast.pages import Element, Page, Pages
from holdfast.retry import RetryPolicy
from holdfast.streams import Stream

Response = TypeVar("Response")
Answer = TypeVar("Answer")


class EventLoopThread:
    """The part of `BlockingClient` that is written by hand: how it waits and ends, and its variants."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._thread = LoopThread(client)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections and end the thread; calls of other threads that are under way end with `Closed`."""
        self._thread.close()

    def with_options(
        self, *, timeout_s: float | None = None, retry: RetryPolicy | None = None, metadata: Metadata = ()
    ) -> Self:
        """The same client for some calls: with another patience, or with metadata that these calls carry.

        It has the same connections, and closing either closes both. `timeout_s` goes before the `overall_s` and the
        `audit_s` of `retry`. With another `repeats_per_s` it has a budget for repeats of its own: make it once, and not
        for each call.
        """
        other = copy.copy(self)
        other._client = self._client.with_options(timeout_s=timeout_s, retry=retry, metadata=metadata)
        return other

    def _pages(self, pages: Pages[Element, Page]) -> BlockingPages[Element, Page]:
        """A list whose pages are read on the loop."""
        return BlockingPages(pages, self._wait)

    def _stream(self, stream: Stream[Answer]) -> BlockingStream[Answer]:
        """The answers of a stream that runs on the loop."""
        return BlockingStream(stream, self._wait)

    def _wait(self, answer: Coroutine[Any, Any, Response]) -> Response:
        """The result of a coroutine that runs on the loop; the retry policy says how long that may take.

        An exception that interrupts the wait, such as that of Ctrl-C, cancels the call.
        """
        future = self._thread.start(answer)
        try:
            return future.result()
        except CancelledError:  # of the loop, which ended before the answer
            raise Closed from None
        except BaseException:  # Ctrl-C too: the call must not go on behind the caller's back
            future.cancel()
            raise


class Running(NamedTuple):
    """A loop that runs until `stop` is set on it, in one process and in none that is forked from it."""

    process: int
    thread: threading.Thread
    loop: asyncio.AbstractEventLoop
    stop: asyncio.Event


class LoopThread:
    """An event loop in a thread of its own, from the first coroutine on; it closes the client when it ends."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._lock = threading.Lock()  # no coroutine is started once the loop is about to end
        self._running: Running | None = None
        self._is_closed = False

    def start(self, coroutine: Coroutine[Any, Any, Response]) -> "Future[Response]":
        """Start a coroutine on the loop; raises `Closed` if there can be none, or what keeps it from being made."""
        try:
            check_not_forked()
            with self._lock:
                if not self._is_closed and (self._running is None or self._running.process != os.getpid()):
                    self._running = self._run()
                if self._running is None or self._is_closed or not self._running.thread.is_alive():
                    raise Closed
                return asyncio.run_coroutine_threadsafe(coroutine, self._running.loop)
        except Exception:  # whatever it is, the coroutine was never begun, and Python would warn of that
            coroutine.close()
            raise

    def close(self) -> None:
        """End the loop, and wait for its end; the thread of a process before a fork is left alone."""
        with self._lock:
            is_first, self._is_closed = not self._is_closed, True
        if self._running is not None and self._running.thread.is_alive():
            if is_first:
                self._running.loop.call_soon_threadsafe(self._running.stop.set)
            self._running.thread.join()

    def _run(self) -> Running:
        started: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = Future()

        async def run() -> None:
            async with self._client:
                stop = asyncio.Event()
                started.set_result((asyncio.get_running_loop(), stop))
                await stop.wait()

        def run_loop() -> None:
            try:
                with asyncio.Runner() as runner:
                    runner.run(run())
            except BaseException as error:  # whatever keeps the loop from running, the caller must not wait for it
                if started.done():
                    raise
                started.set_exception(error)

        thread = threading.Thread(target=run_loop, name="holdfast-client", daemon=True)
        thread.start()
        return Running(os.getpid(), thread, *started.result())
