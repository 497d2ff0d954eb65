"""Writes how far some work is, in lines for a person, and not more of them than a person reads."""

from collections.abc import Callable


class PacedLines:
    """Writes a line at most every `interval_s`, and leaves the others out."""

    def __init__(self, write: Callable[[str], None], monotonic: Callable[[], float], interval_s: float) -> None:
        self._write = write
        self._monotonic = monotonic
        self._interval_s = interval_s
        self._written_at = float("-inf")

    def __call__(self, line: str) -> None:
        """Write it, unless one was written a moment ago."""
        now = self._monotonic()
        if now - self._written_at >= self._interval_s:
            self._written_at = now
            self._write(line)
