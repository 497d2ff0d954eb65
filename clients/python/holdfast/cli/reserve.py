"""The command `reserve`: one request that is typed, or those of a file."""

from datetime import timedelta
from typing import Annotated

import typer

from holdfast.cli.ask import Options, call_and_print, calls_server
from holdfast.cli.fail import NO
from holdfast.cli.new_ids import NewId
from holdfast.cli.parsing import duration, units
from holdfast.cli.render import show_outcome
from holdfast.cli.request_files import read_requests
from holdfast.cli.reserve_many import reserve_many
from holdfast.client import Client
from holdfast.inventory.v1.inventory_service_pb2 import ReserveResponse

FILE_HELP = (
    "Reserve what a file asks for, - for standard input: a request a line as JSON, or CSV with the columns sale_id,"
    " reservation_id, buyer_id, lines (lamp=2 shade=1), hold_ttl and reference. One request from the options if not"
    " given."
)
SaleOrFile = Annotated[
    str, typer.Argument(metavar="SALE_ID", help="The sale's id; if not given, each line of --file names it.")
]
Lines = Annotated[
    list[str] | None,
    typer.Option(
        "--line", metavar="SKU=QTY", help="Units of an item; repeat for more; --file names them if not given."
    ),
]
Buyer = Annotated[str, typer.Option(help="Who buys; --file names each if not given.")]
NewReservationId = Annotated[str, typer.Option("--id", help="Makes repeats safe; made up and printed if not given.")]
Hold = Annotated[
    timedelta | None,
    typer.Option(parser=duration, metavar="DURATION", help="For how long, as 90s or 10m; the sale's if not given."),
]
Reference = Annotated[
    str, typer.Option(help="The id of what this is for, such as an order or a cart; none if not given.")
]
File = Annotated[str, typer.Option(metavar="FILE", help=FILE_HELP)]
JsonLines = Annotated[
    bool, typer.Option("--jsonl", help="With --file: print each result as JSON on a line of its own.")
]


@calls_server
def reserve(
    options: Options,
    sale_id: SaleOrFile = "",
    line: Lines = None,
    buyer: Buyer = "",
    reservation_id: NewReservationId = "",
    hold: Hold = None,
    reference: Reference = "",
    file: File = "",
    jsonl: JsonLines = False,
) -> None:
    """Hold units for a buyer, all lines or none; or for many buyers, as a file asks for."""
    if file:
        typed = {"--line": line, "--buyer": buyer, "--id": reservation_id, "--hold": hold, "--reference": reference}
        if given := [name for name, value in typed.items() if value]:
            raise typer.BadParameter(f"--file says it for each request: leave {', '.join(given)} out")
        reserve_many(options, read_requests(file, sale_id), as_json=jsonl or options.json)
        return
    if not (sale_id and buyer and line):
        raise typer.BadParameter("give SALE_ID, --buyer and --line, or --file")
    _reserve_one(options, sale_id, reservation_id, buyer, units(line), hold, reference)


def _reserve_one(
    options: Options,
    sale_id: str,
    reservation_id: str,
    buyer: str,
    lines: dict[str, int],
    hold: timedelta | None,
    reference: str,
) -> None:
    new = NewId(reservation_id, "r")

    async def call(client: Client) -> ReserveResponse:
        new.print("reservation")
        return await client.reserve(sale_id, new.id, buyer, lines, hold_ttl=hold, reference=reference)

    response = call_and_print(options, call, show_outcome, sale_id=sale_id, reservation_id=new.id)
    if not response.HasField("reservation"):
        raise typer.Exit(NO)
