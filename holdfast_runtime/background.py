"""Keeps running what a process does beside its main work, although an unhandled exception ended it."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from holdfast_runtime.retry import Backoff

FIRST_DELAY_S, LONGEST_DELAY_S = 1.0, 30.0
STABLE_S = 60.0  # what ran this long begins again after the first delay
log = structlog.get_logger()


async def keep_running(run: Callable[[], Awaitable[None]]) -> None:
    """Run it until this is cancelled or `run` returns. An exception, which is a bug, is logged, and it begins again."""
    backoff, clock = Backoff(FIRST_DELAY_S, LONGEST_DELAY_S), asyncio.get_running_loop().time
    while True:
        began = clock()
        try:
            return await run()
        except Exception:  # any bug: what runs in the background must not end for good
            if clock() - began >= STABLE_S:
                backoff.reset()
            delay_s = backoff.take()
            log.exception("background_work_failed", work=run.__qualname__, again_in_s=round(delay_s, 1))
            await asyncio.sleep(delay_s)
