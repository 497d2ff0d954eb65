"""What is said of one setting of one server, and what all that was said comes to."""

from collections.abc import Iterable
from enum import StrEnum
from typing import NamedTuple

UNKNOWN_VALUE = "?"


class Standing(StrEnum):
    """What a setting does to the promise that rests on it."""

    KEPT = "kept"
    NOTE = "note"  # kept, and there is something to know or to do better
    OFF = "off"
    UNKNOWN = "unknown"  # nobody could tell what it is set to


class Finding(NamedTuple):
    """One setting: what it is, what is promised with it or no longer, and how to change it ('': as it should be)."""

    server: str
    setting: str
    value: str
    standing: Standing
    promise: str
    change: str = ""


def judged(server: str, setting: str, value: str, off: str, kept: str, change: str) -> Finding:
    """Off for the reason `off`, or kept if there is none."""
    if off:
        return Finding(server, setting, value, Standing.OFF, off, change)
    return Finding(server, setting, value, Standing.KEPT, kept)


def exit_code(findings: Iterable[Finding]) -> int:
    """1 if a promise is off, else 2 if it is unknown whether one is, else 0."""
    standings = {finding.standing for finding in findings}
    if Standing.OFF in standings:
        return 1
    return 2 if Standing.UNKNOWN in standings else 0
