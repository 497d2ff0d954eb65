"""Checks how far the clocks of Redis and Postgres are from this machine's."""

from collections.abc import Iterable
from typing import NamedTuple

from inventory_service.server_checks.results import CheckResult, ok_or_fail

MAX_OFFSET_S = 1.0
SETTING = "clock"
_DATED = {
    "Redis": "sales open and end, and holds expire,",
    "Postgres": "refusals are dated",
}


class Reading(NamedTuple):
    """A server's clock, read between two readings of this machine's, all in seconds since 1970."""

    before_s: float
    server_s: float
    after_s: float

    @property
    def offset_s(self) -> float:
        """How far the server's clock is ahead, if request and reply took equally long."""
        return self.server_s - (self.before_s + self.after_s) / 2

    @property
    def uncertainty_s(self) -> float:
        """The largest possible error of that."""
        return (self.after_s - self.before_s) / 2


def judge_shard_time(ahead_ms: int) -> CheckResult:
    """By the shard whose last commit is dated the furthest ahead of Redis' clock."""
    ahead_s = ahead_ms / 1000
    off = "a commit was made while the clock was ahead: sales and holds go by its time until the clock has reached it,"
    off += " and calls fail with SHARD_NOT_SERVING while it is more than HOLDFAST_MAX_CLOCK_AHEAD_S ahead"
    change = "set Redis' clock by a time server (NTP) if it is behind; otherwise wait"
    kept = "no shard's last commit is dated ahead of Redis' clock"
    return ok_or_fail("Redis", "shard time", f"{ahead_s:+.3f} s", off if ahead_s > MAX_OFFSET_S else "", kept, change)


def judge_clock(server: str, readings: Iterable[Reading]) -> CheckResult:
    """By the reading that took the shortest time."""
    best = min(readings, key=lambda reading: reading.uncertainty_s)
    is_far = abs(best.offset_s) - best.uncertainty_s > MAX_OFFSET_S
    off = f"{_DATED[server]} by another time than this machine's" if is_far else ""
    change = "set both clocks by the same time server (NTP)"
    shown = f"{best.offset_s:+.3f} s from this machine's, give or take {best.uncertainty_s:.3f} s"
    return ok_or_fail(server, SETTING, shown, off, f"{_DATED[server]} as this machine's clock says", change)
