"""The operator's commands: make and show a sale, block a buyer."""

from datetime import datetime, timedelta
from typing import Annotated
from uuid import uuid4

import typer

from holdfast.cli.ask import (
    DEFAULT_ADDRESS,
    DEFAULT_TIMEOUT_S,
    Address,
    Json,
    SaleId,
    Server,
    Timeout,
    UseProxy,
    ask,
)
from holdfast.cli.json_output import print_json
from holdfast.cli.parsing import duration, moment, units, whole_number
from holdfast.cli.render import show, show_sale
from holdfast.cli.terminal import messages
from holdfast.client import Client
from holdfast.inventory.v1.inventory_admin_service_pb2 import CreateSaleResponse

app = typer.Typer(help="Make and show sales.", no_args_is_help=True)

Items = Annotated[list[str], typer.Option(metavar="SKU=UNITS", help="An item and its stock; repeat for more.")]
NewId = Annotated[str, typer.Argument(help="The sale's id; made up and printed if not given.", show_default=False)]
Title = Annotated[str, typer.Option(help="For people; none if not given.")]
Start = Annotated[
    datetime | None,
    typer.Option(parser=moment, metavar="MOMENT", help="2026-11-27T10:00 or +10m; now if not given."),
]
End = Annotated[
    datetime | None,
    typer.Option(parser=moment, metavar="MOMENT", help="2026-11-27T12:00 or +2h; open-ended if not given."),
]
HOLD_HELP = "How long a hold lasts, as 90s or 10m; 0: no holds; 10m if not given."
Hold = Annotated[timedelta | None, typer.Option(parser=duration, metavar="DURATION", help=HOLD_HELP)]
MAX_HOLD_HELP = "The longest hold a buyer may ask for; as --hold if not given."
MaxHold = Annotated[timedelta | None, typer.Option(parser=duration, metavar="DURATION", help=MAX_HOLD_HELP)]
Limit = Annotated[int, typer.Option(callback=whole_number, help="Units a buyer may hold and own; 0: no limit.")]


@app.command("create")
def create(
    item: Items,
    sale_id: NewId = "",
    title: Title = "",
    start: Start = None,
    end: End = None,
    hold: Hold = None,
    max_hold: MaxHold = None,
    limit: Limit = 0,
    json: Json = False,
    address: Address = DEFAULT_ADDRESS,
    timeout_s: Timeout = DEFAULT_TIMEOUT_S,
    use_proxy: UseProxy = False,
) -> None:
    """Make a sale."""
    items, is_made_up = units(item), not sale_id
    sale_id = sale_id or f"sale-{uuid4().hex[:12]}"

    async def call(client: Client) -> CreateSaleResponse:
        if is_made_up:  # before the call, so that an interrupted one can be repeated
            messages.print(f"sale id {sale_id}", style="dim")
        return await client.create_sale(
            sale_id,
            items,
            title=title,
            start_time=start,
            end_time=end,
            hold_ttl=hold,
            max_hold_ttl=max_hold,
            buyer_limit=limit,
        )

    response = ask(Server(address, timeout_s, use_proxy), call, sale_id=sale_id)
    print_json(response) if json else show_sale(response.sale, replayed=response.replayed)


@app.command("show")
def show_command(
    sale_id: SaleId,
    json: Json = False,
    address: Address = DEFAULT_ADDRESS,
    timeout_s: Timeout = DEFAULT_TIMEOUT_S,
    use_proxy: UseProxy = False,
) -> None:
    """Show a sale and its stock."""
    server = Server(address, timeout_s, use_proxy)
    response = ask(server, lambda client: client.get_sale(sale_id), reads=True, sale_id=sale_id)
    print_json(response) if json else show_sale(response.sale)


def block_buyer(
    buyer_id: Annotated[str, typer.Argument(help="The buyer's id.")],
    reason: Annotated[str, typer.Option(help="Why, for the record.")],
    json: Json = False,
    address: Address = DEFAULT_ADDRESS,
    timeout_s: Timeout = DEFAULT_TIMEOUT_S,
    use_proxy: UseProxy = False,
) -> None:
    """Make the ledger refuse a buyer's orders from now on."""
    server = Server(address, timeout_s, use_proxy)
    response = ask(server, lambda client: client.block_buyer(buyer_id, reason), buyer_id=buyer_id)
    if json:
        return print_json(response)
    show(f"blocked  {buyer_id}")
    if response.replayed:
        show("  a repeat: the buyer was blocked before, and the first reason stays", "dim")
