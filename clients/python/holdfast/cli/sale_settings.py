"""The settings of a sale as options of the command: how they are typed, and what they become."""

from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Any, cast

import typer

from holdfast.calls.sales import SaleSettings
from holdfast.cli.parsing import Moment, duration, moment, units, whole_number
from holdfast.cli.terminal import messages


def setting(meaning: str, otherwise: str, **kind: Any) -> Any:
    """The option of one setting; its help says what holds if it is not given."""
    return typer.Option(help=f"{meaning}; {otherwise} if not given.", **kind)


UNCHANGED = "unchanged"
UNITS: dict[str, Any] = {"metavar": "SKU=UNITS"}
NUMBER: dict[str, Any] = {"metavar": "NUMBER", "callback": whole_number}
SMALL_NUMBER: dict[str, Any] = {"metavar": "NUMBER", "min": 0, "max": 2**31 - 1}  # what a field of 32 bits holds
MOMENT: dict[str, Any] = {"metavar": "MOMENT", "parser": moment}
DURATION: dict[str, Any] = {"metavar": "DURATION", "parser": duration}
ITEMS, TITLE = "An item and its stock; repeat for more", "A title for people"
ITEM_LIMITS = "Units of an item that a buyer may hold and own; repeat for more"
START = "The first moment of selling, as 2026-11-27T10:00 or +10m"
END = "The first moment after it, as 2026-11-27T12:00 or +2h"
HOLD = "How long a hold lasts, as 90s or 10m; 0: no holds"
MAX_HOLD = "The longest hold a buyer may ask for"
LIMIT = "Units a buyer may hold and own; 0: no limit"
ATTEMPTS = "Attempts of a buyer a minute; 0: no limit"
WINDOW = "How long after the end sold units can come back, as 14d"

NewSaleId = Annotated[str, typer.Argument(help="The sale's id; made up and printed if not given.", show_default=False)]
Items = Annotated[list[str], typer.Option(help=f"{ITEMS}.", **UNITS)]
ItemLimits = Annotated[list[str] | None, setting(ITEM_LIMITS, "no limit", **UNITS)]
Title = Annotated[str | None, setting(TITLE, "none")]
Start = Annotated[Moment | None, setting(START, "now", **MOMENT)]
End = Annotated[Moment | None, setting(END, "open-ended", **MOMENT)]
Hold = Annotated[timedelta | None, setting(HOLD, "10m", **DURATION)]
MaxHold = Annotated[timedelta | None, setting(MAX_HOLD, "as --hold", **DURATION)]
Limit = Annotated[int | None, setting(LIMIT, "no limit", **NUMBER)]
Attempts = Annotated[int | None, setting(ATTEMPTS, "no limit", **SMALL_NUMBER)]
Window = Annotated[timedelta | None, setting(WINDOW, "as long as the server keeps records", **DURATION)]

NewItems = Annotated[list[str] | None, setting("An item to add, and its stock; repeat for more", "none", **UNITS)]
NewItemLimits = Annotated[list[str] | None, setting("The same limit of an item that is added", "no limit", **UNITS)]
NewTitle = Annotated[str | None, setting(TITLE, UNCHANGED)]
NewStart = Annotated[Moment | None, setting(START, UNCHANGED, **MOMENT)]
NewEnd = Annotated[Moment | None, setting(END, UNCHANGED, **MOMENT)]
NewHold = Annotated[timedelta | None, setting(HOLD, UNCHANGED, **DURATION)]
NewMaxHold = Annotated[timedelta | None, setting(MAX_HOLD, UNCHANGED, **DURATION)]
NewLimit = Annotated[int | None, setting(LIMIT, UNCHANGED, **NUMBER)]
NewAttempts = Annotated[int | None, setting(ATTEMPTS, UNCHANGED, **SMALL_NUMBER)]
NewWindow = Annotated[timedelta | None, setting(WINDOW, UNCHANGED, **DURATION)]


class Unset(StrEnum):
    """A setting that can be taken away, by the name of its option."""

    TITLE = "title"
    START = "start"
    END = "end"
    HOLD = "hold"
    MAX_HOLD = "max-hold"
    RETURN_WINDOW = "return-window"


FIELDS = {
    Unset.TITLE: "title",
    Unset.START: "start_time",
    Unset.END: "end_time",
    Unset.HOLD: "hold_ttl",
    Unset.MAX_HOLD: "max_hold_ttl",
    Unset.RETURN_WINDOW: "return_window",
}
Unsets = Annotated[
    list[Unset] | None,
    typer.Option("--unset", help="A setting to take away, so that it is as if never given; none if not given."),
]


def item_limits(items: dict[str, int], limits: list[str] | None) -> dict[str, int]:
    """The limits of items that are made with them."""
    found = units(limits or [])
    if unknown := set(found) - set(items):
        raise typer.BadParameter(f"--item-limit names {', '.join(sorted(unknown))}, and no --item does")
    return found


def given_settings(
    title: str | None,
    start: Moment | None,
    end: Moment | None,
    hold: timedelta | None,
    max_hold: timedelta | None,
    limit: int | None,
    attempts: int | None,
    return_window: timedelta | None,
) -> SaleSettings:
    """Those that are given."""
    settings = {
        "title": title,
        "start_time": start and start.time,
        "end_time": end and end.time,
        "hold_ttl": hold,
        "max_hold_ttl": max_hold,
        "buyer_limit": limit,
        "attempts_per_minute": attempts,
        "return_window": return_window,
    }
    return cast(SaleSettings, {field: value for field, value in settings.items() if value is not None})


def print_moments(start: Moment | None, end: Moment | None) -> None:
    """What `+10m` has come to: a repeat with it would name another moment."""
    moments = {"--start": start, "--end": end}
    words = [f"{name} {moment.time.isoformat()}" for name, moment in moments.items() if moment and moment.is_relative]
    if words:
        messages.print(f"repeat with {' '.join(words)}", style="dim")
