"""Runs a `Client` on an event loop in a thread of its own, and waits for its answers."""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Self, TypeVar

from holdfast.client import Client

Response = TypeVar("Response")


class EventLoopThread:
    """The part of `BlockingClient` that is written by hand: how it starts, waits and ends."""

    def __init__(self, make_client: Callable[[], Client]) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="holdfast-client", daemon=True)
        self._thread.start()
        self._client = self._wait(_on_this_loop(make_client))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections and end the thread; calls of other threads that are under way are cancelled."""
        self._wait(self._client.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _wait(self, answer: Coroutine[Any, Any, Response]) -> Response:
        """The result of a coroutine that runs on the loop; the retry policy says how long that may take."""
        return asyncio.run_coroutine_threadsafe(answer, self._loop).result()


async def _on_this_loop(make_client: Callable[[], Client]) -> Client:
    """Channels belong to the loop in which they are made."""
    return make_client()
