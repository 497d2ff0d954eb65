"""Writes rows as an aligned table that fits the terminal: long texts are cut, and some columns are left out."""

import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Generic, NamedTuple, TypeVar

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from holdfast.cli.terminal import messages, printable, screen

Row = TypeVar("Row")

GAP = "  "
SHORTEST = 8  # what is left of a text that is cut
CUT = "…"


class Column(NamedTuple, Generic[Row]):
    """A column: its head, its text of a row, and what becomes of it where the terminal is too narrow."""

    head: str
    text: Callable[[Row], str]
    is_number: bool = False  # aligned to the right
    is_cut: bool = False  # else its values are ids or moments, which are of no use in part
    is_optional: bool = False  # may be left out altogether, the last one first


class Table(Generic[Row]):
    """Prints rows as they come, below one head; the first ones say how wide the columns are.

    Where output is no terminal nothing is cut or left out.
    """

    def __init__(self, columns: Sequence[Column[Row]]) -> None:
        self._columns = list(columns)
        self._widths: list[int] | None = None

    def print_rows(self, rows: Sequence[Row]) -> None:
        """Print some rows, and before the first of all the head."""
        if not rows:
            return
        if self._widths is None:
            self._begin(rows)
        for row in rows:
            screen.print(self._line(self._cells(row)))

    def _begin(self, rows: Sequence[Row]) -> None:
        natural = [_natural_width(column, rows) for column in self._columns]
        shown, self._widths = fit(self._columns, natural, screen.width if screen.is_terminal else sys.maxsize)
        if left_out := [column.head for column in self._columns if column not in shown]:
            messages.print(f"the terminal is too narrow for: {', '.join(left_out)}", style="dim")
        self._columns = shown
        screen.print(self._line([column.head for column in shown]), style="dim")

    def _cells(self, row: Row) -> list[str]:
        return [printable(column.text(row)) for column in self._columns]

    def _line(self, cells: Sequence[str]) -> Text:
        assert self._widths is not None
        aligned = (_aligned(*each) for each in zip(cells, self._columns, self._widths, strict=True))
        return Text(GAP.join(aligned).rstrip())


def fit(columns: Sequence[Column[Row]], natural: Sequence[int], width: int) -> tuple[list[Column[Row]], list[int]]:
    """The columns for which there is room, and the width of each. Where even those are too wide, the terminal wraps."""
    shown = list(zip(columns, natural, strict=True))
    optional = [each for each in shown if each[0].is_optional]
    while optional and _total(map(_least, shown)) > width:
        shown.remove(optional.pop())
    widths = [natural_width for _, natural_width in shown]
    while _total(widths) > width:
        spare = [widths[place] - _least(each) for place, each in enumerate(shown)]
        widest = max((place for place, more in enumerate(spare) if more), key=widths.__getitem__, default=None)
        if widest is None:
            break
        widths[widest] -= 1
    return [column for column, _ in shown], widths


def _least(sized: tuple[Column[Row], int]) -> int:
    column, natural = sized
    return min(natural, SHORTEST) if column.is_cut else natural


def _total(widths: Iterable[int]) -> int:
    every = list(widths)
    return sum(every) + len(GAP) * (len(every) - 1)


def _natural_width(column: Column[Row], rows: Sequence[Row]) -> int:
    return max(cell_len(text) for text in (column.head, *(printable(column.text(row)) for row in rows)))


def _aligned(cell: str, column: Column[Row], width: int) -> str:
    """The cell in its width; what may not be cut and is wider, in a row after the first ones, stays as it is."""
    length = cell_len(cell)
    if length > width:
        return set_cell_size(cell, width - 1) + CUT if column.is_cut else cell
    padding = " " * (width - length)
    return padding + cell if column.is_number else cell + padding
