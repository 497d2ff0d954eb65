"""End work by the polite signals, SIGTERM and SIGINT, each process with the exit code that its work deserves."""

import asyncio
import signal
from collections.abc import Coroutine
from typing import Any

import structlog

INTERRUPTED = 130
log = structlog.get_logger()


def signals() -> "asyncio.Queue[signal.Signals]":
    """A queue of the polite signals, in the place of what they do by themselves."""
    told: asyncio.Queue[signal.Signals] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told.put_nowait, number)
    return told


async def until_told(work: Coroutine[Any, Any, None]) -> int:
    """Work that has no end by itself: a signal ends it, and that is as it should be."""
    if await either(work, signals().get()):
        log.error("ended", why="nobody told it to")
        return 1
    log.info("stopped")
    return 0


async def unless_told(work: Coroutine[Any, Any, int]) -> int:
    """Work that ends with an exit code; interrupted it has none, and must not look as if all were well."""
    task = asyncio.create_task(work)
    await either(task, signals().get())
    return INTERRUPTED if task.cancelled() else task.result()


async def either(first: "Coroutine[Any, Any, Any] | asyncio.Task[Any]", second: Coroutine[Any, Any, Any]) -> bool:
    """Wait for whichever ends first and cancel the other; True if `second` has not ended. What one raised is raised.

    Both may end in the same moment, as when the whole process was halted meanwhile, and nobody would signal again.
    """
    tasks = [first if isinstance(first, asyncio.Task) else asyncio.create_task(first), asyncio.create_task(second)]
    done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
    await asyncio.gather(*pending, return_exceptions=True)
    for task in done:
        task.result()
    return tasks[1] not in done
