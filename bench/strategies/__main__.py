"""Compares Holdfast with the strategies of the field, each behind the same gRPC methods: `make compare`.

First every strategy alone, on servers of its own, with scarce and abundant stock. Then what each loses when a part of
it is killed. Then the shapes of load that published figures used. The callers are a small HTTP/2 client that comes with
this folder, in a process of its own. The exit code is 1 if Holdfast's books are not clean, or a system did not work.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from holdfast_embedded.server import ServerFailed
from holdfast_embedded.stack import StackFailed

from bench.machine import machine_and_commit
from bench.strategies import tables
from bench.strategies.catalog import HOLDFAST, NAMES
from bench.strategies.holdfast_system import READY_S, HoldfastSystem, holdfast_stack
from bench.strategies.losses import Course, Loss, losses
from bench.strategies.measuring import DRAIN_S, Measured, Shape, measure
from bench.strategies.stores import PERSISTENCE, Stores
from bench.strategies.system import NotReady, StrategySystem, System
from holdfast_bench.load import LoadFailed

SCARCE, ABUNDANT = 5_000, 10_000_000
CALLERS = (100, 1_000)
HEADLINES = (Shape(100, 100, 5.0), Shape(ABUNDANT, 500, 10.0), Shape(ABUNDANT, 1_000, 30.0, ramp_s=30.0))
THROUGHPUT, LOSSES, HEADLINE = "throughput", "losses", "headlines"
QUICK_SECONDS, QUICK_COURSE, QUICK_HEADLINES = 1.0, Course(1.0, 2.0, 5.0), (Shape(100, 100, 1.0),)
PART_FAILED = (ServerFailed, StackFailed, NotReady, LoadFailed)


class Comparison:
    """Runs the tables that were asked for, and keeps their rows."""

    def __init__(self, arguments: argparse.Namespace, folder: Path) -> None:
        self._arguments = arguments
        self._folder = folder
        self._began = time.monotonic()
        self.measured: dict[str, list[Measured]] = {THROUGHPUT: [], HEADLINE: []}
        self.lost: list[Loss] = []

    def run(self) -> None:
        """Every strategy alone, then all together."""
        arguments = self._arguments
        shapes = {
            THROUGHPUT: [Shape(stock, n, arguments.seconds) for stock in (SCARCE, ABUNDANT) for n in arguments.callers],
            HEADLINE: QUICK_HEADLINES if arguments.quick else HEADLINES,
        }
        wanted = {name: shapes[name] for name in self.measured if name in arguments.tables}
        for name in arguments.only if wanted else ():
            with self._alone(name) as system:
                for kind, each in wanted.items():
                    self.measured[kind] += self._measure(system, kind, each)
        if LOSSES in arguments.tables:
            self.lost += self._losses()

    def _measure(self, system: System, kind: str, shapes: Sequence[Shape]) -> Iterator[Measured]:
        for number, shape in enumerate(shapes):
            row = measure(system, shape, f"{kind}-{number}", self._folder)
            told = f"{row.books.told:,} told, {row.books.recorded:,} recorded"
            self.progress(f"{system.name}: {shape.label}: {row.answers_per_s:,.0f} answers/s, {told}")
            yield row

    def _losses(self) -> list[Loss]:
        only, course = self._arguments.only, QUICK_COURSE if self._arguments.quick else Course()
        with ExitStack() as held:
            stores = held.enter_context(self._stores("losses"))
            systems = [held.enter_context(self._on(stores, name)) for name in only if name != HOLDFAST]
            if HOLDFAST in only:
                systems.append(held.enter_context(self._holdfast("losses")))
            return list(losses(systems, stores, course, self._folder, self.progress))

    @contextmanager
    def _alone(self, name: str) -> Iterator[System]:
        self.progress(f"{name}: starting")
        if name == HOLDFAST:
            with self._holdfast("alone") as system:
                yield system
        else:
            with self._stores(name) as stores, self._on(stores, name) as system:
                yield system

    @contextmanager
    def _stores(self, name: str) -> Iterator[Stores]:
        (folder := self._folder / name).mkdir()
        stores = Stores(folder, self._arguments.persistence)
        try:
            stores.start()
            yield stores
        finally:
            stores.stop()

    @contextmanager
    def _on(self, stores: Stores, name: str) -> Iterator[System]:
        system = StrategySystem(name, self._folder, stores)
        try:
            system.start()
            yield system
        finally:
            system.stop()

    @contextmanager
    def _holdfast(self, name: str) -> Iterator[System]:
        """In the end the audit compares all of its sales."""
        (folder := self._folder / f"{HOLDFAST}-{name}").mkdir()
        with holdfast_stack(folder) as stack:
            stack.wait_ready(READY_S)
            system = HoldfastSystem(stack)
            yield system
            self.progress(system.audit(deadline_s=DRAIN_S))

    def progress(self, line: str) -> None:
        """A line to standard error, with the seconds since the begin."""
        print(f"{time.monotonic() - self._began:5.0f} s  {line}", file=sys.stderr, flush=True)

    def unclean(self) -> list[str]:
        """The sales of Holdfast whose books are not clean."""
        sales = [
            *((row.strategy, row.shape.label, row.books) for rows in self.measured.values() for row in rows),
            *((row.strategy, row.fault, row.books) for row in self.lost),
        ]
        return [f"{sale}: {books}" for name, sale, books in sales if name == HOLDFAST and not books.are_clean]


def main() -> int:
    """The exit code."""
    arguments = parsed()
    with tempfile.TemporaryDirectory(prefix="holdfast-compare-") as folder:
        comparison = Comparison(arguments, Path(folder))
        try:
            comparison.run()
        except KeyboardInterrupt:
            print("stopped", file=sys.stderr)
            return 130
        except PART_FAILED as error:
            print(f"failed: {error}", file=sys.stderr)
            return 1
    print("\n".join(report(arguments, comparison)))
    if arguments.json:
        arguments.json.write_text(json.dumps(as_json(arguments, comparison), indent=1) + "\n")
    for line in (unclean := comparison.unclean()):
        print(f"Holdfast's books are not clean: {line}", file=sys.stderr)
    return 1 if unclean else 0


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.strategies",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--seconds", type=float, default=5.0, help="of each load of the first tables (%(default)s)")
    add("--callers", type=int, nargs="+", default=CALLERS, metavar="N", help="of the first tables (100 1000)")
    add("--only", nargs="+", choices=NAMES, default=NAMES, metavar="NAME", help=f"strategies: {', '.join(NAMES)}")
    kinds = (THROUGHPUT, LOSSES, HEADLINE)
    add("--tables", nargs="+", choices=kinds, default=kinds, metavar="TABLE", help=f"{', '.join(kinds)} (all)")
    add("--persistence", choices=PERSISTENCE, default="snapshots", help="of the six's Redis (%(default)s, its default)")
    add("--json", type=Path, metavar="FILE", help="write everything there too")
    add("--quick", action="store_true", help="a minute in all: short loads, and fewer of them")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.seconds, arguments.callers = QUICK_SECONDS, CALLERS[:1]
    return arguments


def report(arguments: argparse.Namespace, comparison: Comparison) -> Iterator[str]:
    """Everything in words and tables."""
    yield f"{machine_and_commit()}; Redis of the six: {arguments.persistence}; PostgreSQL: fsync on"
    yield "Callers: bench/strategies/callers.py, a client in a process of its own on the same machine."
    if comparison.measured[THROUGHPUT]:
        yield f"\n## Each strategy alone, {arguments.seconds:g} s of load"
        yield from tables.throughput_tables(comparison.measured[THROUGHPUT])
    if comparison.lost:
        yield "\n## What is lost\n"
        yield from tables.loss_table(comparison.lost)
    if comparison.measured[HEADLINE]:
        yield "\n## Shapes of published figures"
        yield from tables.headline_tables(comparison.measured[HEADLINE])


def as_json(arguments: argparse.Namespace, comparison: Comparison) -> dict[str, Any]:
    """The same, with all figures."""
    return {
        "command": " ".join(sys.argv[1:]),
        "machine_and_commit": machine_and_commit(),
        "persistence": PERSISTENCE[arguments.persistence],
        **{kind: [asdict(row) for row in rows] for kind, rows in comparison.measured.items()},
        LOSSES: [asdict(row) for row in comparison.lost],
    }


if __name__ == "__main__":
    sys.exit(main())
