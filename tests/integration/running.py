"""Runs a process of Holdfast as a task of the test's own."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager


@asynccontextmanager
async def running(run: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
    """A process as a task: it must still run at the end, when it is cancelled."""
    async with AsyncExitStack() as stack:
        task = asyncio.ensure_future(run())
        stack.callback(task.cancel)
        yield
        assert not task.done(), task.exception()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
