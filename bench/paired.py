"""Compares servers in pairs: a Reserve that is durable, a call that does nothing, and the Reserve of another commit.

All servers stand beside each other and get a second of load in turn, for a machine's speed changes within minutes by
more than two builds differ. The order rotates from round to round, and a ratio is taken within a round. Two servers of
this checkout, `this` and `twin`, show how far servers differ that are the same. CPU comes from the scheduler's
statistics of every thread. A round in which other work took CPU or a load failed is repeated, and counted.

Every build has a Valkey (`appendfsync always`) and a ledger of its own. Relay and persister run after the measuring,
for the audit: if it finds a difference, no figures are printed and the exit code is 1.
"""

import argparse
import itertools
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from holdfast_bench import ghz
from holdfast_bench.load import Load, LoadFailed, Report
from holdfast_embedded.ports import LOOPBACK, free_port

from bench import h2load
from bench.builds import ACCEPTED, SOLD_OUT, Build, serving, smallest_answer
from bench.cpu import CpuWatch
from bench.machine import ROOT, commit_of, machine_and_commit
from bench.paired_result import write_json
from bench.programs import ProgramFailed, running
from bench.rounds import RoundDisturbed, TooManyDisturbed, ratios, rotated, spread, take_rounds

CLIENTS: Mapping[str, ModuleType] = {"h2load": h2load, "ghz": ghz}
NOOP, LEAN_NOOP, THIS, TWIN, OTHER = "no-op", "lean no-op", "this", "twin", "other"
PERCENTILES = (50, 99, 99.9)


class AuditFailed(RuntimeError):
    """Redis does not hold what was answered."""


@dataclass(frozen=True)
class Slot:
    """One server under one load: what gets a second in each round."""

    server: str
    load: str
    address: str
    pids: Sequence[Sequence[int]]  # the server's with its workers, and its Redis' if it has one
    smallest_answer: int

    @property
    def key(self) -> tuple[str, str]:
        """What a round's measurements are found by."""
        return self.server, self.load


@dataclass(frozen=True)
class Measured:
    """The second of one slot."""

    report: Report
    cpu_us: Sequence[float]  # a call, of the server and of its Redis

    @property
    def calls_per_s(self) -> float:
        """Calls a second."""
        return self.report.calls_per_s


Measurements = Mapping[tuple[str, str], Measured]


class Measuring:
    """Puts loads on slots and sums up what was answered."""

    def __init__(self, slots: Sequence[Slot], arguments: argparse.Namespace) -> None:
        self._slots = slots
        self._arguments = arguments
        self._series = itertools.count(1)
        self.answered: dict[tuple[str, str], int] = {slot.key: 0 for slot in slots}

    def round(self, client: str, number: int) -> Measurements:
        """Every slot once; RoundDisturbed as soon as one of them is disturbed."""
        measured = {slot.key: self._measure(client, slot) for slot in rotated(self._slots, number)}
        rates = ", ".join(f"{' '.join(slot.key)} {measured[slot.key].calls_per_s:.0f}" for slot in self._slots)
        print(f"{client} round {number}, calls/s: {rates}", file=sys.stderr, flush=True)
        return measured

    def _measure(self, client: str, slot: Slot) -> Measured:
        arguments = self._arguments
        load = Load(
            *(slot.address, slot.load, next(self._series), arguments.seconds),
            *(arguments.connections, arguments.streams, slot.smallest_answer),
        )
        watch, began = CpuWatch([pid for pids in slot.pids for pid in pids]), time.monotonic()
        try:
            report: Report = CLIENTS[client].run(load)
        except LoadFailed as error:
            raise RoundDisturbed(f"{' '.join(slot.key)}: {error}") from None
        spent, lasted = watch.spent(), time.monotonic() - began
        self.answered[slot.key] += report.calls
        if (foreign := (spent.others + spent.stolen) / lasted) > arguments.most_foreign:
            raise RoundDisturbed(f"{' '.join(slot.key)}: other work and the host took {foreign:.2f} of a CPU")
        by_process = iter(spent.by_process)
        cpu_s = [sum(itertools.islice(by_process, len(pids))) for pids in slot.pids]
        return Measured(report, [seconds / report.calls * 1e6 for seconds in cpu_s])


