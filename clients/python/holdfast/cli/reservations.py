"""The buyer's commands: reserve, confirm, release, get."""

from datetime import timedelta
from typing import Annotated
from uuid import uuid4

import typer

from holdfast.cli.asking import (
    DEFAULT_ADDRESS,
    DEFAULT_TIMEOUT_S,
    NO,
    Address,
    Json,
    ReservationId,
    SaleId,
    Timeout,
    ask,
    complaints,
)
from holdfast.cli.facts import print_json
from holdfast.cli.parsing import duration, units
from holdfast.cli.showing import show_rejection, show_reservation
from holdfast.client import Client
from holdfast.inventory.v1.inventory_service_pb2 import ReserveResponse


def reserve(
    sale_id: SaleId,
    line: Annotated[list[str], typer.Option(metavar="SKU=QTY", help="Units of an item; repeat for more.")],
    buyer: Annotated[str, typer.Option(help="Who buys.")],
    reservation_id: Annotated[
        str, typer.Option("--id", help="Makes repeats safe; made up and printed if not given.")
    ] = "",
    hold: Annotated[
        timedelta | None,
        typer.Option(parser=duration, metavar="DURATION", help="For how long, as 90s or 10m; the sale's if not given."),
    ] = None,
    json: Json = False,
    address: Address = DEFAULT_ADDRESS,
    timeout_s: Timeout = DEFAULT_TIMEOUT_S,
) -> None:
    """Hold units for a buyer, all lines or none."""
    lines, made_up = units(line), "" if reservation_id else f"r-{uuid4().hex[:12]}"

    async def question(client: Client) -> ReserveResponse:
        if made_up:  # said first, for whoever is interrupted while asking
            complaints.print(f"reservation id {made_up} (repeat with --id {made_up})", style="dim")
        return await client.reserve(sale_id, reservation_id or made_up, buyer, lines, hold_ttl=hold)

    response = ask(address, timeout_s, question)
    print_json(response) if json else _show_outcome(response)
    if not response.HasField("reservation"):
        raise typer.Exit(NO)


def _show_outcome(response: ReserveResponse) -> None:
    """An answer with neither case set comes from a newer server and means no units."""
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
) -> None:
    """Sell what is held."""
    response = ask(address, timeout_s, lambda client: client.confirm(sale_id, reservation_id))
    if json:
        print_json(response)
    else:
        show_reservation(response.reservation, response.read_time, replayed=response.replayed)


def release(
    sale_id: SaleId,
    reservation_id: ReservationId,
    reason: Annotated[str, typer.Option(help="Why, for the books; none if not given.")] = "",
    spend_id: Annotated[bool, typer.Option("--spend-id", help="End the id even if nothing is known of it.")] = False,
    json: Json = False,
    address: Address = DEFAULT_ADDRESS,
    timeout_s: Timeout = DEFAULT_TIMEOUT_S,
) -> None:
    """Give back what is held."""
    response = ask(
        address,
        timeout_s,
        lambda client: client.release(sale_id, reservation_id, reason=reason, spend_id=spend_id),
    )
    if json:
        print_json(response)
    else:
        show_reservation(response.reservation, response.read_time, replayed=response.replayed)


def get(
    sale_id: SaleId,
    reservation_id: ReservationId,
    json: Json = False,
    address: Address = DEFAULT_ADDRESS,
    timeout_s: Timeout = DEFAULT_TIMEOUT_S,
) -> None:
    """Show a reservation as it stands."""
    response = ask(address, timeout_s, lambda client: client.get_reservation(sale_id, reservation_id))
    print_json(response) if json else show_reservation(response.reservation, response.read_time)
