"""Does the same with each of several systems, and notes those with which it fails."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from bench.strategies.system import System

Result = TypeVar("Result")


class Attempts:
    """The failure of each system, by name; with one that has failed nothing more is done."""

    def __init__(self) -> None:
        self.failures: dict[str, str] = {}

    def each(self, systems: Sequence[System], action: Callable[[System], Result]) -> dict[str, Result]:
        """The result of each with which it succeeds, by name."""
        results = {}
        for system in systems:
            if system.name not in self.failures:
                try:
                    results[system.name] = action(system)
                except Exception as error:  # noqa: BLE001  whatever it is, the others are not to be lost by it
                    self.failures[system.name] = described(error)
        return results


def described(error: Exception) -> str:
    """An error with its kind, for some have no message."""
    return f"{type(error).__name__}: {error}"
