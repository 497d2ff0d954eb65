"""Compares Holdfast with six common strategies, each behind the same gRPC methods: `make compare`.

First every strategy alone, on servers of its own, with scarce and abundant stock. Then what each loses when a part of
it is killed. Then the shapes of load that published figures used. The callers are a small HTTP/2 client that comes with
this folder, in a process of its own. The exit code is 1 if Holdfast's books are not clean, or a system did not work.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from holdfast_bench.load import LoadFailed
from holdfast_embedded.server import ServerFailed
from holdfast_embedded.stack import StackFailed

from bench.machine import machine_and_commit
from bench.strategies.catalog import HOLDFAST, NAMES
from bench.strategies.holdfast_system import READY_S, HoldfastSystem, holdfast_stack
from bench.strategies.losses import Course, losses
from bench.strategies.measuring import DRAIN_S, Measured, Shape, measure
from bench.strategies.report import Result, lines_of
from bench.strategies.stores import PERSISTENCE, Stores
from bench.strategies.system import NotReady, StrategySystem, System

SCARCE, ABUNDANT = 5_000, 10_000_000
CALLERS = (100, 1_000)
PUBLISHED_SHAPES = (
    *(Shape(100, 100, 5.0), Shape(ABUNDANT, 500, 10.0)),
    Shape(ABUNDANT, 1_000, 30.0, ramp_s=30.0),
)
THROUGHPUT, LOSSES, HEADLINES = "throughput", "losses", "headlines"
QUICK_SECONDS, QUICK_COURSE, QUICK_SHAPES = 1.0, Course(1.0, 2.0, 5.0), (Shape(100, 100, 1.0),)
PART_FAILED = (ServerFailed, StackFailed, NotReady, LoadFailed)


class Comparison:
    """Runs the tables that were asked for, and keeps their rows."""

    def __init__(self, arguments: argparse.Namespace, folder: Path) -> None:
        self._arguments = arguments
        self._folder = folder
        self._began = time.monotonic()
        command = " ".join(["python -m bench.strategies", *sys.argv[1:]])
        self.result = Result(command, machine_and_commit(), arguments.persistence)

    def run(self) -> None:
        """Every strategy alone, then all together."""
        arguments = self._arguments
        shapes = {
            THROUGHPUT: [Shape(stock, n, arguments.seconds) for stock in (SCARCE, ABUNDANT) for n in arguments.callers],
            HEADLINES: QUICK_SHAPES if arguments.quick else PUBLISHED_SHAPES,
        }
        rows = {THROUGHPUT: self.result.throughput, HEADLINES: self.result.headlines}
        wanted = [kind for kind in rows if kind in arguments.tables]
        for name in arguments.only if wanted else ():
            with self._alone(name) as system:
                for kind in wanted:
                    rows[kind] += self._measure(system, kind, shapes[kind])
            self._save()
        if LOSSES in arguments.tables:
            self._lose()

    def _save(self) -> None:
        """What was measured so far, for a run that is ended half way."""
        if self._arguments.json:
            self.result.save(self._arguments.json)

    def _measure(self, system: System, kind: str, shapes: Sequence[Shape]) -> Iterator[Measured]:
        for number, shape in enumerate(shapes):
            row = measure(system, shape, f"{kind}-{number}", self._folder)
            told = f"{row.books.told:,} told, {row.books.recorded:,} recorded"
            self.progress(f"{system.name}: {shape.label}: {row.answers_per_s:,.0f} answers/s, {told}")
            yield row

    def _lose(self) -> None:
        only, course = self._arguments.only, QUICK_COURSE if self._arguments.quick else Course()
        with ExitStack() as held:
            stores = held.enter_context(self._stores("losses"))
            systems = [held.enter_context(self._on(stores, name)) for name in only if name != HOLDFAST]
            if HOLDFAST in only:
                systems.append(held.enter_context(self._holdfast("losses")))
            self.result.losses += losses(systems, stores, course, self._folder, self.progress)

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
        """A line to standard error, with the seconds since the start."""
        print(f"{time.monotonic() - self._began:5.0f} s  {line}", file=sys.stderr, flush=True)


def main() -> int:
    """The exit code."""
    arguments = parsed()
    problems = []
    with tempfile.TemporaryDirectory(prefix="holdfast-compare-") as folder:
        comparison = Comparison(arguments, Path(folder))
        try:
            comparison.run()
        except KeyboardInterrupt:
            print("stopped", file=sys.stderr)
            return 130
        except PART_FAILED as error:  # what was measured before is still shown
            problems.append(f"failed: {error}")
    result = comparison.result
    print("\n".join(lines_of(result)))
    if arguments.json:
        result.save(arguments.json)
    problems += [f"Holdfast's books are not clean: {sale}" for sale in result.unclean()]
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.strategies",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--seconds", type=float, default=3.0, help="of each load of the first tables (%(default)s)")
    add("--callers", type=int, nargs="+", default=CALLERS, metavar="N", help="of the first tables (100 1000)")
    add("--only", nargs="+", choices=NAMES, default=NAMES, metavar="NAME", help=f"strategies: {', '.join(NAMES)}")
    kinds = (THROUGHPUT, LOSSES, HEADLINES)
    add("--tables", nargs="+", choices=kinds, default=kinds, metavar="TABLE", help=f"{', '.join(kinds)} (all)")
    add("--persistence", choices=PERSISTENCE, default="snapshots", help="of the six's Redis (%(default)s, its default)")
    add("--json", type=Path, metavar="FILE", help="write everything there too")
    add("--quick", action="store_true", help="a minute in all: short loads, and fewer of them")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.seconds, arguments.callers = QUICK_SECONDS, CALLERS[:1]
    return arguments


if __name__ == "__main__":
    sys.exit(main())