def main() -> int:
    """The exit code: 0 if every round could be taken and every audit holds."""
    arguments = parsed()
    try:
        clients = found_clients(arguments.clients)
        with tempfile.TemporaryDirectory(prefix="holdfast-paired-") as folder, ExitStack() as held:
            slots = list(baselines(arguments, Path(folder), held))
            settings = {"HOLDFAST_WORKERS": str(arguments.workers)} if arguments.workers > 1 else {}
            builds = {
                name: held.enter_context(serving(checkout, place, **settings))
                for name, (checkout, place) in checkouts(arguments, folder)
            }
            slots += [slot for name, build in builds.items() for slot in slots_of(name, build)]
            measuring = Measuring(slots, arguments)
            taken = {client: measured_by(client, measuring, arguments) for client in clients}
            for name, build in builds.items():
                audited(name, build, measuring, arguments.deadline)
    except (LoadFailed, ProgramFailed, TooManyDisturbed, AuditFailed) as error:
        print(f"failed: {error}", file=sys.stderr)
        return 1
    if arguments.json:
        write_json(arguments.json, taken, slots[0].key, arguments.other)
    print(head(arguments))
    for client, (rounds, disturbed) in taken.items():
        print(f"\n{client}: {len(rounds)} rounds; {disturbed} disturbed ones were repeated\n")
        print("\n".join([*figures(slots, rounds), "", *comparisons(slots, rounds)]))
    return 0


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--other", type=Path, metavar="PATH", help="a checkout with a .venv of its own (`make setup`) to compare with")
    add("--clients", nargs="+", choices=CLIENTS, help="load generators (default: all that are installed)")
    add("--rounds", type=int, default=20, help="for each client, after one that is not counted (%(default)s)")
    add("--seconds", type=float, default=1.0, help="of load for each server and load in a round (%(default)s)")
    add("--connections", type=int, default=10, help="of the client (%(default)s)")
    add("--streams", type=int, default=10, help="calls in flight on each connection (%(default)s)")
    add("--workers", type=int, default=1, help="server processes of each build, on one address (%(default)s)")
    add("--lean", action="store_true", help="measure the lean no-op too")
    add("--most-foreign", type=float, default=0.15, metavar="CPUS", help="that other work may take (%(default)s)")
    add("--most-disturbed", type=int, metavar="ROUNDS", help="to repeat with each client (default: as --rounds)")
    add("--json", type=Path, metavar="FILE", help="where the figures go as JSON, besides (default: nowhere)")
    add("--deadline", type=float, default=900.0, metavar="SECONDS", help="for each audit (%(default)s)")
    arguments = parser.parse_args()
    arguments.other = arguments.other and arguments.other.resolve()
    if arguments.most_disturbed is None:
        arguments.most_disturbed = arguments.rounds
    return arguments


def found_clients(wanted: Sequence[str] | None) -> Sequence[str]:
    """The load generators to use; LoadFailed if one that was asked for, or every one, is missing."""
    missing = {name: why for name in wanted or CLIENTS if (why := CLIENTS[name].missing())}
    found = [name for name in wanted or CLIENTS if name not in missing]
    if not found or (wanted and missing):
        raise LoadFailed("; ".join(missing.values()))
    for why in missing.values():
        print(f"measuring with {', '.join(found)} alone: {why}", file=sys.stderr)
    return found


def checkouts(arguments: argparse.Namespace, folder: str) -> Iterator[tuple[str, tuple[Path, Path]]]:
    """The name of each build, its checkout and its folder."""
    for name, checkout in ((THIS, ROOT), (TWIN, ROOT), (OTHER, arguments.other)):
        if checkout is not None:
            yield name, (checkout, Path(folder) / name)


