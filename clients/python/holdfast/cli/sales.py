"""The commands on sales: make, show and change them, and stop them for a while or for good."""

from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Any, cast
from uuid import uuid4

import typer

from holdfast.cli.ask import Options, SaleId, call_and_print, calls_server
from holdfast.cli.ask_first import Yes, ask_first
from holdfast.cli.parsing import Moment, duration, moment, units, whole_number
from holdfast.cli.render import show_changed_sale, show_sale
from holdfast.cli.terminal import messages
from holdfast.client import Client
from holdfast.inventory.v1.inventory_admin_service_pb2 import CreateSaleResponse, UpdateSaleResponse
from holdfast.sale_calls import SaleSettings

app = typer.Typer(help="Make, show and change sales.", no_args_is_help=True)


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

NewId = Annotated[str, typer.Argument(help="The sale's id; made up and printed if not given.", show_default=False)]
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

Etag = Annotated[str, typer.Option(help="Only if this is the sale's etag; any if not given.")]
Reason = Annotated[str, typer.Option(help="Why, for the record; none if not given.")]


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


@app.command()
@calls_server
def create(
    options: Options,
    item: Items,
    sale_id: NewId = "",
    item_limit: ItemLimits = None,
    title: Title = None,
    start: Start = None,
    end: End = None,
    hold: Hold = None,
    max_hold: MaxHold = None,
    limit: Limit = None,
    attempts: Attempts = None,
    return_window: Window = None,
) -> None:
    """Make a sale."""
    items, is_made_up = units(item), not sale_id
    limits = _limits(items, item_limit)
    sale_id = sale_id or f"sale-{uuid4().hex[:12]}"
    settings = _settings(title, start, end, hold, max_hold, limit, attempts, return_window)

    async def call(client: Client) -> CreateSaleResponse:
        if is_made_up:  # before the call, so that an interrupted one can be repeated
            messages.print(f"sale id {sale_id}", style="dim")
        _print_moments(start, end)
        return await client.create_sale(sale_id, items, item_limits=limits, **settings)

    call_and_print(options, call, show_changed_sale, sale_id=sale_id)


@app.command()
@calls_server
def show(options: Options, sale_id: SaleId) -> None:
    """Show a sale and its stock."""
    call_and_print(
        options,
        lambda client: client.get_sale(sale_id),
        lambda response: show_sale(response.sale),
        reads=True,
        sale_id=sale_id,
    )


@app.command()
@calls_server
def update(
    options: Options,
    sale_id: SaleId,
    item: NewItems = None,
    item_limit: NewItemLimits = None,
    title: NewTitle = None,
    start: NewStart = None,
    end: NewEnd = None,
    hold: NewHold = None,
    max_hold: NewMaxHold = None,
    limit: NewLimit = None,
    attempts: NewAttempts = None,
    return_window: NewWindow = None,
    unset: Unsets = None,
    etag: Etag = "",
) -> None:
    """Change settings of a sale, and add items; the stock of those that are there is changed by `stock adjust`."""
    items = units(item or [])
    limits = _limits(items, item_limit)
    settings = _settings(title, start, end, hold, max_hold, limit, attempts, return_window)
    for name in unset or []:
        if FIELDS[name] in settings:
            raise typer.BadParameter(f"--{name} is given, and --unset {name} too")
        settings = cast(SaleSettings, {**settings, FIELDS[name]: None})
    if not (items or settings):
        raise typer.BadParameter("nothing is to be changed")

    async def call(client: Client) -> UpdateSaleResponse:
        _print_moments(start, end)
        return await client.update_sale(sale_id, items=items, item_limits=limits, etag=etag, **settings)

    call_and_print(options, call, show_changed_sale, sale_id=sale_id)


@app.command()
@calls_server
def pause(options: Options, sale_id: SaleId, reason: Reason = "", etag: Etag = "") -> None:
    """Stop selling until `sale resume`; holds go on."""
    call_and_print(
        options, lambda client: client.pause_sale(sale_id, reason=reason, etag=etag), show_changed_sale, sale_id=sale_id
    )


@app.command()
@calls_server
def resume(options: Options, sale_id: SaleId, reason: Reason = "", etag: Etag = "") -> None:
    """Sell again after `sale pause`."""
    call_and_print(
        options,
        lambda client: client.resume_sale(sale_id, reason=reason, etag=etag),
        show_changed_sale,
        sale_id=sale_id,
    )


@app.command()
@calls_server
def close(
    options: Options,
    sale_id: SaleId,
    release_holds: Annotated[bool, typer.Option("--release-holds", help="Also give back all that is held.")] = False,
    reason: Reason = "",
    etag: Etag = "",
    yes: Yes = False,
) -> None:
    """Stop selling for good; what is held can still be confirmed or released."""
    ask_first(f"Close sale {sale_id} for good{', and release all its holds' if release_holds else ''}?", yes)
    call_and_print(
        options,
        lambda client: client.close_sale(sale_id, release_holds=release_holds, reason=reason, etag=etag),
        show_changed_sale,
        sale_id=sale_id,
    )


def _limits(items: dict[str, int], limits: list[str] | None) -> dict[str, int]:
    """The limits of items that are made with them."""
    found = units(limits or [])
    if unknown := set(found) - set(items):
        raise typer.BadParameter(f"--item-limit names {', '.join(sorted(unknown))}, and no --item does")
    return found


def _settings(
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


def _print_moments(start: Moment | None, end: Moment | None) -> None:
    """What `+10m` has come to: a repeat with it would name another moment."""
    moments = {"--start": start, "--end": end}
    words = [f"{name} {moment.time.isoformat()}" for name, moment in moments.items() if moment and moment.is_relative]
    if words:
        messages.print(f"repeat with {' '.join(words)}", style="dim")
