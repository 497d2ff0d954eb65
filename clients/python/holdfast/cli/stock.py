"""The commands on the stock of a sale: change how many units of an item are on sale, and list such changes."""

from typing import Annotated

import typer

from holdfast.cli.ask import Options, SaleId, call_and_print, calls_server
from holdfast.cli.columns import ADJUSTMENTS, without
from holdfast.cli.lists import Paging, print_list
from holdfast.cli.new_ids import NewId
from holdfast.cli.parsing import whole_number
from holdfast.cli.render import show_adjustment
from holdfast.client import Client
from holdfast.inventory.v1.inventory_admin_service_pb2 import AdjustStockResponse

app = typer.Typer(help="Change the stock of a sale, and list what was changed.", no_args_is_help=True)

Sku = Annotated[str, typer.Argument(help="The item.")]
AnySku = Annotated[str, typer.Argument(help="The item; any if not given.", show_default=False)]
Reason = Annotated[str, typer.Option(help="Why, for the record.")]
By = Annotated[
    int | None,
    typer.Option(callback=whole_number, help="Units to add or, below 0, to take away; if not given, --to is."),
]
To = Annotated[int | None, typer.Option(callback=whole_number, help="Units on sale afterwards; if not given, --by is.")]
Expect = Annotated[
    int | None,
    typer.Option(callback=whole_number, help="Only if so many are on sale now; any number if not given."),
]
AdjustmentId = Annotated[str, typer.Option("--id", help="Makes repeats safe; made up and printed if not given.")]
Reference = Annotated[str, typer.Option(help="A document elsewhere, such as a delivery note; none if not given.")]


@app.command()
@calls_server
def adjust(
    options: Options,
    sale_id: SaleId,
    sku: Sku,
    reason: Reason,
    by: By = None,
    to: To = None,
    expect: Expect = None,
    adjustment_id: AdjustmentId = "",
    reference: Reference = "",
) -> None:
    """Change how many units of an item are on sale, never to fewer than are held and sold."""
    if (by is None) == (to is None):
        raise typer.BadParameter("give either --by or --to")
    new = NewId(adjustment_id, "a")

    async def call(client: Client) -> AdjustStockResponse:
        new.print("adjustment")
        return await client.adjust_stock(
            sale_id, sku, new.id, reason, delta=by, new_total=to, expected_total=expect, reference=reference
        )

    call_and_print(options, call, show_adjustment, sale_id=sale_id, sku=sku, adjustment_id=new.id)


@app.command()
@calls_server
def log(paging: Paging, options: Options, sale_id: SaleId, sku: AnySku = "") -> None:
    """List changes of stock, newest first."""
    print_list(
        options,
        paging,
        lambda client, **page: client.list_adjustments(sale_id, sku=sku, **page),
        without(ADJUSTMENTS, *(["item"] if sku else [])),
        sale_id=sale_id,
        sku=sku,
    )
