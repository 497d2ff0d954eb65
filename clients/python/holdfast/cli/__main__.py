"""The `holdfast` command: the list of its commands."""

from importlib.metadata import version
from typing import Annotated

import typer

from holdfast.cli import buyers, dead_letters, reservations, reserve, sales, stock, tokens
from holdfast.cli.command_group import CommandGroup
from holdfast.cli.fail import EXIT_CODES
from holdfast.cli.processes import add_processes
from holdfast.cli.terminal import make_output_lenient

VARIABLES = "\n".join(
    [
        "Variables, beside those of the options:",
        "  HOLDFAST_TOKEN, or HOLDFAST_TOKEN_FILE that has it: the token of each call",
        "  HOLDFAST_TLS=1, HOLDFAST_CA_FILE, HOLDFAST_CLIENT_CERT_FILE, HOLDFAST_CLIENT_KEY_FILE: connect by TLS",
    ]
)

app = typer.Typer(
    cls=CommandGroup,
    help="Holdfast sells every unit of a flash sale exactly once.",
    epilog=f"{EXIT_CODES}\n\n{VARIABLES}",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_show_locals=False,
)
ASK = "Ask a server"
GROUPS = {
    "sale": sales,
    "stock": stock,
    "reservation": reservations,
    "buyer": buyers,
    "dead-letter": dead_letters,
    "token": tokens,
}
for name, group in GROUPS.items():
    app.add_typer(group.app, name=name, rich_help_panel=ASK)
# The last three are short for those of `reservation`.
for command in (reserve.reserve, reservations.confirm, reservations.release, reservations.get):
    app.command(rich_help_panel=ASK)(command)
add_processes(app)


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"holdfast {version('holdfast')}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Holdfast sells every unit of a flash sale exactly once."""


def main() -> None:
    """The entry point of the `holdfast` script."""
    make_output_lenient()
    app(prog_name="holdfast")


if __name__ == "__main__":
    main()
