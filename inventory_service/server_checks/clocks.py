"""Judge how far the clocks of Redis and Postgres are from this machine's."""

from collections.abc import Iterable
from typing import NamedTuple

from inventory_service.server_checks.results import CheckResult, judged

FAR_S = 1.0
SETTING = "clock"
_DATED = {
    "Redis": "sales open and end, and holds expire,",
    "Postgres": "refusals are dated",
}


class Reading(NamedTuple):
    """What a server's clock said between two looks at ours, all in seconds of Unix time."""

    before_s: float
    theirs_s: float
    after_s: float

    @property
    def off_s(self) -> float:
        """How far theirs is ahead of ours, if the answer took as long to come as the question to arrive."""
        return self.theirs_s - (self.before_s + self.after_s) / 2

    @property
    def doubt_s(self) -> float:
        """By how much that may be wrong at most."""
        return (self.after_s - self.before_s) / 2


def judge_clock(server: str, readings: Iterable[Reading]) -> CheckResult:
    """By the reading that took the shortest time."""
    best = min(readings, key=lambda reading: reading.doubt_s)
    is_far = abs(best.off_s) - best.doubt_s > FAR_S
    off = f"{_DATED[server]} by another time than this machine's" if is_far else ""
    change = "set both clocks by the same time server (NTP)"
    shown = f"{best.off_s:+.3f} s from this machine's, give or take {best.doubt_s:.3f} s"
    return judged(server, SETTING, shown, off, f"{_DATED[server]} as this machine's clock says", change)
