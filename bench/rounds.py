"""The arithmetic of rounds: their order, their repetition, ratios within each, and the spread of those."""

import itertools
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from bench.failures import BenchmarkFailed

Round = TypeVar("Round")
Item = TypeVar("Item")
Key = TypeVar("Key")
Slot = TypeVar("Slot")


class RoundDisturbed(BenchmarkFailed):
    """A round whose figures are void, for the reason in the message."""


class TooManyDisturbed(BenchmarkFailed):
    """The machine is too busy to measure on."""


def rotated(items: Sequence[Item], by: int) -> list[Item]:
    """The items in their order, beginning elsewhere each time, so that none always follows the same pause."""
    start = by % len(items)
    return [*items[start:], *items[:start]]


def take_rounds(wanted: int, most_disturbed: int, take: Callable[[int], Round]) -> tuple[list[Round], int]:
    """As many rounds as wanted, and how many disturbed ones were repeated; TooManyDisturbed past a limit."""
    rounds: list[Round] = []
    disturbed = 0
    for number in itertools.count(1):
        try:
            rounds.append(take(number))
        except RoundDisturbed as reason:
            disturbed += 1
            print(f"round {number} is repeated: {reason}", file=sys.stderr, flush=True)
        if len(rounds) == wanted:
            break
        if disturbed > most_disturbed:
            raise TooManyDisturbed(f"{disturbed} rounds were disturbed, and {len(rounds)} of {wanted} were not")
    return rounds, disturbed


def take_after_warm_up(wanted: int, most_disturbed: int, take: Callable[[int], Round]) -> tuple[list[Round], int]:
    """The same, after a round that is not counted: round 0."""
    take_rounds(1, most_disturbed, lambda _: take(0))
    return take_rounds(wanted, most_disturbed, take)


def quartiles(values: Sequence[float]) -> tuple[float, float, float]:
    """The first quartile, the median and the third quartile."""
    if len(values) == 1:
        return values[0], values[0], values[0]
    first, median, third = statistics.quantiles(values, n=4, method="inclusive")
    return first, median, third


def ratios(
    rounds: Sequence[Mapping[Key, Slot]],
    of: Key,
    to: Key,
    value: Callable[[Slot], float],
) -> list[float]:
    """What one slot came to in proportion to another, round by round."""
    return [value(measurements[of]) / value(measurements[to]) for measurements in rounds]


def spread(values: Sequence[float], digits: int) -> str:
    """The median with its quartiles, for a table."""
    first, median, third = quartiles(values)
    return f"{median:.{digits}f} ({first:.{digits}f}-{third:.{digits}f})"


def spread_of(values: Sequence[float], digits: int) -> dict[str, float]:
    """The same, for JSON."""
    first, median, third = quartiles(values)
    return {"median": round(median, digits), "first": round(first, digits), "third": round(third, digits)}
