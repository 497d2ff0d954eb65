"""Tables in Markdown."""

from collections.abc import Iterator, Sequence


def row_of(*cells: str) -> str:
    """One row."""
    return f"| {' | '.join(cells)} |"


def head_of(*columns: str) -> list[str]:
    """The two lines above the rows."""
    return [row_of(*columns), f"|{'---|' * len(columns)}"]


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """All lines; a row that is too short ends with empty cells."""
    yield from head_of(*columns)
    for row in rows:
        yield row_of(*row, *[""] * (len(columns) - len(row)))
