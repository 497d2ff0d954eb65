"""What a person types, as values: durations, moments, units of an item."""

import re
from datetime import UTC, datetime, timedelta

import typer

DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
SECONDS_OF = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}


def duration(text: str) -> timedelta:
    """`90s`, `10m`, `1h30m`, `250ms`, or a bare `0`."""
    parts = DURATION_PART.findall(text)
    if text != "0" and (not parts or "".join(number + unit for number, unit in parts) != text):
        raise typer.BadParameter(f"{text!r} is no duration; write it as 90s, 10m, 1h30m or 0")
    return timedelta(seconds=sum(float(number) * SECONDS_OF[unit] for number, unit in parts))


def moment(text: str) -> datetime:
    """`2026-11-27T10:00` (local unless it names its zone), or `+10m` from now."""
    if text.startswith("+"):
        return datetime.now(UTC) + duration(text[1:])
    try:
        return datetime.fromisoformat(text).astimezone()
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no moment; write it as 2026-11-27T10:00 or +10m") from None


def units(pairs: list[str]) -> dict[str, int]:
    """`lamp=100 shade=20` as SKU to units; an SKU named twice is refused rather than guessed at."""
    found: dict[str, int] = {}
    for pair in pairs:
        sku, equals, count = pair.partition("=")
        if not (sku and equals and count.isdecimal()):
            raise typer.BadParameter(f"{pair!r} names no units; write it as SKU=UNITS, for example lamp=100")
        if sku in found:
            raise typer.BadParameter(f"{sku!r} is named twice")
        found[sku] = int(count)
    return found
