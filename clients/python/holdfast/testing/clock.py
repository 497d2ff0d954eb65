"""The clock of a server for tests: it stands still until the test moves it."""

import time
from datetime import UTC, datetime, timedelta

_1970 = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)


class Clock:
    """Counts milliseconds since 1970."""

    def __init__(self, now: datetime | None) -> None:
        """Begins at `now`, or at this moment; a ValueError if `now` has no time zone."""
        self._first_ms = self._ms = time.time_ns() // 1_000_000 if now is None else _ms(now)

    def now_ms(self) -> int:
        """The moment at which the clock stands."""
        return self._ms

    def now(self) -> datetime:
        """The same."""
        return _1970 + self._ms * _MS

    def move_to(self, ms: int) -> None:
        """Go on to a moment; the clock never goes back."""
        self._ms = max(self._ms, ms)

    def running_s(self) -> float:
        """Seconds that never go back: they pass by themselves, and by what the test moves the clock."""
        return time.monotonic() + (self._ms - self._first_ms) / 1000


def _ms(moment: datetime) -> int:
    if moment.tzinfo is None:
        raise ValueError("`now` needs a time zone, such as datetime.UTC")
    return (moment - _1970) // _MS
