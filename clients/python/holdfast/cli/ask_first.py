"""Asks a person before something is done that cannot be taken back."""

import sys
from typing import Annotated

import typer

from holdfast.cli.fail import NOT_DONE, fail
from holdfast.cli.terminal import messages, printable

Yes = Annotated[bool, typer.Option("--yes", help="Do it without asking; needed where no terminal can be asked.")]


def ask_first(question: str, yes: bool) -> None:
    """Go on if the answer is yes; otherwise fail, with nothing done. The question is printed on standard error."""
    if yes:
        return
    if not is_terminal():
        fail(f"{question} If so, add --yes", NOT_DONE, "CANCELLED")
    messages.print(printable(f"{question} [y/N] "), end="")
    try:
        is_yes = sys.stdin.readline().strip().lower() in ("y", "yes")
    except KeyboardInterrupt:
        messages.print()
        is_yes = False
    if not is_yes:
        fail("not confirmed; nothing was done", NOT_DONE, "CANCELLED")


def is_terminal() -> bool:
    """Whether a person can read the question and answer it."""
    return sys.stdin is not None and sys.stdin.isatty() and messages.is_terminal
