"""Tells whether calls take longer than usual by more than the machine itself does to them, however busy it is."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from statistics import median_low, quantiles
from typing import NamedTuple

from tests.fault_stack import FaultStack

# A busy machine may do so much, beside what the writes show of it. Whoever asks a server that is away waits for 0.1 s
# at least, and mostly for seconds.
FACTOR, SLACK_S = 3, 0.05
IN_A_ROW = 50  # calls that are judged together
QUANTILES = {"half of the": 9, "one in twenty": 18}  # where `quantiles` has what the median call, and a slow one, took
WRITE_EVERY_S = 0.01


class CallTimes(NamedTuple):
    """How long things took, in the order in which they were done."""

    calls_s: Sequence[float]
    writes_s: Sequence[float]  # of nobody but Redis: whatever slows them slows every call


@asynccontextmanager
async def timing_writes(stack: FaultStack) -> AsyncIterator[Sequence[float]]:
    """Write to Redis again and again inside the block: how long each write took."""
    writes_s: list[float] = []

    async def write() -> None:
        async with stack.redis() as redis:
            while True:
                started = time.monotonic()
                await redis.set("call-times", "of a test")
                writes_s.append(time.monotonic() - started)
                await asyncio.sleep(WRITE_EVERY_S)

    writer = asyncio.create_task(write())
    try:
        yield writes_s
    finally:
        writer.cancel()


def slower_than(usual: CallTimes, now: CallTimes) -> list[str]:
    """Which calls take longer than usual by more than writes do: the usual ones, or the slow ones."""
    found = []
    for name, index in QUANTILES.items():
        before_s, now_s = typical(usual.calls_s, index), typical(now.calls_s, index)
        machine = max(1.0, typical(now.writes_s, index) / typical(usual.writes_s, index))
        if now_s > machine * FACTOR * before_s + SLACK_S:
            found.append(f"{name} calls took {now_s:.3f} s, and {before_s:.3f} s before; writes, {machine:.1f} times")
    return found


def typical(times_s: Sequence[float], index: int) -> float:
    """What that part of the calls took, mostly: a process that is halted for seconds spoils one row of calls alone."""
    rows = (times_s[first : first + IN_A_ROW] for first in range(0, len(times_s) - IN_A_ROW + 1, IN_A_ROW))
    return median_low([quantiles(row, n=20)[index] for row in rows])
