"""The buyer's commands: reserve, confirm, release, get."""

from datetime import timedelta
from typing import Annotated
from uuid import uuid4

import typer

from holdfast.cli.ask import (
    DEFAULT_ADDRESS,
    DEFAULT_TIMEOUT_S,
    Address,
    Json,
    ReservationId,
    SaleId,
    Server,
    Timeout,
    UseProxy,
    ask,
)
from holdfast.cli.fail import NO
from holdfast.cli.json_output import print_json
from holdfast.cli.parsing import duration, units
from holdfast.cli.render import show_rejection, show_reservation
from holdfast.cli.terminal import messages
from holdfast.client import Client
from holdfast.inventory.v1.inventory_service_pb2 import (
    ConfirmReservationResponse,
    ReleaseReservationResponse,
    ReserveResponse,
)

Line = Annotated[list[str], typer.Option(metavar="SKU=QTY", help="Units of an item; repeat for more.")]
NewId = Annotated[str, typer.Option("--id", help="Makes repeats safe; made up and printed if not given.")]
Hold = Annotated[
    timedelta | None,
    typer.Option(parser=duration, metavar="DURATION", help="For how long, as 90s or 10m; the sale's if not given."),
]
Reference = Annotated[str, typer.Option(help="What this is for, such as an order or a cart; none if not given.")]
Reason = Annotated[str, typer.Option(help="Why, for the record; none if not given.")]
SpendId = Annotated[bool, typer.Option("--spend-id", help="End the id even if no reservation has it.")]


def reserve(
    sale_id: SaleId,
    line: Line,
    buyer: Annotated[str, typer.Option(help="Who buys.")],
    reservation_id: NewId = "",
    hold: Hold = None,
    reference: Reference = "",
    json: Json = False,
    address: Address = DEFAULT_ADDRESS,
    timeout_s: Timeout = DEFAULT_TIMEOUT_S,
    use_proxy: UseProxy = False,
) -> None:
    """Hold units for a buyer, all lines or none."""
    lines, is_made_up = units(line), not reservation_id
    reservation_id = reservation_id or f"r-{uuid4().hex[:12]}"

    async def call(client: Client) -> ReserveResponse:
        if is_made_up:  # before the call, so that an interrupted one can be repeated
            messages.print(f"reservation id {reservation_id} (repeat with --id {reservation_id})", style="dim")
        return await client.reserve(sale_id, reservation_id, buyer, lines, hold_ttl=hold, reference=reference)

    server = Server(address, timeout_s, use_proxy)
    response = ask(server, call, sale_id=sale_id, reservation_id=reservation_id)
    print_json(response) if json else _show_outcome(response)
    if not response.HasField("reservation"):
        raise typer.Exit(NO)


def _show_outcome(response: ReserveResponse) -> None:
    """A reservation or a rejection; a response with neither comes from a newer server and holds no units."""
    if response.HasField("reservation"):
        show_reservation(response.reservation, response.read_time, replayed=response.replayed)
    else:
        show_rejection(response.rejection, response.read_time)


def confirm(
    sale_id: SaleId,
    reservation_id: ReservationId,
    json: Json = False,
    address: Address = DEFAULT_ADDRESS,
    timeout_s: Timeout = DEFAULT_TIMEOUT_S,
    use_proxy: UseProxy = False,
) -> None:
    """Sell what is held."""
    response = ask(
        Server(address, timeout_s, use_proxy),
        lambda client: client.confirm(sale_id, reservation_id),
        sale_id=sale_id,
        reservation_id=reservation_id,
    )
    print_json(response) if json else _show_moved(response)


def release(
    sale_id: SaleId,
    reservation_id: ReservationId,
    reason: Reason = "",
    spend_id: SpendId = False,
    json: Json = False,
    address: Address = DEFAULT_ADDRESS,
    timeout_s: Timeout = DEFAULT_TIMEOUT_S,
    use_proxy: UseProxy = False,
) -> None:
    """Give back what is held."""
    response = ask(
        Server(address, timeout_s, use_proxy),
        lambda client: client.release(sale_id, reservation_id, reason=reason, spend_id=spend_id),
        sale_id=sale_id,
        reservation_id=reservation_id,
    )
    print_json(response) if json else _show_moved(response)


def _show_moved(response: ConfirmReservationResponse | ReleaseReservationResponse) -> None:
    show_reservation(response.reservation, response.read_time, replayed=response.replayed)


def get(
    sale_id: SaleId,
    reservation_id: ReservationId,
    json: Json = False,
    address: Address = DEFAULT_ADDRESS,
    timeout_s: Timeout = DEFAULT_TIMEOUT_S,
    use_proxy: UseProxy = False,
) -> None:
    """Show a reservation as it stands."""
    response = ask(
        Server(address, timeout_s, use_proxy),
        lambda client: client.get_reservation(sale_id, reservation_id),
        reads=True,
        sale_id=sale_id,
        reservation_id=reservation_id,
    )
    print_json(response) if json else show_reservation(response.reservation, response.read_time)
