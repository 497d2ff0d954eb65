"""Prints the output lines of several processes to one stream, each line with its process's name and colour."""

import os
import threading
import time
from collections.abc import Callable
from typing import TextIO

COLOURS = (36, 32, 33, 35, 34, 96, 92, 93, 95, 94)  # SGR foreground colours, legible on dark and on light terminals
PREFIX_WIDTH = 10

WriteLine = Callable[[str, str], None]  # (name of the process, line)


class Console:
    """Writes lines, each after the name of its process. Thread-safe."""

    def __init__(self, stream: TextIO, colours: bool) -> None:
        self._stream = stream
        self._colours = colours
        self._colour_of: dict[str, int] = {}
        self._lock = threading.Lock()
        self._last_write = time.monotonic()

    def write_line(self, name: str, line: str) -> None:
        """Print one line of one process."""
        with self._lock:
            print(f"{self._prefix(name)} {line}", file=self._stream, flush=True)
            self._last_write = time.monotonic()

    def idle_s(self) -> float:
        """Return the seconds since the last line."""
        return time.monotonic() - self._last_write

    def _prefix(self, name: str) -> str:
        prefix = f"{name:<{PREFIX_WIDTH}} |"
        if not self._colours:
            return prefix
        colour = self._colour_of.setdefault(name, COLOURS[len(self._colour_of) % len(COLOURS)])
        return f"\x1b[{colour}m{prefix}\x1b[0m"


def wants_colours(stream: TextIO) -> bool:
    """Return whether the stream is a terminal and NO_COLOR (https://no-color.org) is not set."""
    return stream.isatty() and not os.environ.get("NO_COLOR")
