"""Tables of the `holdfast` command: aligned, and as wide as the terminal; whole where output is no terminal."""

from collections.abc import Sequence

import pytest
from holdfast.cli import table
from holdfast.cli.table import Column, Table, fit
from rich.console import Console

Row = tuple[str, ...]
COLUMNS: Sequence[Column[Row]] = (
    Column("id", lambda row: row[0]),
    Column("units", lambda row: row[1], is_number=True),
    Column("reason", lambda row: row[2], is_cut=True),
    Column("note", lambda row: row[3], is_cut=True, is_optional=True),
    Column("by", lambda row: row[4], is_optional=True),
)
NATURAL = (10, 5, 40, 30, 12)
ROWS = [("a-1", "+5", "twenty more of them came", "電灯", "ann"), ("a-22", "-1,000", "lost", "", "")]


@pytest.mark.parametrize(
    ("width", "heads", "widths"),
    [
        (105, "id units reason note by", [10, 5, 40, 30, 12]),
        (95, "id units reason note by", [10, 5, 30, 30, 12]),
        (60, "id units reason note by", [10, 5, 12, 13, 12]),
        (50, "id units reason note", [10, 5, 14, 15]),
        (30, "id units reason", [10, 5, 11]),
        (20, "id units reason", [10, 5, 8]),
    ],
)
def test_what_does_not_fit_is_cut_and_then_left_out(width: int, heads: str, widths: list[int]) -> None:
    """Texts are cut first, the longest one more than others; an id never is, because half an id is of no use."""
    shown, found = fit(COLUMNS, NATURAL, width)

    assert " ".join(column.head for column in shown) == heads
    assert found == widths


def test_columns_are_aligned_and_their_widths_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wide characters count twice, numbers end together, and a page that follows has no second head."""
    screen = terminal(monkeypatch, 100)
    printing = Table(COLUMNS)

    with screen.capture() as capture:
        printing.print_rows(ROWS)
        printing.print_rows([("a-333", "+1", "a reason that is longer than those before", "", "")])

    assert capture.get().splitlines() == [
        "id     units  reason                    note  by",
        "a-1       +5  twenty more of them came  電灯  ann",
        "a-22  -1,000  lost",
        "a-333      +1  a reason that is longer…",
    ]


def test_a_narrow_terminal_is_told_what_it_does_not_show(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A column that is missing without a word would read as one that there is not."""
    screen = terminal(monkeypatch, 24)

    with screen.capture() as capture:
        Table(COLUMNS).print_rows(ROWS)

    assert capture.get().splitlines()[1] == "a-1       +5  twenty mo…"
    assert capsys.readouterr().err == "the terminal is too narrow for: note, by\n"


def test_nothing_is_cut_in_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    """`grep` must find what is there."""
    screen = terminal(monkeypatch, 24, is_terminal=False)

    with screen.capture() as capture:
        Table(COLUMNS).print_rows(ROWS)

    assert "twenty more of them came  電灯  ann" in capture.get()


def terminal(monkeypatch: pytest.MonkeyPatch, width: int, *, is_terminal: bool = True) -> Console:
    """A screen of so many columns in the place of the command's."""
    screen = Console(
        soft_wrap=True, width=width, force_terminal=is_terminal, color_system=None, highlight=False, markup=False
    )
    monkeypatch.setattr(table, "screen", screen)
    return screen
