"""What a reservation costs server and Redis in CPU while one thing grows: sales, holds, history, callers and so on.

Points of one kind get a load in turn, by ghz with 100 callers where callers do not grow, and the order rotates from
round to round; the figure of a point is the median of its rounds. Live holds, confirmed reservations and server
processes grow in steps instead, for they cannot stand beside each other; a step has the mean of the holds before and
after its loads. Confirmed reservations are in the ledger before a load. During the loads
neither relay nor persister runs; the audit follows. CPU comes from the scheduler's statistics of every thread. Beside
each figure stands the number of requests that a call of the script had: what a call costs is shared by them.

With --only, points of other kinds stay if they are of the same commit, rounds and seconds, and each kind keeps the
command and the time of its own run.
"""

import argparse
import asyncio
import itertools
import json
import statistics
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from holdfast.client import Client
from holdfast_bench import ghz
from holdfast_bench.load import Claim, Load, LoadFailed
from redis import Redis

from bench import h2load
from bench.arguments import add_audit, parser_of
from bench.builds import HOLD_TTL, PATIENT, Build, serving
from bench.failures import exit_code_of
from bench.filling import confirm, hold
from bench.machine import ROOT
from bench.process_use import ProcessUse
from bench.result_files import RESULTS, command_line, provenance, write_result
from bench.rounds import quartiles, rotated

TITLES = {
    "sales": "Sales that are bought from in turn",
    "items": "Items of a sale, bought in turn",
    "holds": "Live holds of the sale",
    "history": "Confirmed reservations of the sale",
    "callers": "Callers at once",
    "workers": "Server processes on one port",
}
CONNECTIONS, CALLERS = 10, 100
UNITS = 10**9
SKU = "item-0"
SHORT = 0.25  # of a slice where holds grow: it adds some itself
CALLS_OF_SCRIPT = "cmdstat_evalsha"


@dataclass(frozen=True)
class Point:
    """One load: how much there is of what grows, what is asked for, and by how many callers."""

    of: int
    claims: Sequence[Claim]
    callers: int = CALLERS


