"""What a reservation costs the server in a batch of 100 and on a stream, beside one in a call of its own.

One server gets a second of each kind of call in turn, in an order that rotates from round to round, and so does one
that does nothing (`bench.noop_server`): its unary calls, and its stream of the same messages. Ratios are taken within a
round. Calls and batches are sent by h2load, streams by grpc.aio from this process. CPU comes from the scheduler's
statistics of every thread; how long Redis was busy is what it says of its event loop, fsync included. A round in which
other work took CPU is repeated, and counted. In the end each answered request must have got its unit, and no others
one but those whose answers h2load did not wait for. Then the audit compares Redis with the ledger; if it finds a
difference, no figures are printed and the exit code is 1.
"""

import argparse
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from holdfast_bench.load import LoadFailed
from redis import Redis

from bench import h2load
from bench.arguments import add_audit, add_rounds, parser_of
from bench.builds import ACCEPTED, SOLD_OUT, Build, NoopServer, doing_nothing, serving
from bench.failures import exit_code_of
from bench.loads import ReserveCalls, undisturbed
from bench.machine import ROOT, machine_and_commit
from bench.result_files import command_line, provenance, write_result
from bench.rounds import ratios, rotated, spread, spread_of, take_after_warm_up
from bench.stream_calls import StreamedReserves

UNARY, SOLD, BATCH, STREAM = "unary", "unary, sold out", "batches of 100", "one stream"
NOOP, ECHO = "unary, no-op", "one stream, no-op"
KINDS = (UNARY, SOLD, BATCH, STREAM, NOOP, ECHO)
BATCH_SIZE = 100


@dataclass(frozen=True)
class MeasuredBulk:
    """A second of one kind: CPU is that of a request."""

    per_s: float  # requests
    server_us: float
    redis_us: float
    client_us: float
    redis_busy: float  # share of the time
    a_script_call: float  # requests


class Measuring:
    """Takes the rounds on one build and on the server that does nothing."""

    def __init__(self, build: Build, noop: NoopServer, arguments: argparse.Namespace) -> None:
        self._build = build
        self._noop_pid = noop.pid
        self._arguments = arguments
        self._redis = Redis.from_url(build.environment["HOLDFAST_REDIS_URL"])
        self._calls, noop_calls = ReserveCalls(build.address), ReserveCalls(noop.address)
        sold_out = ReserveCalls(build.address, SOLD_OUT)
        smallest = self._calls.smallest_answer
        self._stream = StreamedReserves(build.address, ACCEPTED, smallest)
        in_flight = {"connections": arguments.connections, "streams": arguments.streams}
        self._kinds: Mapping[str, Callable[[float], int]] = {
            UNARY: lambda seconds: self._calls.send(seconds).calls,
            SOLD: lambda seconds: sold_out.send(seconds).calls,
            NOOP: lambda seconds: noop_calls.send(seconds).calls,
            BATCH: lambda seconds: self._calls.send_batches(seconds, BATCH_SIZE, **in_flight).calls * BATCH_SIZE,
            STREAM: self._stream.send,
            ECHO: StreamedReserves(noop.address, ACCEPTED, smallest).send,
        }

    def round(self, number: int) -> Mapping[str, MeasuredBulk]:
        """Every kind once; RoundDisturbed as soon as one of them is disturbed."""
        measured = {kind: self._measure(kind) for kind in rotated(list(self._kinds), number)}
        rates = ", ".join(f"{kind} {measured[kind].per_s:.0f}" for kind in self._kinds)
        print(f"round {number}, reservations/s: {rates}", file=sys.stderr, flush=True)
        return measured

    def check_answers(self) -> None:
        """AuditFailed unless units are held for what was answered and for nothing else."""
        sent = (self._calls, self._stream)
        self._build.check_answers(sum(each.answered for each in sent), sum(each.unheard for each in sent))

    def _measure(self, kind: str) -> MeasuredBulk:
        server, redis = self._build.processes
        groups = [[self._noop_pid] if kind in (NOOP, ECHO) else server, redis]
        with undisturbed(kind, groups, self._arguments.most_foreign) as taken:
            before = self._redis_work()
            count = self._kinds[kind](self._arguments.seconds)
            busy_us, script_calls = (now - then for now, then in zip(self._redis_work(), before, strict=True))
        server_us, redis_us, client_us = (cpu_s / count * 1e6 for cpu_s in (*taken.cpu_s, taken.own_cpu_s))
        return MeasuredBulk(
            count / self._arguments.seconds,
            server_us,
            redis_us,
            client_us,
            busy_us / self._arguments.seconds / 1e6,  # before and after it Redis has nothing to do
            count / max(1, script_calls),
        )

    def _redis_work(self) -> tuple[int, int]:
        """For how many us Redis' event loop has worked, fsync included, and how many script calls it has answered."""
        stats, scripts = self._redis.info("stats"), self._redis.info("commandstats").get("cmdstat_evalsha", {})
        return int(stats["eventloop_duration_sum"]), int(scripts.get("calls", 0))


