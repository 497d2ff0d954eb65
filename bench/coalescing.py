"""Compares `reserve` of one client process, plain and coalesced, in pairs of a second each.

Both clients call one server, on a Valkey of its own (`appendfsync always`), with as many calls under way at a time as
the slot says. The order rotates from round to round, and a ratio is taken within a round. A round in which other work
took CPU is repeated, and counted. Each call must be answered by a hold, and the sale must hold as many units as were
answered; then the audit compares Redis with the ledger. Otherwise no figures are printed, and the exit code is 1.
"""

import argparse
import asyncio
import itertools
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from holdfast.client import Client
from holdfast.messages import held
from holdfast_bench.load import SKU

from bench.arguments import add_audit, add_rounds, parser_of
from bench.builds import ACCEPTED, PATIENT, Build, serving
from bench.failures import exit_code_of
from bench.loads import undisturbed
from bench.machine import ROOT, machine_and_commit
from bench.result_files import command_line, provenance, write_result
from bench.rounds import ratios, rotated, spread, spread_of, take_after_warm_up

PLAIN, COALESCED = "plain", "coalesced"
AT_ONCE = (1, 8, 64, 256)
Slot = tuple[str, int]
SLOTS = [(kind, at_once) for at_once in AT_ONCE for kind in (PLAIN, COALESCED)]


@dataclass(frozen=True)
class MeasuredClient:
    """What a second of calls came to; CPU is that of a call."""

    calls_per_s: float
    latency_ms: float
    client_us: float
    server_us: float


class Measuring:
    """Takes the rounds on one build, with clients that belong to the runner's loop."""

    def __init__(self, build: Build, runner: asyncio.Runner, arguments: argparse.Namespace) -> None:
        self._build = build
        self._runner = runner
        self._clients = runner.run(clients_of(build.address))
        self._arguments = arguments
        self._numbers = itertools.count()
        self.answered = 0

    def round(self, number: int) -> Mapping[Slot, MeasuredClient]:
        """Every slot once; RoundDisturbed as soon as one of them is disturbed."""
        return {slot: self._measure(*slot) for slot in rotated(SLOTS, number)}

    def close(self) -> None:
        """End the clients."""
        for client in self._clients.values():
            self._runner.run(client.close())

    def _measure(self, kind: str, at_once: int) -> MeasuredClient:
        processes, before = self._build.processes, self.answered
        with undisturbed(f"{kind}, {at_once} under way", processes, self._arguments.most_foreign) as taken:
            self._runner.run(self._buy_for_a_while(self._clients[kind], at_once))
        calls = self.answered - before
        client_us, server_us = (cpu_s / calls * 1e6 for cpu_s in (taken.own_cpu_s, taken.cpu_s[0]))
        return MeasuredClient(calls / taken.seconds, at_once * taken.seconds / calls * 1e3, client_us, server_us)

    async def _buy_for_a_while(self, client: Client, at_once: int) -> None:
        """Keep so many calls under way."""
        ends_at_s = time.monotonic() + self._arguments.seconds

        async def buy() -> None:
            while time.monotonic() < ends_at_s:
                number = next(self._numbers)
                answer = await client.reserve(ACCEPTED, f"cart-{number}", f"buyer-{number}", {SKU: 1})
                assert held(answer), answer
                self.answered += 1

        await asyncio.gather(*(buy() for _ in range(at_once)))


async def clients_of(address: str) -> Mapping[str, Client]:
    """A client of each kind."""
    return {
        PLAIN: Client(address, retry=PATIENT),
        COALESCED: Client(address, retry=PATIENT, coalesce=True),
    }


def table(rounds: Sequence[Mapping[Slot, MeasuredClient]]) -> str:
    """The medians with their quartiles, for docs/benchmarks.md."""
    lines = [
        "| under way | plain, calls/s | coalesced | ratio | plain, ms a call | coalesced | client CPU, plain, us/call"
        " | coalesced | server CPU, plain, us/call | coalesced |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for at_once in AT_ONCE:
        plain, coalesced = ([each[kind, at_once] for each in rounds] for kind in (PLAIN, COALESCED))
        ratio = ratios(rounds, (COALESCED, at_once), (PLAIN, at_once), lambda one: one.calls_per_s)
        cells = [
            str(at_once),
            *(spread([one.calls_per_s for one in kind], 0) for kind in (plain, coalesced)),
            spread(ratio, 2),
            *(spread([one.latency_ms for one in kind], 1) for kind in (plain, coalesced)),
            *(spread([one.client_us for one in kind], 0) for kind in (plain, coalesced)),
            *(spread([one.server_us for one in kind], 0) for kind in (plain, coalesced)),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def result_of(rounds: Sequence[Mapping[Slot, MeasuredClient]], disturbed: int) -> dict[str, Any]:
    """The figures for a JSON file."""
    slots: dict[str, dict[str, Any]] = {kind: {} for kind in (PLAIN, COALESCED)}
    for kind, at_once in SLOTS:
        measured = [each[kind, at_once] for each in rounds]
        values = {name: [getattr(one, name) for one in measured] for name in MeasuredClient.__dataclass_fields__}
        values["of_plain"] = ratios(rounds, (kind, at_once), (PLAIN, at_once), lambda one: one.calls_per_s)
        slots[kind][str(at_once)] = {name: spread_of(each, 3) for name, each in values.items()}
    return {**provenance(command_line("bench.coalescing")), "rounds": len(rounds), "disturbed": disturbed, **slots}


def main() -> int:
    """The exit code: 0 if every round could be taken, every answered call has its unit, and the audit holds."""
    arguments = parsed()
    return exit_code_of(lambda: compare(arguments))


def compare(arguments: argparse.Namespace) -> int:
    """Take the rounds, audit, and print what they came to."""
    with (
        tempfile.TemporaryDirectory(prefix="holdfast-coalescing-") as folder,
        serving(ROOT, Path(folder) / "build") as build,
        asyncio.Runner() as runner,
    ):
        measuring = Measuring(build, runner, arguments)
        rounds, disturbed = take_after_warm_up(arguments.rounds, arguments.rounds, measuring.round)
        measuring.close()
        build.check_answers(measuring.answered, unheard=0)
        print(f"audit: {build.audit(arguments.deadline)}", file=sys.stderr, flush=True)
    if arguments.json:
        write_result(arguments.json, result_of(rounds, disturbed))
    print(f"{machine_and_commit()}\n{len(rounds)} rounds of {arguments.seconds:g} s each; {disturbed} were repeated;")
    print(f"the audit found no difference\n\n{table(rounds)}")
    return 0


def parsed() -> argparse.Namespace:
    parser = parser_of(__doc__)
    add_rounds(parser, rounds=12, seconds=1.0, most_foreign=0.15)
    add_audit(parser)
    parser.add_argument("--json", type=Path, metavar="FILE", help="where the figures go as JSON, besides")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
