"""Writes how far loads are, in lines for a person: how much a second, and how long it will take."""

from collections.abc import Callable
from typing import NamedTuple


class LoadProgress(NamedTuple):
    """How far a load is: of about `total` reservations and buyers, `done` are loaded; as many, once all are."""

    shard: int
    done: int
    total: int


class ProgressWriter:
    """Writes a line of each shard at most every `interval_s`, and one at the end."""

    def __init__(self, write: Callable[[str], None], monotonic: Callable[[], float], interval_s: float) -> None:
        self._write = write
        self._monotonic = monotonic
        self._interval_s = interval_s
        self._began: dict[int, LoadProgress] = {}  # as it was first heard of
        self._began_at: dict[int, float] = {}
        self._written_at: dict[int, float] = {}

    def __call__(self, progress: LoadProgress) -> None:
        """Write it, unless a line of the shard was written a moment ago."""
        now, shard = self._monotonic(), progress.shard
        if self._began.get(shard, progress).done >= progress.done:  # another load than the one before
            self._began[shard], self._began_at[shard] = progress, now
        is_whole = progress.done == progress.total
        if is_whole or now - self._written_at.get(shard, float("-inf")) >= self._interval_s:
            self._written_at[shard] = now
            self._write(_line(progress, progress.done - self._began[shard].done, now - self._began_at[shard]))
        if is_whole:
            del self._began[shard]


def _line(progress: LoadProgress, done: int, seconds: float) -> str:
    """`done` of them were loaded within so many seconds."""
    loaded = f"{progress.done:,} reservations and buyers loaded"
    left = progress.total - progress.done
    if left:
        loaded = f"{progress.done:,} of about {progress.total:,} reservations and buyers loaded"
    if not (done and seconds):
        return f"shard {progress.shard}: {loaded}"
    ends = f", about {left * seconds / done:,.0f} s left" if left else ""
    return f"shard {progress.shard}: {loaded}, {done / seconds:,.0f} a second{ends}"
