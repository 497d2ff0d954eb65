"""Compares Holdfast with six common strategies, each behind the same gRPC methods: `make compare`.

First every strategy alone, on servers of its own, with scarce and abundant stock and with the shapes of load that
published figures used. Then what each loses when a part of it is killed. The callers are a small HTTP/2 client that
comes with this folder, in a process of its own. The exit code is 1 if Holdfast's books are not clean, or a row failed.
"""

import argparse
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bench.result_files import command_line, provenance
from bench.strategies.catalog import NAMES
from bench.strategies.comparison import Comparison, Plan
from bench.strategies.figures import NEWEST
from bench.strategies.installations import Installations
from bench.strategies.losses import Course
from bench.strategies.measuring import ABUNDANT, SCARCE, SaleShape
from bench.strategies.report import lines_of
from bench.strategies.result import HEADLINES, THROUGHPUT, Result
from bench.strategies.stores import PERSISTENCE

CALLERS = (100, 1_000)
SELL_OUT_S, QUICK_SELL_OUT_S = 120.0, 15.0
PUBLISHED_SHAPES = (
    *(SaleShape(100, 100, 5.0), SaleShape(ABUNDANT, 500, 10.0)),
    SaleShape(ABUNDANT, 1_000, 30.0, ramp_s=30.0),
)
LOSSES = "losses"
QUICK_SECONDS, QUICK_COURSE, QUICK_SHAPES = 1.0, Course(1.0, 2.0, 5.0), (SaleShape(100, 100, 1.0),)
# More callers than connections, of which the default of the client of Redis is a hundred.
SMOKE_SHAPE, SMOKE_COURSE = SaleShape(20, 150, 1.0, sell_out_within_s=60.0), Course(1.0, 2.0)


def main() -> int:
    """The exit code."""
    arguments = parsed()
    result = Result(provenance(command_line("bench.strategies")), arguments.persistence)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        compare(arguments, result)
    except KeyboardInterrupt:  # what was measured before is still shown
        result.problems.append("stopped before the end")
    result.save(arguments.json)
    print("\n".join(lines_of(result)))
    for fault in (faults := result.faults()):
        print(fault, file=sys.stderr)
    return 1 if faults else 0


def compare(arguments: argparse.Namespace, result: Result) -> None:
    """Take all rows, and save them as they come."""
    file: Path = arguments.json
    file.parent.mkdir(parents=True, exist_ok=True)
    progress = progress_since(time.monotonic())
    with tempfile.TemporaryDirectory(prefix="holdfast-compare-") as name:
        installations = Installations(folder := Path(name), arguments.persistence, progress)
        Comparison(plan_of(arguments), installations, folder, progress).run(result, lambda: result.save(file))


def plan_of(arguments: argparse.Namespace) -> Plan:
    """What the arguments ask for."""
    if arguments.smoke:
        return Plan(arguments.only, [(HEADLINES, SMOKE_SHAPE)], SMOKE_COURSE, is_smoke=True)
    seconds, sell_out_s = arguments.seconds, QUICK_SELL_OUT_S if arguments.quick else SELL_OUT_S
    scarce = [SaleShape(SCARCE, callers, seconds, sell_out_within_s=sell_out_s) for callers in arguments.callers]
    abundant = [SaleShape(ABUNDANT, callers, seconds) for callers in arguments.callers]
    shapes = {
        THROUGHPUT: [*scarce, *abundant],
        HEADLINES: QUICK_SHAPES if arguments.quick else PUBLISHED_SHAPES,
    }
    loads = [(table, shape) for table, wanted in shapes.items() if table in arguments.tables for shape in wanted]
    course = QUICK_COURSE if arguments.quick else Course()
    return Plan(arguments.only, loads, course if LOSSES in arguments.tables else None)


def progress_since(began: float) -> Callable[[str], None]:
    """Prints lines to standard error, each with the seconds since the start."""
    return lambda line: print(f"{time.monotonic() - began:5.0f} s  {line}", file=sys.stderr, flush=True)


def parsed() -> argparse.Namespace:
    """The command line."""
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
    add("--json", type=Path, default=NEWEST, metavar="FILE", help="where everything is written too (%(default)s)")
    add("--quick", action="store_true", help="some minutes in all: short loads, and fewer of them")
    add("--smoke", action="store_true", help="whether all work: a second of load each, and a kill, on one installation")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.seconds, arguments.callers = QUICK_SECONDS, CALLERS[:1]
    return arguments


if __name__ == "__main__":
    sys.exit(main())
