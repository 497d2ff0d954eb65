"""Reads what is typed on the command line: durations, moments, units of an item, numbers."""

import math
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import typer
from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper

DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
SECONDS_OF = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
MOST = 2**63 - 1  # what a field of 64 bits holds
MOST_DIGITS = len(str(MOST))
LONGEST_TIMEOUT_S = 86_400


def duration(text: str) -> timedelta:
    """`90s`, `10m`, `1h30m`, `250ms`, or a bare `0`."""
    parts = DURATION_PART.findall(text)
    if text != "0" and (not parts or "".join(number + unit for number, unit in parts) != text):
        raise typer.BadParameter(f"{text!r} is no duration; write it as 90s, 10m, 1h30m or 0")
    try:
        return timedelta(seconds=sum(float(number) * SECONDS_OF[unit] for number, unit in parts))
    except OverflowError:
        raise typer.BadParameter(f"{text!r} is too long") from None


class Moment(NamedTuple):
    """A moment, and whether it was given by its distance from now."""

    time: datetime
    is_relative: bool


def moment(text: str) -> Moment:
    """`2026-11-27T10:00` (local unless it names its zone), or `+10m` from now, cut to a second."""
    try:
        if text.startswith("+"):
            return Moment((datetime.now(UTC) + duration(text[1:])).replace(microsecond=0), is_relative=True)
        return Moment(datetime.fromisoformat(text).astimezone(), is_relative=False)
    except OverflowError:
        raise typer.BadParameter(f"{text!r} is outside the years 1 to 9999") from None
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no moment; write it as 2026-11-27T10:00 or +10m") from None


def units(pairs: list[str]) -> dict[str, int]:
    """`lamp=100 shade=20` as SKU to units; an SKU that is named twice is an error and no sum."""
    found: dict[str, int] = {}
    for pair in pairs:
        sku, equals, count = pair.partition("=")
        if not (sku and equals and count.isdecimal()):
            raise typer.BadParameter(f"{pair!r} names no units; write it as SKU=UNITS, for example lamp=100")
        if sku in found:
            raise typer.BadParameter(f"{sku!r} is named twice")
        if len(count) > MOST_DIGITS or int(count) > MOST:
            raise typer.BadParameter(f"{pair!r} is more than {MOST} units")
        found[sku] = int(count)
    return found


def state_names(enum: EnumTypeWrapper) -> dict[str, int]:
    """The states of a kind by the names that people type: `held` is `RESERVATION_STATE_HELD`."""
    prefix = enum.keys()[0].removesuffix("UNSPECIFIED")
    return {name.removeprefix(prefix).lower(): number for name, number in enum.items() if number}


def state_parser(enum: EnumTypeWrapper) -> Callable[[str], int]:
    """What reads such a name."""
    names = state_names(enum)

    def state(text: str) -> int:
        if text.lower() not in names:
            raise typer.BadParameter(f"{text!r} is no state; it is one of {', '.join(names)}")
        return names[text.lower()]

    return state


def whole_number(value: int | None) -> int | None:
    """A number that a field of 64 bits holds."""
    if value is not None and abs(value) > MOST:
        raise typer.BadParameter(f"{value} is beyond {MOST}")
    return value


def finite_seconds(value: float) -> float:
    """A number of seconds that a deadline can have."""
    if not math.isfinite(value) or value > LONGEST_TIMEOUT_S:
        raise typer.BadParameter(f"{value} is not a number of seconds up to {LONGEST_TIMEOUT_S}")
    return value