def baselines(arguments: argparse.Namespace, folder: Path, held: ExitStack) -> Iterator[Slot]:
    """Start the servers that do nothing."""
    for name, options in ((NOOP, []), (LEAN_NOOP, ["--lean"]))[: 1 + arguments.lean]:
        address = f"{LOOPBACK}:{free_port()}"
        command = ("bench.noop_server", "--listen", address, *options)
        process = held.enter_context(running(ROOT, folder / f"{name}.log", *command))
        yield Slot(name, ACCEPTED, address, [[process.pid]], smallest_answer(address, ACCEPTED))


def slots_of(name: str, build: Build) -> Iterator[Slot]:
    """A build under each load."""
    for load in (ACCEPTED, SOLD_OUT):
        pids = [[build.server_pid, *build.worker_pids], [build.redis_pid]]
        yield Slot(name, load, build.address, pids, smallest_answer(build.address, load))


def measured_by(client: str, measuring: Measuring, arguments: argparse.Namespace) -> tuple[Sequence[Measurements], int]:
    """The rounds with one client, after one to warm up."""
    take_rounds(1, arguments.most_disturbed, lambda _: measuring.round(client, 0))
    return take_rounds(arguments.rounds, arguments.most_disturbed, lambda number: measuring.round(client, number))


def audited(name: str, build: Build, measuring: Measuring, deadline_s: float) -> None:
    """Every call that was answered must have got its unit, and Redis and the ledger must agree."""
    answered, held = measuring.answered[name, ACCEPTED], build.units_held(ACCEPTED)
    if held < answered:
        raise AuditFailed(f"{name}: {answered} calls should have been accepted, and {held} units are held")
    if (held := build.units_held(SOLD_OUT)) != 1:
        raise AuditFailed(f"{name}: the sold out sale of 1 unit holds {held}")
    print(f"audit of {name}: {build.audit(deadline_s)}", file=sys.stderr, flush=True)


def head(arguments: argparse.Namespace) -> str:
    """Where, of what and how it was measured."""
    other = f"; other: commit {commit_of(arguments.other)}" if arguments.other else ""
    return (
        f"{machine_and_commit()}{other}\n{arguments.workers} server processes of each build, "
        f"{arguments.connections} connections x {arguments.streams} streams, "
        f"{arguments.seconds:g} s each in turn; medians (and quartiles); the audits found no difference"
    )


def figures(slots: Sequence[Slot], rounds: Sequence[Measurements]) -> Iterator[str]:
    """Each slot beside the no-op of its round."""
    columns = ["server", "load", "calls/s", "of the no-op", *(f"p{percent} ms" for percent in PERCENTILES)]
    yield f"| {' | '.join(columns)} | server CPU us/call | Redis CPU us/call |"
    yield "|---|---|---|---|---|---|---|---|---|"
    for slot in slots:
        calls = statistics.median(measurements[slot.key].calls_per_s for measurements in rounds)
        of_noop = spread(ratios(rounds, slot.key, slots[0].key, lambda measured: measured.calls_per_s), 2)
        reports = [measurements[slot.key].report for measurements in rounds]
        tails = [f"{statistics.median(report.percentile_ms(p) for report in reports):.1f}" for p in PERCENTILES]
        cpu = [
            spread([measurements[slot.key].cpu_us[process] for measurements in rounds], 0)
            for process in range(len(slot.pids))
        ]
        row = [slot.server, slot.load, f"{calls:.0f}", of_noop, *tails, *cpu, *[""] * (2 - len(cpu))]
        yield f"| {' | '.join(row)} |"


def comparisons(slots: Sequence[Slot], rounds: Sequence[Measurements]) -> Iterator[str]:
    """The other builds in proportion to this one; the twin's row shows the noise."""
    yield "| in proportion to this | load | calls/s | server CPU | Redis CPU |"
    yield "|---|---|---|---|---|"
    values: Sequence[Callable[[Measured], float]] = (
        lambda measured: measured.calls_per_s,
        lambda measured: measured.cpu_us[0],
        lambda measured: measured.cpu_us[1],
    )
    for slot in slots:
        if slot.server in (TWIN, OTHER):
            pairs = [spread(ratios(rounds, slot.key, (THIS, slot.load), value), 2) for value in values]
            yield f"| {slot.server} | {slot.load} | {' | '.join(pairs)} |"


if __name__ == "__main__":
    sys.exit(main())
