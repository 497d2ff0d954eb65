"""The commands on dead letters, the orders that the ledger refused for good: list and replay them."""

from typing import Annotated, Any

import typer

from holdfast.cli.ask import Options, call_and_print, calls_server
from holdfast.cli.ask_first import Yes, ask_first
from holdfast.cli.columns import DEAD_LETTERS
from holdfast.cli.fail import NO
from holdfast.cli.lists import Paging, print_list, states_option
from holdfast.cli.new_ids import NewId
from holdfast.cli.render import show, show_outcome, word
from holdfast.client import Client
from holdfast.inventory.v1.inventory_admin_service_pb2 import DeadLetterState, ReplayDeadLetterResponse

app = typer.Typer(help="List the orders that the ledger refused for good, and reserve them anew.", no_args_is_help=True)

Sale = Annotated[str, typer.Option(help="Of this sale; of any if not given.")]
States = Annotated[list[Any] | None, states_option(DeadLetterState)]
DeadLetterId = Annotated[str, typer.Argument(help="The dead letter's id, which `dead-letter list` shows.")]
ReplayId = Annotated[str, typer.Option("--id", help="The id of the new reservation; made up and printed if not given.")]


@app.command("list")
@calls_server
def list_(paging: Paging, options: Options, sale: Sale = "", state: States = None) -> None:
    """List dead letters, newest first."""
    print_list(
        options,
        paging,
        lambda client, **page: client.list_dead_letters(sale_id=sale, states=state or (), **page),
        DEAD_LETTERS,
        sale_id=sale,
    )


@app.command()
@calls_server
def replay(options: Options, dead_letter_id: DeadLetterId, reservation_id: ReplayId = "", yes: Yes = False) -> None:
    """Reserve anew, under a new id, what a refused order had; what had been sold is sold at once."""
    new = NewId(reservation_id, "r")
    ask_first(f"Reserve anew what dead letter {dead_letter_id} had, as reservation {new.id}?", yes)

    async def call(client: Client) -> ReplayDeadLetterResponse:
        new.print("reservation")
        return await client.replay_dead_letter(dead_letter_id, new.id)

    response = call_and_print(options, call, _show_replayed, dead_letter_id=dead_letter_id, reservation_id=new.id)
    if not response.outcome.HasField("reservation"):
        raise typer.Exit(NO)


def _show_replayed(response: ReplayDeadLetterResponse) -> None:
    letter = response.dead_letter
    show_outcome(response.outcome)
    replayed_as = f" as {letter.replayed_as}" if letter.replayed_as else ""
    show(f"  dead letter {letter.dead_letter_id}: {word(DeadLetterState, letter.state)}{replayed_as}", "dim")
