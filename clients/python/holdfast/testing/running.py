"""Runs a server for tests on an event loop in a thread of its own, and lets other threads act on it."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from holdfast.testing.construction import Parts

DRAIN_S = 1.0  # for calls under way when the test ends
Result = TypeVar("Result")


class Running:
    """A server that listens, on an event loop in a thread of its own."""

    def __init__(self, build_parts: Callable[[], Parts]) -> None:
        started: Future[tuple[str, Parts, asyncio.AbstractEventLoop, asyncio.Event]] = Future()
        self._thread = threading.Thread(
            target=_run_thread, args=(build_parts, started), name="holdfast-testing", daemon=True
        )
        self._thread.start()
        self.address, self._parts, self._loop, self._stop = started.result()

    def do(self, act: Callable[[Parts], Result]) -> Result:
        """Call a function on the loop, and return what it returns or raise what it raises."""
        if not self._thread.is_alive():
            raise RuntimeError("the server has stopped")

        async def call() -> Result:
            return act(self._parts)

        return asyncio.run_coroutine_threadsafe(call(), self._loop).result()

    def stop(self) -> None:
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join()


def _run_thread(build_parts: Callable[[], Parts], started: "Future[Any]") -> None:
    async def run() -> None:
        asyncio.get_running_loop().set_exception_handler(_leave_out_what_is_of_closed_loops)
        parts, stop = build_parts(), asyncio.Event()
        address = await parts.server.start("127.0.0.1:0")
        started.set_result((address, parts, asyncio.get_running_loop(), stop))
        await stop.wait()
        await parts.middleware.drain(DRAIN_S)
        await parts.server.stop(DRAIN_S)

    try:
        with asyncio.Runner() as runner:
            runner.run(run())
    except BaseException as error:  # whatever keeps the server from running, the test must not wait for it
        if started.done():
            raise
        started.set_exception(error)


def _leave_out_what_is_of_closed_loops(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """gRPC hands this loop the last events of clients too, whose loops may have ended: they miss nothing."""
    is_of_grpc = "PollerCompletionQueue" in repr(context.get("handle"))
    if not (is_of_grpc and isinstance(context.get("exception"), RuntimeError)):
        loop.default_exception_handler(context)
