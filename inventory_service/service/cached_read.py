"""Reads that many calls share: one at a time, whose result stands for a while."""

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import Context
from time import perf_counter
from typing import Generic, TypeVar

T = TypeVar("T")


class CachedRead(Generic[T]):
    """The result of a read that began at most `max_age_s` seconds ago, or has not ended. The read may not raise."""

    def __init__(self, read: Callable[[], Awaitable[T]], max_age_s: float) -> None:
        self._read = read
        self._max_age_s = max_age_s
        self._began = 0.0
        self._reading: asyncio.Task[T] | None = None

    async def get(self) -> T:
        """A caller that leaves cancels nothing, and one's deadline is not that of the others."""
        if self._reading is None or (self._reading.done() and perf_counter() - self._began >= self._max_age_s):
            self._began = perf_counter()
            self._reading = asyncio.create_task(self._run(), context=Context())
        return await asyncio.shield(self._reading)

    async def _run(self) -> T:
        return await self._read()
