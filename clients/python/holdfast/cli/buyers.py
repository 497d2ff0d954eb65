"""The commands on buyers: block and unblock them, and list who is blocked."""

from typing import Annotated

import typer

from holdfast.cli.ask import Options, call_and_print, calls_server
from holdfast.cli.ask_first import Yes, ask_first
from holdfast.cli.columns import BLOCKED_BUYERS
from holdfast.cli.lists import Paging, print_list
from holdfast.cli.render import show
from holdfast.inventory.v1.inventory_admin_service_pb2 import BlockBuyerResponse, UnblockBuyerResponse

app = typer.Typer(help="Block buyers, take blocks back, and list them.", no_args_is_help=True)

BuyerId = Annotated[str, typer.Argument(help="The buyer's id.")]
Reason = Annotated[str, typer.Option(help="Why, for the record.")]


@app.command()
@calls_server
def block(options: Options, buyer_id: BuyerId, reason: Reason, yes: Yes = False) -> None:
    """Reject what a buyer asks for from now on, and refuse what is under way."""

    def blocked(response: BlockBuyerResponse) -> None:
        show(f"blocked  {buyer_id}")
        if response.replayed:
            show("  a repeat: the buyer was blocked before, and the first reason stays", "dim")

    ask_first(f"Block buyer {buyer_id}, and let the orders that are under way be refused for good?", yes)
    call_and_print(options, lambda client: client.block_buyer(buyer_id, reason), blocked, buyer_id=buyer_id)


@app.command()
@calls_server
def unblock(options: Options, buyer_id: BuyerId) -> None:
    """Take a block back; orders that were refused meanwhile stay refused."""

    def unblocked(response: UnblockBuyerResponse) -> None:
        show(f"not blocked  {buyer_id}")
        if response.replayed:
            show("  a repeat: the buyer was not blocked before either", "dim")

    call_and_print(options, lambda client: client.unblock_buyer(buyer_id), unblocked, buyer_id=buyer_id)


@app.command("list")
@calls_server
def list_(paging: Paging, options: Options) -> None:
    """List the buyers who are blocked, newest first."""
    print_list(options, paging, lambda client, **page: client.list_blocked_buyers(**page), BLOCKED_BUYERS)
