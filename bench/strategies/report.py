"""A comparison as a report in Markdown."""

from collections.abc import Iterator

from bench.strategies import tables
from bench.strategies.result import HEADLINES, THROUGHPUT, Result


def lines_of(result: Result) -> Iterator[str]:
    """The report: where it is from, the worst of all books, and every row."""
    origin = result.origin
    yield f"`{origin['command']}`; {origin['machine']}; commit {origin['commit']}; {origin['taken'][:10]}"
    yield f"\nRedis of the six: {result.persistence}"
    if {"--quick", "--smoke"} & set(origin["command"].split()):
        yield "\nThe loads were short: they say what each strategy loses, and little about its speed."
    yield "\n### The worst of all sales\n"
    yield from tables.books_table(result)
    if cells := result.cells[THROUGHPUT]:
        yield "\n### Each strategy alone"
        yield from tables.throughput_tables(cells)
    if result.losses:
        yield "\n### What is lost\n"
        yield from tables.loss_table(result.losses)
    if cells := result.cells[HEADLINES]:
        yield "\n### Shapes of published figures"
        yield from tables.headline_tables(cells)
    if result.problems:
        yield "\n### What failed between the rows\n"
        yield from (f"- {tables.failed(problem)}" for problem in result.problems)
