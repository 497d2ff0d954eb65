"""Prints what was measured as Markdown tables."""

from collections.abc import Iterator, Sequence

from bench.markdown import table
from bench.strategies.books import Books
from bench.strategies.catalog import NAMES
from bench.strategies.losses import Loss
from bench.strategies.measuring import ABUNDANT, Cell, MeasuredSale
from bench.strategies.result import Result

BOOKS = ("told / stock", "orders recorded", "divergence")
ACCEPTED = ("accepted/s", "p50 ms", "p95 ms", "p99 ms")
SOLD_OUT = ("sold out after s", "sold-out/s", "sold-out p99 ms", "answers/s")
COST = ("errors", "CPU s per 1,000", "of the stores")
LONGEST_FAILURE = 120


def books_table(result: Result) -> Iterator[str]:
    """The worst of each strategy's sales."""
    columns = ("strategy", "sales", "oversold", "divergence", "answers lost", "units lost", "rows that failed")
    found = {name: [books for strategy, _, books in result.sales() if strategy == name] for name in NAMES}
    yield from table(columns, [[name, *worst(sales)] for name, sales in found.items() if sales])


def worst(sales: Sequence[Books | None]) -> list[str]:
    """How many sales, the most of each in one sale, and how many failed."""
    kept = [books for books in sales if books is not None]
    most = [
        max((getattr(books, name) for books in kept), default=0)
        for name in ("oversold", "divergence", "lost", "units_lost")
    ]
    return [f"{number:,}" for number in (len(kept), *most, len(sales) - len(kept))]


def throughput_tables(cells: Sequence[Cell]) -> Iterator[str]:
    """One table for each stock."""
    for stock in dict.fromkeys(cell.shape.stock for cell in cells):
        rows = [cell for cell in cells if cell.shape.stock == stock]
        yield f"\nStock of {stock:,} units, {' or '.join(dict.fromkeys(cell.shape.lasts for cell in rows))}\n"
        columns = ("strategy", "callers", *_columns(stock))
        yield from table(columns, [[cell.strategy, f"{cell.shape.callers:,}", *_figures(cell)] for cell in rows])


def headline_tables(cells: Sequence[Cell]) -> Iterator[str]:
    """One table for each shape."""
    for shape in dict.fromkeys(cell.shape for cell in cells):
        yield f"\n{shape.label}\n"
        rows = [cell for cell in cells if cell.shape == shape]
        columns = ("strategy", *_columns(shape.stock), "on disk when answered")
        yield from table(
            columns,
            [[cell.strategy, *_figures(cell), *([cell.measured.on_disk] if cell.measured else [])] for cell in rows],
        )


def loss_table(rows: Sequence[Loss]) -> Iterator[str]:
    """All faults, strategy by strategy within each."""
    faults = ("answers lost", "oversold", "units lost", "recorded, not told", "errors")
    yield from table(("fault", "strategy", *BOOKS, *faults), [[row.fault, row.strategy, *_losses(row)] for row in rows])


def _losses(row: Loss) -> list[str]:
    if row.books is None:
        return [failed(row.failure)]
    books = row.books
    numbers = (books.lost, books.oversold, books.units_lost, books.unanswered, row.errors)
    return [*sold(books), *(f"{number:,}" for number in numbers)]


def _columns(stock: int) -> Sequence[str]:
    """An abundant stock is not sold out: every answer is an accepted one."""
    return (*BOOKS, *ACCEPTED, *(() if stock >= ABUNDANT else SOLD_OUT), *COST)


def _figures(cell: Cell) -> list[str]:
    if cell.measured is None:
        return [failed(cell.failure)]
    row = cell.measured
    sell_out = [] if cell.shape.stock >= ABUNDANT else sold_out(row)
    return [*sold(row.books), *accepted(row), *sell_out, *cost(row)]


def failed(failure: str) -> str:
    """The first line of a failure, as a cell."""
    return f"failed: {failure.partition(chr(10))[0][:LONGEST_FAILURE].replace('|', '/')}"


def sold(books: Books) -> list[str]:
    """The books' columns."""
    return [f"{books.told:,} / {books.stock:,}", f"{books.recorded:,}", f"{books.divergence:,}"]


def accepted(row: MeasuredSale) -> list[str]:
    """Rate and latencies of the answers that gave a unit."""
    tails = [f"{value:.1f}" for value in row.accepted_ms.values()] or ["", "", ""]
    return [f"{row.accepted_per_s:,.0f}", *tails]


def sold_out(row: MeasuredSale) -> list[str]:
    """When a caller first heard it, or how far the counter came that decides; rate and p99 after it; all answers."""
    if row.sold_out_after_s is None or row.sold_out_per_s is None:
        return [f"not: {row.books.counted:,} by its counter", "", "", f"{row.answers_per_s:,.0f}"]
    rate, p99 = f"{row.sold_out_per_s:,.0f}", f"{row.sold_out_ms['p99']:.1f}"
    return [f"{row.sold_out_after_s:.2f}", rate, p99, f"{row.answers_per_s:,.0f}"]


def cost(row: MeasuredSale) -> list[str]:
    """Errors and CPU."""
    cpu = row.cpu_s_per_1000
    return [f"{sum(row.errors.values()):,}", f"{cpu.programs:.3f}", f"{cpu.stores:.3f}"]