def main() -> int:
    """The exit code: 0 if every round could be taken, every answered request has its unit, and the audit holds."""
    arguments = parsed()
    return exit_code_of(lambda: measure(arguments))


def measure(arguments: argparse.Namespace) -> int:
    """Take the rounds, audit, and print what they came to."""
    if why := h2load.missing():
        raise LoadFailed(why)
    settings = {"HOLDFAST_WORKERS": str(arguments.workers)} if arguments.workers > 1 else {}
    with (
        tempfile.TemporaryDirectory(prefix="holdfast-bulk-") as folder,
        serving(ROOT, Path(folder) / "this", **settings) as build,
        doing_nothing(Path(folder)) as noop,
    ):
        measuring = Measuring(build, noop, arguments)
        rounds, disturbed = take_after_warm_up(arguments.rounds, arguments.rounds, measuring.round)
        measuring.check_answers()
        print(f"audit: {build.audit(arguments.deadline)}", file=sys.stderr, flush=True)
    if arguments.json:
        write_result(arguments.json, result_of(rounds, disturbed))
    print(f"{machine_and_commit()}\n{len(rounds)} rounds of {arguments.seconds:g} s each; {disturbed} were repeated;")
    print("the audit found no difference\n", *figures(rounds), sep="\n")
    return 0


def parsed() -> argparse.Namespace:
    parser = parser_of(__doc__)
    add_rounds(parser, rounds=20, seconds=1.0, most_foreign=0.15)
    add_audit(parser)
    parser.add_argument("--workers", type=int, default=1, help="server processes, on one address (%(default)s)")
    parser.add_argument("--connections", type=int, default=8, help="of the client that sends batches (%(default)s)")
    parser.add_argument("--streams", type=int, default=1, help="batches in flight on each of them (%(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where the figures go as JSON, besides")
    return parser.parse_args()


def result_of(rounds: Sequence[Mapping[str, MeasuredBulk]], disturbed: int) -> dict[str, Any]:
    """The figures for a JSON file."""
    kinds = {}
    for kind in KINDS:
        values: dict[str, list[float]] = {
            name: [getattr(measured[kind], name) for measured in rounds] for name in MeasuredBulk.__dataclass_fields__
        }
        values["of_the_noop"] = ratios(rounds, kind, NOOP, _per_s)
        kinds[kind] = {name: spread_of(each, 3) for name, each in values.items()}
    return {**provenance(command_line("bench.bulk")), "rounds": len(rounds), "disturbed": disturbed, "kinds": kinds}


def figures(rounds: Sequence[Mapping[str, MeasuredBulk]]) -> Iterator[str]:
    """A row for each kind."""
    yield (
        "| kind | each second | to no-op calls | server CPU us each | to its own no-op | client CPU us"
        " | Redis CPU us | busy | a script call |"
    )
    yield "|---|---|---|---|---|---|---|---|---|"
    for kind in KINDS:
        of_kind = [measured[kind] for measured in rounds]
        noop = ECHO if kind in (STREAM, ECHO) else NOOP
        cells = [
            f"{statistics.median(one.per_s for one in of_kind):.0f}",
            spread(ratios(rounds, kind, NOOP, _per_s), 2),
            spread([one.server_us for one in of_kind], 1),
            spread(ratios(rounds, kind, noop, lambda one: one.server_us), 2),
            spread([one.client_us for one in of_kind], 1),
        ]
        if kind not in (NOOP, ECHO):
            cells += [
                spread([one.redis_us for one in of_kind], 1),
                spread([one.redis_busy for one in of_kind], 2),
                spread([one.a_script_call for one in of_kind], 0),
            ]
        yield f"| {kind} | {' | '.join(cells)} |"
    yield from cores(rounds)
    yield f"\nThe stream in proportion to the no-op's: {spread(ratios(rounds, STREAM, ECHO, _per_s), 2)} messages/s"


def cores(rounds: Sequence[Mapping[str, MeasuredBulk]]) -> Iterator[str]:
    """Who took the machine, in CPU seconds a second."""
    yield from ("", "| kind | server | Redis | client | together |", "|---|---|---|---|---|")
    for kind in KINDS:
        parts = [
            [one[kind].per_s * us / 1e6 for us in (one[kind].server_us, one[kind].redis_us, one[kind].client_us)]
            for one in rounds
        ]
        cells = [spread(values, 2) for values in (*zip(*parts, strict=True), [sum(each) for each in parts])]
        yield f"| {kind} | {' | '.join(cells)} |"


def _per_s(measured: MeasuredBulk) -> float:
    return measured.per_s


if __name__ == "__main__":
    sys.exit(main())
