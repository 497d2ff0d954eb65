"""What a storm does to a server: ten times the calls in flight at which throughput of Reserve peaks.

First the peak is found: loads with ever more calls in flight, each call following the one before (a closed loop). Then
slices at the peak and in the storm take turns, the order changing from round to round, and ratios are taken within a
round. Beside every slice another process confirms holds at a steady rate and notes how long each takes. The storm's
goodput is what was reserved: bytes of its answers in proportion to those of a call, for calls that fail have none. Then
the storm goes on for a while, and the server's memory is shown step by step. In the end the audit compares Redis with
the ledger. The exit code is 1 if a goal is missed.
"""

import argparse
import statistics
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from holdfast_bench.load import Report, percentile

from bench import confirms
from bench.arguments import add_audit, add_rounds, parser_of
from bench.builds import Build, serving
from bench.failures import exit_code_of
from bench.loads import ReserveCalls, undisturbed
from bench.machine import ROOT, machine_and_commit
from bench.process_use import resident_kib
from bench.rounds import ratios, rotated, spread, take_after_warm_up

USUAL, STORM = "at the peak", "in the storm"
TIMES = 10
CONNECTIONS = 10
STREAMS = (1, 2, 4, 7, 10, 14, 20, 28, 40)  # on each connection, while the peak is looked for
GOODPUT, CONFIRM = 0.8, 5.0  # goals: at least, and at most, in proportion to the peak's
MEMORY_STEPS = 6


@dataclass(frozen=True)
class MeasuredSlice:
    """One slice."""

    goodput: float  # reservations made a second
    calls: float  # answered a second, refused ones included
    latencies_ms: Sequence[float]  # of the confirms that were carried out
    failed: Sequence[str]  # reasons of those that were not
    cpu_us: float  # of the server, a call that was answered


class Measuring:
    """Puts loads on a build."""

    def __init__(self, build: Build, arguments: argparse.Namespace) -> None:
        self._build = build
        self._arguments = arguments
        self._calls = ReserveCalls(build.address)
        self._bytes_a_call = 0.0
        self.streams = 0  # on each connection, at the peak

    def find_peak(self) -> list[tuple[int, float]]:
        """The calls a second by calls in flight; the peak is the least of these that comes within 2 % of the best."""
        found: dict[int, list[float]] = {streams: [] for streams in STREAMS}
        for number in range(self._arguments.peak_rounds):
            for streams in rotated(STREAMS, number):
                report = self._calls.send(self._arguments.seconds, streams=streams)
                self._bytes_a_call = report.data_bytes / report.calls
                found[streams].append(report.calls_per_s)
        rates = {streams: statistics.median(each) for streams, each in found.items()}
        self.streams = next(streams for streams in STREAMS if rates[streams] >= 0.98 * max(rates.values()))
        return [(streams * CONNECTIONS, rate) for streams, rate in rates.items()]

    def round(self, number: int) -> Mapping[str, MeasuredSlice]:
        """A slice of each kind."""
        measured = {kind: self._slice(kind) for kind in rotated((USUAL, STORM), number)}
        shown = "; ".join(
            f"{kind} {each.goodput:.0f}/s of {each.calls:.0f}, confirm p50 {_percentile(each.latencies_ms, 50):.0f} "
            f"p99 {_percentile(each.latencies_ms, 99):.0f} ms, {len(each.failed)} failed, {each.cpu_us:.0f} us"
            for kind, each in measured.items()
        )
        print(f"round {number}: {shown}", file=sys.stderr, flush=True)
        return measured

    def _slice(self, kind: str) -> MeasuredSlice:
        build, arguments = self._build, self._arguments
        with confirms.confirming(build.address, arguments.confirms_per_s, arguments.seconds) as confirmed:
            processes = [*build.processes, [confirmed.pid]]
            with undisturbed(kind, processes, arguments.most_foreign) as taken:
                report = self._load(self.streams * (TIMES if kind == STORM else 1), arguments.seconds)
        goodput = report.data_bytes / self._bytes_a_call / arguments.seconds
        server_us = taken.measured(report).server_us
        return MeasuredSlice(goodput, report.calls_per_s, confirmed.latencies_ms, confirmed.failed, server_us)

    def _load(self, streams: int, seconds: float) -> Report:
        """A load of which calls may fail."""
        return self._calls.send(seconds, streams=streams, smallest_answer=0)

    def memory(self) -> Iterator[int]:
        """The server's resident KiB, after each step of a storm."""
        yield resident_kib(self._build.server_pid)
        for _ in range(MEMORY_STEPS):
            self._load(self.streams * TIMES, self._arguments.memory_seconds / MEMORY_STEPS)
            yield resident_kib(self._build.server_pid)


