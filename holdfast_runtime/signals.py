"""Ends work on SIGTERM and SIGINT, each process with the exit code that its work deserves."""

import asyncio
import signal
from collections.abc import Coroutine
from typing import Any

import structlog

INTERRUPTED = 130
log = structlog.get_logger()


def signals() -> "asyncio.Queue[signal.Signals]":
    """A queue of SIGTERM and SIGINT, in the place of what they do by themselves."""
    received: asyncio.Queue[signal.Signals] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, received.put_nowait, number)
    return received


async def run_until_signal(work: Coroutine[Any, Any, None]) -> int:
    """Work that has no end by itself: a signal ends it with exit code 0."""
    if await first_to_end(work, signals().get()):
        log.error("ended", why="its work ended without a signal")
        return 1
    log.info("stopped")
    return 0


async def run_unless_signalled(work: Coroutine[Any, Any, int]) -> int:
    """Work that ends with an exit code; interrupted it has none, and must not look as if all were well."""
    task = asyncio.create_task(work)
    await first_to_end(task, signals().get())
    return INTERRUPTED if task.cancelled() else task.result()


async def first_to_end(first: "Coroutine[Any, Any, Any] | asyncio.Task[Any]", second: Coroutine[Any, Any, Any]) -> bool:
    """Wait for whichever ends first and cancel the other; True if `second` has not ended. What one raised is raised.

    Both may end in the same moment, as when the whole process was halted meanwhile, and no signal would come again.
    """
    tasks = [first if isinstance(first, asyncio.Task) else asyncio.create_task(first), asyncio.create_task(second)]
    done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
    await asyncio.gather(*pending, return_exceptions=True)
    for task in done:
        task.result()
    return tasks[1] not in done
