"""The commands on reservations: reserve, confirm, release, change, and look."""

from datetime import timedelta
from typing import Annotated
from uuid import uuid4

import typer

from holdfast.cli.ask import Options, ReservationId, SaleId, call_and_print, calls_server
from holdfast.cli.fail import NO
from holdfast.cli.parsing import duration, units, whole_number
from holdfast.cli.render import show_moved, show_outcome
from holdfast.cli.terminal import messages
from holdfast.client import Client
from holdfast.inventory.v1.inventory_service_pb2 import ReserveResponse

app = typer.Typer(help="Confirm, release and change reservations, and show them.", no_args_is_help=True)

Lines = Annotated[list[str], typer.Option("--line", metavar="SKU=QTY", help="Units of an item; repeat for more.")]
SomeLines = Annotated[
    list[str] | None,
    typer.Option("--line", metavar="SKU=QTY", help="Units of an item; repeat for more. All if not given."),
]
NewId = Annotated[str, typer.Option("--id", help="Makes repeats safe; made up and printed if not given.")]
Hold = Annotated[
    timedelta | None,
    typer.Option(parser=duration, metavar="DURATION", help="For how long, as 90s or 10m; the sale's if not given."),
]
Life = Annotated[
    timedelta | None,
    typer.Option(
        "--hold",
        parser=duration,
        metavar="DURATION",
        help="How long in all, as 30m, counted from when it was made; if not given, --by is.",
    ),
]
By = Annotated[
    timedelta | None,
    typer.Option(parser=duration, metavar="DURATION", help="How long from now, as 10m; if not given, --hold is."),
]
Reference = Annotated[
    str, typer.Option(help="The id of what this is for, such as an order or a cart; none if not given.")
]
Reason = Annotated[str, typer.Option(help="Why, for the record; none if not given.")]
ReturnReason = Annotated[str, typer.Option(help="Why, for the record.")]
SpendId = Annotated[bool, typer.Option("--spend-id", help="End the id even if no reservation has it.")]
Discard = Annotated[bool, typer.Option("--discard", help="Take what comes back out of the sale, as if it were broken.")]
Revision = Annotated[
    int | None,
    typer.Option(callback=whole_number, help="Only if this is the reservation's revision; any if not given."),
]


@calls_server
def reserve(
    options: Options,
    sale_id: SaleId,
    line: Lines,
    buyer: Annotated[str, typer.Option(help="Who buys.")],
    reservation_id: NewId = "",
    hold: Hold = None,
    reference: Reference = "",
) -> None:
    """Hold units for a buyer, all lines or none."""
    lines, is_made_up = units(line), not reservation_id
    reservation_id = reservation_id or f"r-{uuid4().hex[:12]}"

    async def call(client: Client) -> ReserveResponse:
        if is_made_up:  # before the call, so that an interrupted one can be repeated
            messages.print(f"reservation id {reservation_id} (repeat with --id {reservation_id})", style="dim")
        return await client.reserve(sale_id, reservation_id, buyer, lines, hold_ttl=hold, reference=reference)

    response = call_and_print(options, call, show_outcome, sale_id=sale_id, reservation_id=reservation_id)
    if not response.HasField("reservation"):
        raise typer.Exit(NO)


@app.command()
@calls_server
def get(options: Options, sale_id: SaleId, reservation_id: ReservationId) -> None:
    """Show a reservation as it stands."""
    call_and_print(
        options,
        lambda client: client.get_reservation(sale_id, reservation_id),
        show_moved,
        reads=True,
        sale_id=sale_id,
        reservation_id=reservation_id,
    )


@app.command()
@calls_server
def confirm(
    options: Options,
    sale_id: SaleId,
    reservation_id: ReservationId,
    line: SomeLines = None,
    revision: Revision = None,
) -> None:
    """Sell what is held, or some of it, and give the rest back."""
    lines = units(line) if line else None
    call_and_print(
        options,
        lambda client: client.confirm(sale_id, reservation_id, lines=lines, expected_revision=revision),
        show_moved,
        sale_id=sale_id,
        reservation_id=reservation_id,
    )


@app.command()
@calls_server
def release(
    options: Options,
    sale_id: SaleId,
    reservation_id: ReservationId,
    reason: Reason = "",
    spend_id: SpendId = False,
    revision: Revision = None,
) -> None:
    """Give back what is held."""
    call_and_print(
        options,
        lambda client: client.release(
            sale_id, reservation_id, reason=reason, spend_id=spend_id, expected_revision=revision
        ),
        show_moved,
        sale_id=sale_id,
        reservation_id=reservation_id,
    )


@app.command()
@calls_server
def extend(
    options: Options,
    sale_id: SaleId,
    reservation_id: ReservationId,
    hold: Life = None,
    by: By = None,
    revision: Revision = None,
) -> None:
    """Let a hold live longer, up to the longest that the sale allows."""
    if (hold is None) == (by is None):
        raise typer.BadParameter("give either --hold or --by")
    call_and_print(
        options,
        lambda client: client.extend(sale_id, reservation_id, hold, by=by, expected_revision=revision),
        show_moved,
        sale_id=sale_id,
        reservation_id=reservation_id,
    )


@app.command()
@calls_server
def change(
    options: Options, sale_id: SaleId, reservation_id: ReservationId, line: Lines, revision: Revision = None
) -> None:
    """Hold these lines instead, all or none; an item that is not named is given back."""
    lines = units(line)
    response = call_and_print(
        options,
        lambda client: client.change(sale_id, reservation_id, lines, expected_revision=revision),
        show_outcome,
        sale_id=sale_id,
        reservation_id=reservation_id,
    )
    if not response.HasField("reservation"):
        raise typer.Exit(NO)


@app.command("return")
@calls_server
def return_(
    options: Options,
    sale_id: SaleId,
    reservation_id: ReservationId,
    reason: ReturnReason,
    line: SomeLines = None,
    discard: Discard = False,
    revision: Revision = None,
) -> None:
    """Take sold units back; --line says how many have come back in all, earlier returns included."""
    lines = units(line) if line else None
    call_and_print(
        options,
        lambda client: client.return_(
            sale_id, reservation_id, reason, lines=lines, discard=discard, expected_revision=revision
        ),
        show_moved,
        sale_id=sale_id,
        reservation_id=reservation_id,
    )
