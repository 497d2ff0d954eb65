"""The commands on sales: make, list, show, watch, audit, change and stop them, one by one or by a file."""

from typing import Annotated, Any, cast

import typer

from holdfast.calls.sales import SaleSettings
from holdfast.cli.apply_sales import USUAL_REASON, apply_sales, check_sales
from holdfast.cli.ask import Options, SaleId, call_and_print, calls_server
from holdfast.cli.ask_first import Yes, ask_first
from holdfast.cli.changes import SaleChanges
from holdfast.cli.columns import DIFFERENCES, SALES
from holdfast.cli.fail import NO
from holdfast.cli.lists import Paging, print_list, states_option
from holdfast.cli.new_ids import NewId
from holdfast.cli.parsing import units
from holdfast.cli.render import show, show_changed_sale, show_head, show_sale
from holdfast.cli.sale_files import read_sales
from holdfast.cli.sale_settings import (
    FIELDS,
    Attempts,
    End,
    Hold,
    ItemLimits,
    Items,
    Limit,
    MaxHold,
    NewAttempts,
    NewEnd,
    NewHold,
    NewItemLimits,
    NewItems,
    NewLimit,
    NewMaxHold,
    NewSaleId,
    NewStart,
    NewTitle,
    NewWindow,
    Start,
    Title,
    Unsets,
    Window,
    given_settings,
    item_limits,
    print_moments,
)
from holdfast.cli.table import Table
from holdfast.cli.watch import watch_and_print
from holdfast.client import Client
from holdfast.inventory.v1.inventory_admin_service_pb2 import AuditSaleResponse, CreateSaleResponse, UpdateSaleResponse
from holdfast.inventory.v1.sale_pb2 import SaleState

app = typer.Typer(help="Make, list, show, watch, audit and change sales.", no_args_is_help=True)

States = Annotated[list[Any] | None, states_option(SaleState)]
Etag = Annotated[str, typer.Option(help="Only if this is the sale's etag; any if not given.")]
Reason = Annotated[str, typer.Option(help="Why, for the record; none if not given.")]
SaleFile = Annotated[str, typer.Argument(help="Sales in YAML; - is the standard input.")]
Check = Annotated[
    bool, typer.Option("--check", help="Print what differs, and change nothing; exit code 1 if anything.")
]
WithStock = Annotated[bool, typer.Option("--stock", help="Also change the totals of items that are there.")]
ApplyReason = Annotated[str, typer.Option(help="Why, for the record of stock, pauses and closes.")]


@app.command()
@calls_server
def create(
    options: Options,
    item: Items,
    sale_id: NewSaleId = "",
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
    items, new = units(item), NewId(sale_id, "sale")
    limits = item_limits(items, item_limit)
    settings = given_settings(title, start, end, hold, max_hold, limit, attempts, return_window)

    async def call(client: Client) -> CreateSaleResponse:
        new.print("sale", repeat_with="")
        print_moments(start, end)
        return await client.create_sale(new.id, items, item_limits=limits, **settings)

    call_and_print(options, call, show_changed_sale, sale_id=new.id)


@app.command("list")
@calls_server
def list_(paging: Paging, options: Options, state: States = None) -> None:
    """List sales, newest first; `sale show` has their stock."""
    print_list(options, paging, lambda client, **page: client.list_sales(states=state or (), **page), SALES)


@app.command("show")
@calls_server
def show_(options: Options, sale_id: SaleId) -> None:
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
def watch(options: Options, sale_id: SaleId) -> None:
    """Print a line for each change of a sale and its stock, or a JSON object a line; Ctrl-C ends it."""
    watch_and_print(
        options,
        lambda client: client.watch_sale(sale_id),
        SaleChanges().lines,
        ended="the sale is closed and nothing in it is held, or it is archived: there is no more to watch",
        sale_id=sale_id,
    )


@app.command()
@calls_server
def audit(options: Options, sale_id: SaleId) -> None:
    """Compare what Redis has of a sale with the ledger, which may take minutes; exit code 1 if anything differs."""
    response = call_and_print(
        options,
        lambda client: client.audit_sale(sale_id),
        lambda response: _show_audit(sale_id, response),
        reads=True,
        sale_id=sale_id,
    )
    if not response.consistent:
        raise typer.Exit(NO)


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
    limits = item_limits(items, item_limit)
    settings = given_settings(title, start, end, hold, max_hold, limit, attempts, return_window)
    for name in unset or []:
        if FIELDS[name] in settings:
            raise typer.BadParameter(f"--{name} is given, and --unset {name} too")
        settings = cast(SaleSettings, {**settings, FIELDS[name]: None})
    if not (items or settings):
        raise typer.BadParameter("nothing is to be changed")

    async def call(client: Client) -> UpdateSaleResponse:
        print_moments(start, end)
        return await client.update_sale(sale_id, items=items, item_limits=limits, etag=etag, **settings)

    call_and_print(options, call, show_changed_sale, sale_id=sale_id)


@app.command()
@calls_server
def apply(
    options: Options,
    file: SaleFile,
    check: Check = False,
    stock: WithStock = False,
    reason: ApplyReason = USUAL_REASON,
    yes: Yes = False,
) -> None:
    """Make sales as a file describes them: create those that are missing, and change what differs in the others.

    Items are added and never taken away, and a sale is closed only where the file says `state: closed`. A second run
    changes nothing.
    """
    wanted = read_sales(file, as_json=options.json)
    if check:
        check_sales(options, wanted, with_stock=stock)
    else:
        apply_sales(options, wanted, with_stock=stock, reason=reason, yes=yes)


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


def _show_audit(sale_id: str, response: AuditSaleResponse) -> None:
    """How much was compared, and what differs."""
    word_of_it = ("consistent", "bold green") if response.consistent else ("inconsistent", "bold red")
    compared = f"{response.items_compared:,} items and {response.reservations_compared:,} reservations compared"
    as_of = response.as_of
    show_head(*word_of_it, f"sale {sale_id}", f"  {compared}")
    show(f"  as of commit {as_of.epoch}-{as_of.seq} of shard {as_of.shard}", "dim")
    Table(DIFFERENCES).print_rows(response.differences)
    if response.truncated:
        show("  and more", "dim")
