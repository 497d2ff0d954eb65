"""The outermost group of commands: ends each failed command with one line, and with one JSON object if asked for."""

import json
import sys
from collections.abc import Sequence
from typing import Any

import typer
from typer.core import TyperGroup

from holdfast.cli.fail import NOT_DONE, UNKNOWN, CommandFailed, fail
from holdfast.cli.processes import PROCESSES
from holdfast.cli.terminal import messages, printable


class CommandGroup(TyperGroup):
    """Runs a command and ends the process with its exit code."""

    def main(self, args: Sequence[str] | None = None, *rest: Any, **options: Any) -> Any:
        words = list(sys.argv[1:] if args is None else args)
        options["standalone_mode"] = False  # errors are raised to here instead of printed in a box
        try:
            _check_text(words)
            exit_code = super().main(words, *rest, **options) or 0
        except CommandFailed as failure:
            exit_code = _report(failure, words)
        except typer.TyperException as error:
            exit_code = _report(_usage_failure(error), words) if error.format_message() else NOT_DONE
        except Exception as error:  # noqa: BLE001  the exit code 1 of Python would read as an answer
            exit_code = _report(_unforeseen(error), words)
        sys.exit(exit_code)


def _check_text(words: Sequence[str]) -> None:
    """Reject bytes that are not UTF-8, except for processes: a path among their arguments may hold any byte."""
    if words[:1] and words[0] in PROCESSES:
        return
    for word in words:
        try:
            word.encode()
        except UnicodeEncodeError:
            shown = word.encode(errors="surrogateescape").decode(errors="backslashreplace")
            fail(f"an argument is not UTF-8: {shown}")


def _usage_failure(error: typer.TyperException) -> CommandFailed:
    context = getattr(error, "ctx", None)
    hint = f"; see `{context.command_path} --help`" if context else ""
    words = error.format_message().replace("Value error, ", "").split()  # Typer says it before its own reasons
    message = " ".join(words).rstrip(".")
    return CommandFailed(message + hint, NOT_DONE, code="INVALID_ARGUMENT")


def _unforeseen(error: Exception) -> CommandFailed:
    what = " ".join(f"{type(error).__name__}: {error}".split())
    message = f"it is unknown whether this was done, because of an error of the command itself ({what})"
    return CommandFailed(message, UNKNOWN, code="UNKNOWN")


def _report(failure: CommandFailed, words: Sequence[str]) -> int:
    if "--jsonl" in words or ("--json" in words and failure.is_in_lines):
        print(json.dumps(failure.as_dict()))
    elif "--json" in words:
        print(json.dumps(failure.as_dict(), indent=2))
    messages.print(printable(failure.line()))
    return failure.exit_code
