"""`python -m holdfast_embedded up`: what the `holdfast up` command runs."""

import typer

from holdfast_embedded.up import up

app = typer.Typer(add_completion=False, no_args_is_help=True)
app.command()(up)


@app.callback()
def main() -> None:
    """Run Holdfast on servers that come with it."""


if __name__ == "__main__":
    app(prog_name="holdfast")
