"""What is said of one setting of one server, and what all that was said comes to."""

from collections.abc import Iterable
from enum import StrEnum
from typing import NamedTuple

UNKNOWN_VALUE = "?"


class Level(StrEnum):
    """What a setting does to the promise that rests on it."""

    OK = "kept"
    NOTE = "note"  # kept, and there is something to know or to do better
    FAIL = "off"
    UNKNOWN = "unknown"  # nobody could tell what it is set to


class CheckResult(NamedTuple):
    """One setting: what it is, what is promised with it or no longer, and how to change it ('': as it should be)."""

    server: str
    setting: str
    value: str
    level: Level
    promise: str
    change: str = ""


def judged(server: str, setting: str, value: str, off: str, kept: str, change: str) -> CheckResult:
    """Off for the reason `off`, or kept if there is none."""
    if off:
        return CheckResult(server, setting, value, Level.FAIL, off, change)
    return CheckResult(server, setting, value, Level.OK, kept)


def exit_code(results: Iterable[CheckResult], strict: bool = False) -> int:
    """1 if a promise is off, else 2 if that is strict and it is unknown whether one is, else 0."""
    levels = {result.level for result in results}
    if Level.FAIL in levels:
        return 1
    return 2 if strict and Level.UNKNOWN in levels else 0
