"""Compares the duration of calls during an outage with that before it, corrected for the load of the machine."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from statistics import median_low, quantiles
from typing import NamedTuple

from tests.fault_stack import FaultStack

# Allowed slowdown beyond that of the writes. A call that waits for a stopped server takes 0.1 s at least, and mostly
# seconds.
FACTOR, SLACK_S = 3, 0.05
IN_A_ROW = 50  # calls of which one quantile is taken
QUANTILES = {"half of the": 9, "one in twenty": 18}  # where `quantiles` has what the median call, and a slow one, took
WRITE_EVERY_S = 0.01


class CallTimes(NamedTuple):
    """Durations, in the order of the calls."""

    calls_s: Sequence[float]
    writes_s: Sequence[float]  # of plain writes to Redis: what slows them slows every call


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
    """Return a sentence for each quantile of the calls that grew by more than that of the writes."""
    found = []
    for name, index in QUANTILES.items():
        before_s, now_s = typical(usual.calls_s, index), typical(now.calls_s, index)
        slowdown = max(1.0, typical(now.writes_s, index) / typical(usual.writes_s, index))
        if now_s > slowdown * FACTOR * before_s + SLACK_S:
            found.append(f"{name} calls took {now_s:.3f} s, and {before_s:.3f} s before; writes, {slowdown:.1f} times")
    return found


def typical(times_s: Sequence[float], index: int) -> float:
    """The median of that quantile over rows of calls: a process that is halted for seconds affects one row only."""
    rows = (times_s[first : first + IN_A_ROW] for first in range(0, len(times_s) - IN_A_ROW + 1, IN_A_ROW))
    return median_low([quantiles(row, n=20)[index] for row in rows])
