"""Prints what was measured as Markdown tables."""

from collections.abc import Iterator, Sequence

from bench.strategies.losses import Loss
from bench.strategies.measuring import Measured, Shape

BOOKS = ("told / stock", "orders recorded", "divergence")
SPEED = ("p50 ms", "p95 ms", "p99 ms", "answers/s", "errors", "CPU s per 1,000", "of the stores")


def throughput_tables(rows: Sequence[Measured]) -> Iterator[str]:
    """One table for each stock."""
    yield f"\nLoads of {', '.join(sorted({f'{row.shape.seconds:g} s' for row in rows}))}"
    for stock in dict.fromkeys(row.shape.stock for row in rows):
        yield f"\nStock of {stock:,} units\n"
        yield from table(
            ("strategy", "callers", *BOOKS, *SPEED),
            [
                [row.strategy, f"{row.shape.callers:,}", *sold(row), *speed(row)]
                for row in rows
                if row.shape.stock == stock
            ],
        )


def headline_tables(rows: Sequence[Measured]) -> Iterator[str]:
    """One table for each shape."""
    for shape in dict.fromkeys(row.shape for row in rows):
        yield f"\n{shape.label}\n"
        yield from table(
            ("strategy", *BOOKS, *SPEED, "on disk when answered"),
            [[row.strategy, *sold(row), *speed(row), row.on_disk] for row in of_shape(rows, shape)],
        )


def loss_table(rows: Sequence[Loss]) -> Iterator[str]:
    """All faults, strategy by strategy within each."""
    columns = ("fault", "strategy", "told / stock", "orders recorded", "answers lost", "oversold", "units lost")
    yield from table(
        (*columns, "recorded, not told", "errors"),
        [
            [
                *(row.fault, row.strategy, f"{row.books.told:,} / {row.books.stock:,}"),
                *(
                    f"{number:,}"
                    for number in (
                        *(row.books.recorded, row.books.lost, row.books.oversold, row.books.units_lost),
                        *(row.books.unanswered, row.errors),
                    )
                ),
            ]
            for row in rows
        ],
    )


def of_shape(rows: Sequence[Measured], shape: Shape) -> list[Measured]:
    """The rows of one shape."""
    return [row for row in rows if row.shape == shape]


def sold(row: Measured) -> list[str]:
    """The books' columns."""
    books = row.books
    return [f"{books.told:,} / {books.stock:,}", f"{books.recorded:,}", f"{books.divergence:,}"]


def speed(row: Measured) -> list[str]:
    """Latencies, throughput, errors and CPU."""
    tails = [f"{value:.1f}" for value in row.percentiles_ms.values()] or ["", "", ""]
    errors = sum(row.errors.values())
    cpu = [f"{value:.3f}" for value in (row.cpu_s_per_1000, row.stores_cpu_s_per_1000)]
    return [*tails, f"{row.answers_per_s:,.0f}", f"{errors:,}", *cpu]


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Lines of a Markdown table."""
    yield f"| {' | '.join(columns)} |"
    yield f"|{'---|' * len(columns)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"
