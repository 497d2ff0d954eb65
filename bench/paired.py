"""Compares servers in pairs: a Reserve that is durable, a call that does nothing, and the Reserve of another commit.

All servers stand beside each other and get a second of load in turn, for a machine's speed changes within minutes by
more than two builds differ. The order rotates from round to round, and a ratio is taken within a round. Two servers of
this checkout, `this` and `twin`, show how far servers differ that are the same. CPU comes from the scheduler's
statistics of every thread. A round in which other work took CPU or a load failed is repeated, and counted.

With `--rate SHARE` as many rounds follow in which h2load sends at a rate, whether or not earlier calls are answered:
that share of the calls a second that `this` accepted before. All servers then have one load, so latencies compare.

Every build has a Valkey (`appendfsync always`) and a ledger of its own. Relay and persister run after the measuring,
for the audit: if it finds a difference, no figures are printed and the exit code is 1.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from holdfast_bench.load import LoadFailed

from bench.arguments import add_audit, add_rounds, parser_of
from bench.builds import ACCEPTED, SOLD_OUT, Build, doing_nothing, serving
from bench.failures import exit_code_of
from bench.loads import CLIENTS, Measured, ReserveCalls, found_clients, undisturbed
from bench.machine import ROOT, commit_of, machine_and_commit
from bench.paired_result import Key, Rounds, of_rounds, result_of
from bench.result_files import command_line, provenance, write_result
from bench.rounds import rotated, take_after_warm_up
from bench.tables import at_rate_table, compared_table, paired_table

NOOP, LEAN_NOOP, THIS, TWIN, OTHER = "no-op", "lean no-op", "this", "twin", "other"
Measurements = Mapping[Key, Measured]


@dataclass(frozen=True)
class Slot:
    """One server under one load: what gets a second in each round."""

    server: str
    load: str
    calls: ReserveCalls
    processes: Sequence[Sequence[int]]  # the server's with its workers, and its Redis' if it has one

    @property
    def key(self) -> Key:
        """What a round's measurements are found by."""
        return self.server, self.load


class Measuring:
    """Puts loads on slots."""

    def __init__(self, slots: Sequence[Slot], arguments: argparse.Namespace) -> None:
        self._slots = slots
        self._arguments = arguments

    def rounds(self, client: str, rate: float | None = None) -> tuple[Rounds, int]:
        """The rounds with one client, and how many disturbed ones were repeated; at a rate, of the accepted load."""
        slots = [slot for slot in self._slots if rate is None or slot.load == ACCEPTED]
        arguments = self._arguments

        def take(number: int) -> Measurements:
            return self._round(client, number, slots, rate)

        return take_after_warm_up(arguments.rounds, arguments.most_disturbed, take)

    def _round(self, client: str, number: int, slots: Sequence[Slot], rate: float | None) -> Measurements:
        """Every slot once; RoundDisturbed as soon as one of them is disturbed."""
        measured = {slot.key: self._measure(client, slot, rate) for slot in rotated(slots, number)}
        rates = ", ".join(f"{' '.join(slot.key)} {measured[slot.key].calls_per_s:.0f}" for slot in slots)
        print(f"{client} round {number}, calls/s: {rates}", file=sys.stderr, flush=True)
        return measured

    def _measure(self, client: str, slot: Slot, rate: float | None) -> Measured:
        arguments, calls = self._arguments, slot.calls
        in_flight = {"connections": arguments.connections, "streams": arguments.streams}
        with undisturbed(" ".join(slot.key), slot.processes, arguments.most_foreign) as taken:
            if rate is None:
                report = calls.send(arguments.seconds, client, **in_flight)
            else:
                report = calls.send_at_a_rate(arguments.seconds, rate)
        return taken.measured(report)


def main() -> int:
    """The exit code: 0 if every round could be taken and every audit holds."""
    arguments = parsed()
    return exit_code_of(lambda: measure(arguments))


