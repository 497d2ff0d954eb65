"""Print the lines of many processes so that a person can read them: a prefix each, one colour a process."""

import os
import threading
import time
from collections.abc import Callable
from typing import TextIO

COLOURS = (36, 32, 33, 35, 34, 96, 92, 93, 95, 94)  # SGR foreground colours that stand out on dark and on light
PREFIX_WIDTH = 10

Say = Callable[[str, str], None]


class Console:
    """Says lines, each after the name of who says it. Threads may share it."""

    def __init__(self, stream: TextIO, colours: bool) -> None:
        self._stream = stream
        self._colours = colours
        self._colour_of: dict[str, int] = {}
        self._lock = threading.Lock()
        self._said_at = time.monotonic()

    def say(self, name: str, line: str) -> None:
        """Print one line of one process."""
        with self._lock:
            print(f"{self._prefix(name)} {line}", file=self._stream, flush=True)
            self._said_at = time.monotonic()

    def silent_s(self) -> float:
        """For how long nobody has said anything."""
        return time.monotonic() - self._said_at

    def _prefix(self, name: str) -> str:
        prefix = f"{name:<{PREFIX_WIDTH}} |"
        if not self._colours:
            return prefix
        colour = self._colour_of.setdefault(name, COLOURS[len(self._colour_of) % len(COLOURS)])
        return f"\x1b[{colour}m{prefix}\x1b[0m"


def wants_colours(stream: TextIO) -> bool:
    """Colours are for terminals, unless their owner has said no (https://no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR")
