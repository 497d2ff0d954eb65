"""The commands on reservations: look at them, list and watch them, confirm, release and change them."""

from datetime import timedelta
from typing import Annotated, Any

import typer

from holdfast.cli.ask import Options, ReservationId, SaleId, call_and_print, calls_server
from holdfast.cli.changes import ReservationChanges
from holdfast.cli.columns import RESERVATIONS, without
from holdfast.cli.fail import NO
from holdfast.cli.lists import Paging, print_list, states_option
from holdfast.cli.parsing import duration, units, whole_number
from holdfast.cli.render import show_moved, show_outcome
from holdfast.cli.watch import watch_and_print
from holdfast.inventory.v1.reservation_pb2 import ReservationState

app = typer.Typer(help="Show, list and watch reservations; confirm, release and change them.", no_args_is_help=True)

Lines = Annotated[list[str], typer.Option("--line", metavar="SKU=QTY", help="Units of an item; repeat for more.")]
SomeLines = Annotated[
    list[str] | None,
    typer.Option("--line", metavar="SKU=QTY", help="Units of an item; repeat for more. All if not given."),
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
Buyer = Annotated[str, typer.Option(help="Of this buyer; of any if not given.")]
Sale = Annotated[str, typer.Option(help="Of this sale; of any if not given.")]
AnyReference = Annotated[str, typer.Option("--reference", help="With this reference; with any if not given.")]
States = Annotated[list[Any] | None, states_option(ReservationState)]
Reason = Annotated[str, typer.Option(help="Why, for the record; none if not given.")]
ReturnReason = Annotated[str, typer.Option(help="Why, for the record.")]
SpendId = Annotated[bool, typer.Option("--spend-id", help="End the id even if no reservation has it.")]
Discard = Annotated[bool, typer.Option("--discard", help="Take what comes back out of the sale, as if it were broken.")]
Revision = Annotated[
    int | None,
    typer.Option(callback=whole_number, help="Only if this is the reservation's revision; any if not given."),
]


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


@app.command("list")
@calls_server
def list_(
    paging: Paging,
    options: Options,
    buyer: Buyer = "",
    sale: Sale = "",
    reference: AnyReference = "",
    state: States = None,
) -> None:
    """List reservations of a buyer, of a sale, or with a reference, newest first."""
    if not (buyer or sale or reference):
        raise typer.BadParameter("give --buyer, --sale or --reference")
    print_list(
        options,
        paging,
        lambda client, **page: client.list_reservations(
            buyer_id=buyer, sale_id=sale, reference=reference, states=state or (), **page
        ),
        without(RESERVATIONS, *(head for head, chosen in (("buyer", buyer), ("sale", sale)) if chosen)),
        buyer_id=buyer,
        sale_id=sale,
    )


@app.command()
@calls_server
def watch(options: Options, sale_id: SaleId, reservation_id: ReservationId) -> None:
    """Print a line for each change of a reservation, or a JSON object a line; Ctrl-C ends it."""
    watch_and_print(
        options,
        lambda client: client.watch_reservation(sale_id, reservation_id),
        ReservationChanges().lines,
        ended="it is not held any more, and the ledger has its last change: there is no more to watch",
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
