"""The operator's commands: make and show a sale, block a buyer."""

from datetime import datetime, timedelta
from typing import Annotated
from uuid import uuid4

import typer

from holdfast.cli.asking import DEFAULT_ADDRESS, DEFAULT_TIMEOUT_S, Address, Json, SaleId, Timeout, ask
from holdfast.cli.facts import print_json
from holdfast.cli.parsing import duration, moment, units
from holdfast.cli.showing import screen, show_sale

app = typer.Typer(help="Make and show sales.", no_args_is_help=True)


@app.command("create")
def create(
    item: Annotated[list[str], typer.Option(metavar="SKU=UNITS", help="An item and its stock; repeat for more.")],
    sale_id: Annotated[str, typer.Argument(help="The sale's id; made up if not given.", show_default=False)] = "",
    title: Annotated[str, typer.Option(help="For people; none if not given.")] = "",
    start: Annotated[
        datetime | None,
        typer.Option(parser=moment, metavar="MOMENT", help="2026-11-27T10:00 or +10m; now if not given."),
    ] = None,
    end: Annotated[
        datetime | None,
        typer.Option(parser=moment, metavar="MOMENT", help="2026-11-27T12:00 or +2h; open-ended if not given."),
    ] = None,
    hold: Annotated[
        timedelta | None,
        typer.Option(
            parser=duration,
            metavar="DURATION",
            help="How long a hold lasts, as 90s or 10m; 0: no holds; 10m if not given.",
        ),
    ] = None,
    max_hold: Annotated[
        timedelta | None,
        typer.Option(
            parser=duration, metavar="DURATION", help="The longest hold a buyer may ask for; as --hold if not given."
        ),
    ] = None,
    limit: Annotated[int, typer.Option(help="Units a buyer may hold and own; 0: no limit.")] = 0,
    json: Json = False,
    address: Address = DEFAULT_ADDRESS,
    timeout_s: Timeout = DEFAULT_TIMEOUT_S,
) -> None:
    """Make a sale."""
    sale_id = sale_id or f"sale-{uuid4().hex[:12]}"
    stock = units(item)
    response = ask(
        address,
        timeout_s,
        lambda client: client.create_sale(
            sale_id,
            stock,
            title=title,
            start_time=start,
            end_time=end,
            hold_ttl=hold,
            max_hold_ttl=max_hold,
            buyer_limit=limit,
        ),
    )
    print_json(response) if json else show_sale(response.sale, replayed=response.replayed)


@app.command("show")
def show(
    sale_id: SaleId, json: Json = False, address: Address = DEFAULT_ADDRESS, timeout_s: Timeout = DEFAULT_TIMEOUT_S
) -> None:
    """Show a sale and its stock."""
    response = ask(address, timeout_s, lambda client: client.get_sale(sale_id))
    print_json(response) if json else show_sale(response.sale)


def block_buyer(
    buyer_id: Annotated[str, typer.Argument(help="The buyer's id.")],
    reason: Annotated[str, typer.Option(help="Why, for the books.")],
    json: Json = False,
    address: Address = DEFAULT_ADDRESS,
    timeout_s: Timeout = DEFAULT_TIMEOUT_S,
) -> None:
    """Let the ledger refuse a buyer's orders from now on."""
    response = ask(address, timeout_s, lambda client: client.block_buyer(buyer_id, reason))
    print_json(response) if json else screen.print(f"blocked  {buyer_id}")
