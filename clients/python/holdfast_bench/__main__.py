"""`python -m holdfast_bench bench`: the process behind the command `holdfast bench`."""

import typer
from holdfast.cli.command_group import CommandGroup
from holdfast.cli.terminal import make_output_lenient

from holdfast_bench.command import bench

app = typer.Typer(
    cls=CommandGroup,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_show_locals=False,
)
app.command()(bench)


@app.callback()
def main() -> None:
    """Put loads on a server."""


if __name__ == "__main__":
    make_output_lenient()
    app(prog_name="holdfast")
