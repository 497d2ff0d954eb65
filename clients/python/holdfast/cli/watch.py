"""Watches: a line, or a JSON object on a line, for each change, until the watch ends or is interrupted."""

from collections.abc import AsyncIterator, Callable, Iterable
from typing import NoReturn, TypeVar

import typer
from google.protobuf.message import Message

from holdfast.cli.ask import Options, ask
from holdfast.cli.fail import INTERRUPTED, CommandFailed
from holdfast.cli.json_output import print_json_line
from holdfast.cli.render import show
from holdfast.cli.terminal import is_output_lost, messages
from holdfast.client import Client

Change = TypeVar("Change", bound=Message)
Watch = Callable[[Client], AsyncIterator[Change]]


def watch_and_print(
    options: Options, watch: Watch[Change], lines: Callable[[Change], Iterable[str]], *, ended: str, **ids: str
) -> None:
    """Print each message of a watch as it comes; `ended` says what it means that there are no more.

    Otherwise fail with a sentence that names `ids`, what is watched.
    """

    async def call(client: Client) -> None:
        async for change in watch(client):
            if options.json:
                print_json_line(change)
            else:
                for line in lines(change):
                    show(line)
            if is_output_lost():
                return
        messages.print(ended, style="dim")

    try:
        ask(options, call, ids, _end)
    except CommandFailed as failure:
        failure.is_in_lines = True
        raise


def _end(is_sent: bool) -> NoReturn:
    """Ctrl-C is how a watch ends: nothing is said, and the exit code differs from that of an end by itself."""
    raise typer.Exit(INTERRUPTED)
