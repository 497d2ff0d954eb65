"""Ends work on SIGTERM and SIGINT, and determines the exit code."""

import asyncio
import signal
from collections.abc import Coroutine
from typing import Any

import structlog

INTERRUPTED = 130
log = structlog.get_logger()


def signals() -> "asyncio.Queue[signal.Signals]":
    """A queue that gets SIGTERM and SIGINT, in place of their default handlers."""
    received: asyncio.Queue[signal.Signals] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, received.put_nowait, number)
    return received


async def run_until_signal(work: Coroutine[Any, Any, None]) -> int:
    """Run work that never ends by itself: a signal ends it with exit code 0."""
    if await first_to_end(work, signals().get()):
        log.error("work_ended", why="it ended without a signal")
        return 1
    log.info("stopped")
    return 0


async def run_unless_signalled(work: Coroutine[Any, Any, int]) -> int:
    """Run work that ends with an exit code; a signal ends it with 130, which is not taken for success."""
    task = asyncio.create_task(work)
    await first_to_end(task, signals().get())
    return INTERRUPTED if task.cancelled() else task.result()


async def first_to_end(first: "Coroutine[Any, Any, Any] | asyncio.Task[Any]", second: Coroutine[Any, Any, Any]) -> bool:
    """Wait for the first to end and cancel the other; True if `second` has not ended. An exception of either is raised.

    Both may end at the same moment, for example after SIGSTOP, and a signal is delivered once only.
    """
    tasks = [first if isinstance(first, asyncio.Task) else asyncio.create_task(first), asyncio.create_task(second)]
    done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
    await asyncio.gather(*pending, return_exceptions=True)
    for task in done:
        task.result()
    return tasks[1] not in done