def parsed() -> argparse.Namespace:
    parser = parser_of(__doc__)
    add = parser.add_argument
    add("--other", type=Path, metavar="PATH", help="a checkout with a .venv of its own (`make setup`) to compare with")
    add("--clients", nargs="+", choices=CLIENTS, help="load generators (default: all that are installed)")
    add_rounds(parser, rounds=20, seconds=1.0, most_foreign=0.15)
    add_audit(parser)
    add("--connections", type=int, default=10, help="of the client (%(default)s)")
    add("--streams", type=int, default=10, help="calls in flight on each connection (%(default)s)")
    add("--workers", type=int, default=1, help="server processes of each build, on one address (%(default)s)")
    add("--rate", type=float, metavar="SHARE", help="measure latencies at this share of the top rate too, by h2load")
    add("--lean", action="store_true", help="measure the lean no-op too")
    add("--most-disturbed", type=int, metavar="ROUNDS", help="to repeat with each client (default: as --rounds)")
    add("--json", type=Path, metavar="FILE", help="where the figures go as JSON, besides (default: nowhere)")
    arguments = parser.parse_args()
    arguments.other = arguments.other and arguments.other.resolve()
    if arguments.most_disturbed is None:
        arguments.most_disturbed = arguments.rounds
    return arguments


def measure(arguments: argparse.Namespace) -> int:
    """Take the rounds of each client, audit, and print what they came to."""
    clients = chosen_clients(arguments)
    with tempfile.TemporaryDirectory(prefix="holdfast-paired-") as folder, ExitStack() as held:
        slots = list(baselines(arguments, Path(folder), held))
        settings = {"HOLDFAST_WORKERS": str(arguments.workers)} if arguments.workers > 1 else {}
        builds = {
            name: held.enter_context(serving(checkout, Path(folder) / name, **settings))
            for name, checkout in checkouts(arguments)
        }
        slots += [slot for name, build in builds.items() for slot in slots_of(name, build)]
        taken = take_all(Measuring(slots, arguments), clients, slots[0].key, arguments.rate)
        answered = {slot.key: slot.calls.answered for slot in slots}
        for name, build in builds.items():
            build.check_units(answered[name, ACCEPTED])
            print(f"audit of {name}: {build.audit(arguments.deadline)}", file=sys.stderr, flush=True)
    other = {"other_commit": commit_of(arguments.other)} if arguments.other else {}
    result = {**provenance(command_line("bench.paired")), **other, **taken}
    if arguments.json:
        write_result(arguments.json, result)
    print(head(arguments))
    for table in (paired_table, compared_table, at_rate_table):
        print("", *table(result), sep="\n")
    return 0


def take_all(measuring: Measuring, clients: Sequence[str], noop: Key, share: float | None) -> dict[str, Any]:
    """The rounds of all clients, and those at a share of the rate that this checkout's server came to in them."""
    result = result_of({client: measuring.rounds(client) for client in clients}, noop)
    if share is None:
        return result
    rate = share * result["clients"]["h2load"][THIS][ACCEPTED]["calls_per_s"]
    at_rate = {"share": share, **of_rounds(*measuring.rounds("h2load", rate), noop)}
    return {**result, "at_rate": at_rate}


def chosen_clients(arguments: argparse.Namespace) -> Sequence[str]:
    """The load generators to use; LoadFailed if one that is needed, or every one, is missing."""
    needed = [*(arguments.clients or ()), *(["h2load"] if arguments.rate is not None else ())]
    for name in needed:
        if why := CLIENTS[name].missing():
            raise LoadFailed(why)
    return list(dict.fromkeys(needed)) if arguments.clients else found_clients()


def checkouts(arguments: argparse.Namespace) -> Iterator[tuple[str, Path]]:
    """The name of each build and its checkout."""
    for name, checkout in ((THIS, ROOT), (TWIN, ROOT), (OTHER, arguments.other)):
        if checkout is not None:
            yield name, checkout


def baselines(arguments: argparse.Namespace, folder: Path, held: ExitStack) -> Iterator[Slot]:
    """Start the servers that do nothing."""
    for name, options in ((NOOP, []), (LEAN_NOOP, ["--lean"]))[: 1 + arguments.lean]:
        address, pid = held.enter_context(doing_nothing(folder, *options))
        yield Slot(name, ACCEPTED, ReserveCalls(address), [[pid]])


def slots_of(name: str, build: Build) -> Iterator[Slot]:
    """A build under each load."""
    for load in (ACCEPTED, SOLD_OUT):
        yield Slot(name, load, ReserveCalls(build.address, load), build.processes)


def head(arguments: argparse.Namespace) -> str:
    """Where, of what and how it was measured."""
    other = f"; other: commit {commit_of(arguments.other)}" if arguments.other else ""
    return (
        f"{machine_and_commit()}{other}\n{arguments.workers} server processes of each build, "
        f"{arguments.connections} connections x {arguments.streams} streams, "
        f"{arguments.seconds:g} s each in turn; medians (and quartiles); the audits found no difference"
    )


if __name__ == "__main__":
    sys.exit(main())
