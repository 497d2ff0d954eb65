"""The result of checking one setting of one server, and the exit code of all results together."""

from collections.abc import Iterable
from enum import StrEnum
from typing import NamedTuple

UNKNOWN_VALUE = "?"


class Level(StrEnum):
    """Whether a setting keeps the promise that depends on it."""

    OK = "ok"
    NOTE = "note"  # kept, with something to know or to improve
    FAIL = "fail"
    UNKNOWN = "unknown"  # the server does not report it


class CheckResult(NamedTuple):
    """One setting: its value, what is promised with it or no longer, and how to change it ('': nothing to change)."""

    server: str
    setting: str
    value: str
    level: Level
    promise: str
    change: str = ""


def ok_or_fail(server: str, setting: str, value: str, off: str, kept: str, change: str) -> CheckResult:
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