def main() -> int:
    """The exit code: 0 if every round could be taken, the audit holds and the goals are met."""
    arguments = parsed()
    return exit_code_of(lambda: measure(arguments))


def measure(arguments: argparse.Namespace) -> int:
    """Take the rounds and print what they came to; 1 if a goal is missed."""
    with (
        tempfile.TemporaryDirectory(prefix="holdfast-overload-") as folder,
        serving(ROOT, Path(folder) / "b") as build,
    ):
        measuring = Measuring(build, arguments)
        peak = measuring.find_peak()
        rounds, disturbed = take_after_warm_up(arguments.rounds, arguments.rounds, measuring.round)
        memory = list(measuring.memory())
        print(f"audit: {build.audit(arguments.deadline)}", file=sys.stderr, flush=True)
    print(f"{machine_and_commit()}; the audit found no difference")
    print("calls/s by calls in flight: " + ", ".join(f"{in_flight}: {rate:.0f}" for in_flight, rate in peak))
    in_flight = measuring.streams * CONNECTIONS
    print(f"{len(rounds)} rounds of {arguments.seconds:g} s, {in_flight} calls in flight at the peak and", end=" ")
    print(f"{TIMES * in_flight} in the storm; {disturbed} disturbed ones were repeated\n")
    print("\n".join(figures(rounds)))
    resident = ", ".join(f"{kib / 1024:.1f}" for kib in memory)
    print(f"\nresident MiB, each {arguments.memory_seconds / MEMORY_STEPS:g} s of the storm: {resident}")
    return 0 if goals_are_met(rounds) else 1


def parsed() -> argparse.Namespace:
    parser = parser_of(__doc__)
    add_rounds(parser, rounds=20, seconds=3.0, most_foreign=0.3)
    add_audit(parser)
    add = parser.add_argument
    add("--peak-rounds", type=int, default=3, help="of looking for the peak (%(default)s)")
    add("--confirms-per-s", type=float, default=50.0, metavar="N", help="beside each slice (%(default)s)")
    add("--memory-seconds", type=float, default=60.0, help="of the storm while memory is watched (%(default)s)")
    return parser.parse_args()


def figures(rounds: Sequence[Mapping[str, MeasuredSlice]]) -> Iterator[str]:
    """Both kinds of slices, and the storm in proportion to the peak."""
    yield "| | reservations/s | calls/s | server CPU us/call | confirm p50 ms | confirm p99 ms | confirms failed |"
    yield "|---|---|---|---|---|---|---|"
    for kind in (USUAL, STORM):
        slices = [each[kind] for each in rounds]
        rates = [spread(list(values), 0) for values in zip(*map(_rates, slices), strict=True)]
        confirmed = pooled(rounds, kind)
        failed = sum(len(each.failed) for each in slices)
        tails = [f"{_percentile(confirmed, percent):.1f}" for percent in (50, 99)]
        yield f"| {kind} | {' | '.join([*rates, *tails])} | {failed} of {len(confirmed) + failed} |"
    goodput = spread(ratios(rounds, STORM, USUAL, lambda each: each.goodput), 2)
    yield f"\ngoodput in the storm: {goodput} of the peak's (goal: {GOODPUT} or more)"
    yield f"p99 of Confirm in the storm: {confirm_ratio(rounds):.1f} times its usual (goal: {CONFIRM:g} or less)"


def goals_are_met(rounds: Sequence[Mapping[str, MeasuredSlice]]) -> bool:
    """Goodput, and the time that a confirm takes, by the medians of the rounds."""
    goodput = statistics.median(ratios(rounds, STORM, USUAL, lambda each: each.goodput))
    return goodput >= GOODPUT and confirm_ratio(rounds) <= CONFIRM


def confirm_ratio(rounds: Sequence[Mapping[str, MeasuredSlice]]) -> float:
    """The p99 of all confirms in the storm in proportion to that of all at the peak; one that failed took for ever."""
    lost = [float("inf")] * sum(len(each[STORM].failed) for each in rounds)
    return _percentile([*pooled(rounds, STORM), *lost], 99) / _percentile(pooled(rounds, USUAL), 99)


def pooled(rounds: Sequence[Mapping[str, MeasuredSlice]], kind: str) -> list[float]:
    """The latencies of all confirms of one kind of slices, sorted."""
    return sorted(latency for each in rounds for latency in each[kind].latencies_ms)


def _rates(measured: MeasuredSlice) -> tuple[float, float, float]:
    return measured.goodput, measured.calls, measured.cpu_us


def _percentile(latencies_ms: Sequence[float], percent: float) -> float:
    return percentile(sorted(latencies_ms), percent) if latencies_ms else float("inf")


if __name__ == "__main__":
    sys.exit(main())
