"""What a comparison has found: as JSON, and as a report in Markdown."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bench.strategies import tables
from bench.strategies.books import Books
from bench.strategies.catalog import HOLDFAST
from bench.strategies.losses import Loss
from bench.strategies.measuring import Measured, Shape


@dataclass
class Result:
    """All rows, and where they come from."""

    command: str
    machine_and_commit: str
    persistence: str  # of the six's Redis
    throughput: list[Measured] = field(default_factory=list)
    losses: list[Loss] = field(default_factory=list)
    headlines: list[Measured] = field(default_factory=list)

    def unclean(self) -> list[str]:
        """The sales of Holdfast whose books are not clean."""
        sales = [
            *((row.strategy, row.shape.label, row.books) for row in (*self.throughput, *self.headlines)),
            *((row.strategy, row.fault, row.books) for row in self.losses),
        ]
        return [f"{sale}: {books}" for name, sale, books in sales if name == HOLDFAST and not books.are_clean]

    def save(self, file: Path) -> None:
        """Write everything as JSON."""
        file.write_text(json.dumps(asdict(self), indent=1) + "\n")


def load(file: Path) -> Result:
    """What `save` wrote."""
    saved = json.loads(file.read_text())
    return Result(
        command=saved["command"],
        machine_and_commit=saved["machine_and_commit"],
        persistence=saved["persistence"],
        throughput=_measured(saved["throughput"]),
        losses=[Loss(**{**row, "books": Books(**row["books"])}) for row in saved["losses"]],
        headlines=_measured(saved["headlines"]),
    )


def _measured(rows: Sequence[Mapping[str, Any]]) -> list[Measured]:
    return [Measured(**{**row, "shape": Shape(**row["shape"]), "books": Books(**row["books"])}) for row in rows]


def lines_of(result: Result) -> Iterator[str]:
    """The report."""
    yield f"`{result.command}`; {result.machine_and_commit}; Redis of the six: {result.persistence}"
    yield "\nThe callers are `bench/strategies/callers.py`, in a process of their own on the same machine."
    if result.throughput:
        yield "\n### Each strategy alone"
        yield from tables.throughput_tables(result.throughput)
    if result.losses:
        yield "\n### What is lost\n"
        yield from tables.loss_table(result.losses)
    if result.headlines:
        yield "\n### Shapes of published figures"
        yield from tables.headline_tables(result.headlines)
