"""`python -m holdfast_embedded up | demo`: the processes behind the commands `holdfast up` and `holdfast demo`."""

import typer

from holdfast_embedded.demo.command import demo
from holdfast_embedded.up import up

app = typer.Typer(add_completion=False, no_args_is_help=True, rich_markup_mode="markdown")
app.command()(up)
app.command()(demo)


@app.callback()
def main() -> None:
    """Run Holdfast on servers that come with it."""


if __name__ == "__main__":
    app(prog_name="holdfast")
