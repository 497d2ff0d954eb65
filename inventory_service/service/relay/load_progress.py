"""Writes how far loads are, in lines for a person: how much a second, and how long it will take."""

from collections.abc import Callable

from inventory_service.service.relay.loader import LoadProgress


class ProgressWriter:
    """Writes a line of each shard at most every `interval_s`, and one at the end of each step."""

    def __init__(self, write: Callable[[str], None], monotonic: Callable[[], float], interval_s: float) -> None:
        self._write = write
        self._monotonic = monotonic
        self._interval_s = interval_s
        self._steps: dict[tuple[int, str], tuple[float, int]] = {}  # when each was first heard of, and how far it was
        self._written: dict[int, float] = {}

    def __call__(self, progress: LoadProgress) -> None:
        """Write it, unless a line of the shard was written a moment ago."""
        now = self._monotonic()
        began, done_before = self._steps.setdefault((progress.shard, progress.step), (now, progress.done))
        is_due = now - self._written.get(progress.shard, float("-inf")) >= self._interval_s
        if is_due or progress.done >= progress.total:
            self._written[progress.shard] = now
            self._write(_line(progress, progress.done - done_before, now - began))
        if progress.done >= progress.total:
            del self._steps[progress.shard, progress.step]


def _line(progress: LoadProgress, done: int, seconds: float) -> str:
    loaded = f"shard {progress.shard}: {progress.done:,} of {progress.total:,} {progress.step} loaded"
    if not (done and seconds):
        return loaded
    per_s, left = done / seconds, max(progress.total - progress.done, 0)
    ends = f", about {left / per_s:,.0f} s left" if left else ""
    return f"{loaded}, {per_s:,.0f} a second{ends}"
