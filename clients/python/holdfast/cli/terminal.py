"""What a command writes: to standard output and standard error, with control characters escaped."""

import errno
import io
import sys
import unicodedata
from typing import TextIO, cast

from rich.console import Console

# Ids are copied from the screen, so they are neither wrapped, nor coloured, nor read as markup or `:emoji:`.
screen = Console(soft_wrap=True, highlight=False, markup=False, emoji=False)
messages = Console(stderr=True, soft_wrap=True, highlight=False, markup=False, emoji=False)

# Control, format and surrogate characters, and the separators of lines and paragraphs: they move the cursor, clear the
# screen or turn the direction of the text. Two joiners are part of how words and emoji are written.
ESCAPED = {"Cc", "Cf", "Cs", "Zl", "Zp"}
JOINERS = "\u200c\u200d"


def printable(text: str) -> str:
    """The text with each control character as its Python escape, for example `\\x1b`."""
    return "".join(_escaped(character) for character in text)


def _escaped(character: str) -> str:
    if unicodedata.category(character) not in ESCAPED or character in JOINERS:
        return character
    return character.encode("unicode_escape").decode()


class LenientOutput:
    """An output whose failed writes raise nothing, so that the exit code depends on the call and not on the pipe."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.has_failed = False

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except OSError as error:
            self._report(error)
            return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError as error:
            self._report(error)

    def _report(self, error: OSError) -> None:
        """Once, on standard error; a reader that closed the pipe, as `head` does, has what it wanted."""
        is_first, self.has_failed = not self.has_failed, True
        if is_first and error.errno != errno.EPIPE:
            messages.print(f"holdfast: the output could not be written: {error.strerror}")


def is_output_lost() -> bool:
    """Whether standard output takes nothing more, as when `head` has read enough: more would be written for nothing."""
    return getattr(sys.stdout, "has_failed", False)


def make_output_lenient() -> None:
    """From here on nothing that cannot be printed raises an error; what an encoding lacks is printed as an escape."""
    sys.stdout, sys.stderr = _lenient(sys.stdout), _lenient(sys.stderr)


def _lenient(stream: TextIO) -> TextIO:
    if isinstance(stream, io.TextIOWrapper):  # Python sets None where a process is started without the stream
        stream.reconfigure(errors="backslashreplace")
        return cast(TextIO, LenientOutput(stream))
    return stream
