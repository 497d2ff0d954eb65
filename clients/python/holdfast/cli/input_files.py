"""Reads a text file that a command is given, or its standard input."""

import sys
from pathlib import Path

from holdfast.cli.fail import fail

STANDARD_INPUT = "-"


def name_of(file: str) -> str:
    """What messages call the file."""
    return "standard input" if file == STANDARD_INPUT else file


def text_of(file: str, most_bytes: int = -1) -> str:
    """The text of a file of at most so many bytes, any number if below 0; another one ends the command."""
    try:
        content = _content_of(file, most_bytes)
        if 0 <= most_bytes < len(content):
            fail(f"{name_of(file)}: has more than {most_bytes:,} bytes")
        return content.decode("utf-8-sig")
    except OSError as error:
        fail(f"{name_of(file)}: {error.strerror}")
    except UnicodeDecodeError as error:
        fail(f"{name_of(file)}: is not UTF-8 at byte {error.start}")


def _content_of(file: str, most_bytes: int) -> bytes:
    """A byte more than the most, if there is one."""
    size = most_bytes + 1 if most_bytes >= 0 else -1
    if file == STANDARD_INPUT:
        return sys.stdin.buffer.read(size)
    with Path(file).open("rb") as opened:
        return opened.read(size)
