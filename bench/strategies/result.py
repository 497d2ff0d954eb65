"""What a comparison has found, as JSON."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bench.strategies.books import Books
from bench.strategies.catalog import HOLDFAST
from bench.strategies.losses import Loss
from bench.strategies.measuring import Cell, Cpu, MeasuredSale, SaleShape

THROUGHPUT, HEADLINES = "throughput", "headlines"


@dataclass
class Result:
    """All rows, and where they come from."""

    origin: dict[str, str]  # command, taken, machine and commit
    persistence: str  # of the six's Redis
    cells: dict[str, list[Cell]] = field(default_factory=lambda: {THROUGHPUT: [], HEADLINES: []})
    losses: list[Loss] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)  # what failed between the rows

    def sales(self) -> Iterator[tuple[str, str, Books | None]]:
        """The strategy, the load or the fault, and the books of each row; None if it failed."""
        for cells in self.cells.values():
            for cell in cells:
                yield cell.strategy, cell.shape.label, cell.measured.books if cell.measured else None
        for loss in self.losses:
            yield loss.strategy, loss.fault, loss.books

    def faults(self) -> list[str]:
        """What must not be: rows that failed, and sales of Holdfast whose books are not clean."""
        failed = [f"{name}: {sale}: failed" for name, sale, books in self.sales() if books is None]
        unclean = [
            f"Holdfast's books are not clean: {sale}: {books}"
            for name, sale, books in self.sales()
            if name == HOLDFAST and books is not None and not books.are_clean
        ]
        return [*failed, *unclean, *self.problems]

    def save(self, file: Path) -> None:
        """Write everything as JSON."""
        file.write_text(json.dumps(asdict(self), indent=1) + "\n")


def load(file: Path) -> Result:
    """What `save` wrote."""
    saved = json.loads(file.read_text())
    cells = {table: [_cell(row) for row in rows] for table, rows in saved["cells"].items()}
    losses = [Loss(**{**row, "books": row["books"] and Books(**row["books"])}) for row in saved["losses"]]
    return Result(**{**saved, "cells": cells, "losses": losses})


def _cell(row: Mapping[str, Any]) -> Cell:
    measured = row["measured"] and _measured(row["measured"])
    return Cell(**{**row, "shape": SaleShape(**row["shape"]), "measured": measured})


def _measured(saved: Mapping[str, Any]) -> MeasuredSale:
    return MeasuredSale(**{**saved, "books": Books(**saved["books"]), "cpu_s_per_1000": Cpu(**saved["cpu_s_per_1000"])})