class Measuring:
    """Puts the loads of points on a build."""

    series = itertools.count(1)

    def __init__(self, build: Build, seconds: float) -> None:
        self._build = build
        self._seconds = seconds
        self._redis = Redis.from_url(build.environment["HOLDFAST_REDIS_URL"], decode_responses=True)

    def rounds(self, points: Sequence[Point], rounds: int) -> list[dict[str, Any]]:
        """The figures of all points, measured in turn after one round that is not counted."""
        taken: dict[int, list[dict[str, float]]] = {point.of: [] for point in points}
        for number in range(rounds + 1):
            for point in rotated(points, number):
                slice_ = self._slice(point)
                if number:
                    taken[point.of].append(slice_)
        return [{"of": of, **summed_up(slices)} for of, slices in taken.items()]

    def _slice(self, point: Point) -> dict[str, float]:
        connections = min(CONNECTIONS, point.callers)
        name = f"growth-{next(self.series)}"
        load = Load(
            *(self._build.address, point.claims[0].sale_id, name, self._seconds, connections),
            *(max(1, point.callers // connections),),
            claims=point.claims,
        )
        calls = self._script_calls()
        with ProcessUse({"serve": self._build.server_pid, "valkey": self._build.redis_pid}) as use:
            report = ghz.run(load)
        cpu_us = {name: used["cpu_s"] / report.calls * 1e6 for name, used in use.figures().items()}
        return {**cpu_us, "calls_per_s": report.calls_per_s, "a_call": report.calls / (self._script_calls() - calls)}

    def _script_calls(self) -> int:
        found: Any = self._redis.info("commandstats")
        return int(found.get(CALLS_OF_SCRIPT, {"calls": 0})["calls"])


def summed_up(slices: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    """The medians of a point's rounds, and the quartiles of its CPU."""
    processes = ("serve", "valkey")
    spreads = {name: quartiles([one[name] for one in slices]) for name in processes}
    return {
        "cpu_us": {name: round(spreads[name][1], 1) for name in processes},
        "quartiles": {name: [round(spreads[name][0], 1), round(spreads[name][2], 1)] for name in processes},
        "calls_per_s": round(statistics.median(one["calls_per_s"] for one in slices), 1),
        "requests_a_script_call": round(statistics.median(one["a_call"] for one in slices), 1),
    }


def main() -> int:
    """The exit code: 0 if every load could be put and every audit holds."""
    arguments = parsed()
    return exit_code_of(lambda: measure(arguments))


def measure(arguments: argparse.Namespace) -> int:
    """Write the points of each kind as soon as they are there."""
    if why := ghz.missing() or ("history" in arguments.only and h2load.missing()):
        raise LoadFailed(why)
    file = arguments.results / "growth.json"
    result = begun(file, arguments)
    with tempfile.TemporaryDirectory(prefix="holdfast-growth-") as folder:
        for name, points in measured(Path(folder), arguments):
            result["points"] = in_order({**result["points"], name: points})
            result["runs"] = in_order({**result["runs"], name: provenance(result["command"])})
            write_result(file, result)
    return 0


def begun(file: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """What the JSON begins with, and the points that it has from an earlier run of the same kind and commit."""
    head = provenance(command_line("bench.growth"))
    kind = {"seconds": arguments.seconds, "rounds": arguments.rounds, "most": arguments.most}
    earlier = json.loads(file.read_text()) if file.exists() else {}
    is_same = all(earlier.get(key) == value for key, value in {**kind, "commit": head["commit"]}.items())
    kept = {part: earlier.get(part, {}) if is_same else {} for part in ("runs", "points")}
    return {**head, **kind, "titles": TITLES, **kept}


def in_order(parts: Mapping[str, Any]) -> dict[str, Any]:
    """What there is of each kind, in the order in which a whole run takes them."""
    return {name: parts[name] for name in TITLES if name in parts}


def parsed() -> argparse.Namespace:
    parser = parser_of(__doc__)
    add = parser.add_argument
    add("--only", nargs="+", choices=TITLES, default=list(TITLES), help="what grows (default: all)")
    add("--rounds", type=int, default=3, help="after one that is not counted (%(default)s)")
    add("--seconds", type=float, default=1.0, help="of load for each point in a round (%(default)s)")
    add("--most", type=int, default=10**6, help="to which anything grows (%(default)s)")
    add("--results", type=Path, default=RESULTS, metavar="FOLDER", help="where the JSON goes (%(default)s)")
    add_audit(parser)
    return parser.parse_args()


def measured(folder: Path, arguments: argparse.Namespace) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """The points of everything that is to grow, each kind on servers of its own."""
    for name in arguments.only:
        if name == "workers":
            yield name, [_with_workers(folder, count, arguments) for count in sizes_to(4, arguments.most, factor=2)]
            continue
        with serving(ROOT, folder / name) as build:
            points = KINDS[name](build, arguments)
            print(f"{name}: {build.audit(arguments.deadline)}", file=sys.stderr, flush=True)
        yield name, points


def _beside(build: Build, arguments: argparse.Namespace, points: Sequence[Point]) -> list[dict[str, Any]]:
    return Measuring(build, arguments.seconds).rounds(points, arguments.rounds)


def _sales(build: Build, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    sizes = sizes_to(10_000, arguments.most)
    names = [f"sale-{number}" for number in range(sizes[-1])]
    asyncio.run(_make_sales(build, dict.fromkeys(names, 1)))
    return _beside(build, arguments, [Point(size, [_claim(name) for name in names[:size]]) for size in sizes])


def _items(build: Build, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    sizes = sizes_to(1000, arguments.most)
    asyncio.run(_make_sales(build, {f"of-{size}": size for size in sizes}))
    claims = {size: [_claim(f"of-{size}", item) for item in range(size)] for size in sizes}
    return _beside(build, arguments, [Point(size, claims[size]) for size in sizes])


def _callers(build: Build, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    asyncio.run(_make_sales(build, {"sale": 1}))
    return _beside(build, arguments, [Point(size, [_claim("sale")], size) for size in sizes_to(1000, arguments.most)])


def _holds(build: Build, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """A size that the loads before have passed is left out."""
    asyncio.run(_make_sales(build, {"sale": 1}))
    measuring, points, made = Measuring(build, arguments.seconds * SHORT), [], 0
    for size in sizes_to(10**6, arguments.most, first=1000):
        missing = size - (held := build.units_held("sale"))
        if missing > 0:
            asyncio.run(hold(build.address, "sale", SKU, range(made, made + missing)))
            made += missing
            [point] = measuring.rounds([Point(size, [_claim("sale")])], arguments.rounds)
            points.append({**point, "of": (held + missing + build.units_held("sale")) // 2})
    return points


def _history(build: Build, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Before each load the ledger gets what was confirmed."""
    asyncio.run(_make_sales(build, {"sale": 1}))
    measuring, points, made = Measuring(build, arguments.seconds), [], 0
    for size in (0, *sizes_to(10**5, arguments.most, first=min(10**4, arguments.most))):
        if size:
            asyncio.run(hold(build.address, "sale", SKU, range(made, size)))
            confirm(build.address, "sale", range(made, size))
            build.audit(arguments.deadline)
            made = size
        [point] = measuring.rounds([Point(size, [_claim("sale")])], arguments.rounds)
        points.append(point)
    return points


KINDS = {"sales": _sales, "items": _items, "holds": _holds, "history": _history, "callers": _callers}


def _with_workers(folder: Path, count: int, arguments: argparse.Namespace) -> dict[str, Any]:
    with serving(ROOT, folder / f"workers-{count}", HOLDFAST_WORKERS=str(count)) as build:
        asyncio.run(_make_sales(build, {"sale": 1}))
        [point] = _beside(build, arguments, [Point(count, [_claim("sale")])])
        print(f"{count} workers: {build.audit(arguments.deadline)}", file=sys.stderr, flush=True)
    return point


def sizes_to(last: int, most: int, factor: int = 10, first: int = 1) -> list[int]:
    """From the first to the last size, each `factor` times the one before, but none above the most."""
    sizes = [first]
    while sizes[-1] * factor <= min(last, most):
        sizes.append(sizes[-1] * factor)
    return sizes


def _claim(sale_id: str, item: int = 0) -> Claim:
    return Claim(sale_id, {f"item-{item}": 1})


async def _make_sales(build: Build, items: Mapping[str, int]) -> None:
    """Sales with so many items each."""
    names = iter(items)
    async with Client(build.address, retry=PATIENT) as client:

        async def work() -> None:
            for name in names:
                stock = {f"item-{number}": UNITS for number in range(items[name])}
                await client.create_sale(name, stock, hold_ttl=HOLD_TTL, max_hold_ttl=HOLD_TTL)

        await asyncio.gather(*(work() for _ in range(64)))


if __name__ == "__main__":
    sys.exit(main())
