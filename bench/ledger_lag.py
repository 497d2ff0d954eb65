"""How far the ledger is behind Redis over time, read from both servers and not from Holdfast's metrics.

`bench.suite` and `bench.profiles` watch it beside their loads.
"""

import asyncio
import time
from collections import deque
from collections.abc import Mapping
from typing import Any

import asyncpg
from holdfast_bench.load import percentile
from redis.asyncio import Redis

from bench.failures import BenchmarkFailed

SAMPLE_S = 0.1
STEP_S = 0.5  # of what is shown over time: the worst of its samples
WATERMARKS = "select shard, epoch, seq from shard_watermark"

Place = tuple[int, int]  # a commit: its epoch and number


class Lag:
    """Commits, and seconds since the oldest of them was seen first."""

    def __init__(self) -> None:
        self._waiting: dict[int, deque[tuple[float, Place]]] = {}
        self.samples: list[tuple[float, int, float]] = []  # moment, commits, seconds

    def add(self, now: float, heads: Mapping[int, Place], applied: Mapping[int, Place]) -> None:
        """Record one sample of all shards."""
        commits, oldest = 0, now
        for shard, head in heads.items():
            waiting, done = self._waiting.setdefault(shard, deque()), applied.get(shard, (0, 0))
            if head[1] and head > done and (not waiting or waiting[-1][1] < head):
                waiting.append((now, head))
            while waiting and waiting[0][1] <= done:
                waiting.popleft()
            if waiting:
                oldest = min(oldest, waiting[0][0])
                commits += max(0, head[1] - done[1]) if head[0] == done[0] else head[1]
        self.samples.append((now, commits, now - oldest))

    @property
    def is_caught_up(self) -> bool:
        """Whether the ledger had every commit in the last sample."""
        return bool(self.samples) and self.samples[-1][1] == 0

    def figures(self, start: float) -> dict[str, Any]:
        """Over time from a moment on, in seconds since 1970; percentiles over all samples."""
        later = [sample for sample in self.samples if sample[0] >= start]
        behind = sorted(seconds for _, _, seconds in later) or [0.0]
        steps: dict[int, list[tuple[float, int, float]]] = {}
        for sample in later:
            steps.setdefault(int((sample[0] - start) / STEP_S), []).append(sample)
        worst = [steps.get(number, [(0.0, 0, 0.0)]) for number in range(max(steps, default=-1) + 1)]
        return {
            "step_s": STEP_S,
            "commits": [max(commits for _, commits, _ in step) for step in worst],
            "seconds": [round(max(seconds for _, _, seconds in step), 2) for step in worst],
            **{f"p{share}_s": round(percentile(behind, share), 2) for share in (50, 99)},
        }


class NotCaughtUp(BenchmarkFailed):
    """The ledger did not get every commit in time."""


class LagWatch:
    """Samples inside its block."""

    def __init__(self, redis_url: str, dsn: str, shards: int) -> None:
        self.lag = Lag()
        self._redis_url, self._dsn, self._shards = redis_url, dsn, shards

    async def __aenter__(self) -> "LagWatch":
        self._sampling = asyncio.create_task(self._sample())
        return self

    async def __aexit__(self, *_error: object) -> None:
        self._sampling.cancel()
        await asyncio.gather(self._sampling, return_exceptions=True)

    async def caught_up(self, within_s: float) -> None:
        """Wait until a sample that is yet to come shows that the ledger has every commit."""
        seen, deadline = len(self.lag.samples), time.monotonic() + within_s
        while len(self.lag.samples) <= seen + 1 or not self.lag.is_caught_up:
            if time.monotonic() > deadline:
                raise NotCaughtUp(f"the ledger lacks commits {within_s:g} s after the last call")
            await asyncio.sleep(SAMPLE_S)

    async def _sample(self) -> None:
        """Ten times a second."""
        db = await asyncpg.connect(self._dsn)
        try:
            async with Redis.from_url(self._redis_url, decode_responses=True) as redis:
                while True:
                    heads = await self._heads(redis)
                    rows = await db.fetch(WATERMARKS)
                    applied = {row["shard"]: (row["epoch"], row["seq"]) for row in rows}
                    self.lag.add(time.time(), heads, applied)
                    await asyncio.sleep(SAMPLE_S)
        finally:
            await db.close()

    async def _heads(self, redis: Redis) -> dict[int, Place]:
        pipe = redis.pipeline(transaction=False)
        for shard in range(self._shards):
            pipe.hmget(f"holdfast:{{{shard}}}:meta", "epoch", "seq")
        found = await pipe.execute()
        return {shard: (int(epoch), int(seq)) for shard, (epoch, seq) in enumerate(found) if epoch is not None}
