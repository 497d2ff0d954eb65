"""Compares `reserve` of one client process, plain and coalesced, in pairs of a second each.

Both clients call one server, on a Valkey of its own (`appendfsync always`), with as many calls under way at a time as
the slot says. The order rotates from round to round, and a ratio is taken within a round. Each call must be answered by
a hold, and the sale must hold as many units as were answered; otherwise no figures are printed, and the exit code is 1.
"""

import argparse
import asyncio
import itertools
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from holdfast.client import Client
from holdfast.messages import held
from holdfast_bench.load import SKU

from bench.arguments import parser_of
from bench.builds import ACCEPTED, PATIENT, AuditFailed, Build, serving
from bench.cpu import CpuWatch
from bench.failures import exit_code_of
from bench.machine import ROOT, machine_and_commit
from bench.rounds import ratios, rotated, spread

PLAIN, COALESCED = "plain", "coalesced"
AT_ONCE = (1, 8, 64, 256)
Slot = tuple[str, int]


@dataclass(frozen=True)
class Measured:
    """What a second of calls came to."""

    calls: int
    seconds: float
    client_cpu_s: float
    server_cpu_s: float

    @property
    def calls_per_s(self) -> float:
        return self.calls / self.seconds

    @property
    def latency_ms(self) -> float:
        """Between two answers."""
        return 1000 * self.seconds / self.calls

    def cpu_us(self, seconds: float) -> float:
        return 1e6 * seconds / self.calls


async def measure(client: Client, at_once: int, seconds: float, numbers: Iterator[int], build: Build) -> Measured:
    """Keep so many calls under way for so long."""
    ends_at_s = time.monotonic() + seconds
    answered = 0

    async def buy() -> None:
        nonlocal answered
        while time.monotonic() < ends_at_s:
            number = next(numbers)
            answer = await client.reserve(ACCEPTED, f"cart-{number}", f"buyer-{number}", {SKU: 1})
            assert held(answer), answer
            answered += 1

    watch, own_s, begun_s = CpuWatch([build.server_pid]), time.process_time(), time.monotonic()
    await asyncio.gather(*(buy() for _ in range(at_once)))
    took_s = time.monotonic() - begun_s
    return Measured(answered, took_s, time.process_time() - own_s, watch.spent().by_process[0])


async def take(build: Build, rounds: int, seconds: float) -> list[Mapping[Slot, Measured]]:
    """The measurements of each round, after one that is not counted."""
    numbers = itertools.count()
    slots = [(kind, at_once) for at_once in AT_ONCE for kind in (PLAIN, COALESCED)]
    taken: list[Mapping[Slot, Measured]] = []
    async with (
        Client(build.address, retry=PATIENT) as plain,
        Client(build.address, retry=PATIENT, coalesce=True) as coalesced,
    ):
        clients = {PLAIN: plain, COALESCED: coalesced}
        for number in range(rounds + 1):
            measured = {}
            for kind, at_once in rotated(slots, number):
                measured[kind, at_once] = await measure(clients[kind], at_once, seconds, numbers, build)
            taken.append(measured)
    answered = sum(one.calls for measured in taken for one in measured.values())
    if (units := await asyncio.to_thread(build.units_held, ACCEPTED)) != answered:
        raise AuditFailed(f"{answered} calls were answered by a hold, and {units} units are held")
    return taken[1:]


def table(rounds: Sequence[Mapping[Slot, Measured]]) -> str:
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
            *(spread([one.latency_ms * at_once for one in kind], 1) for kind in (plain, coalesced)),
            *(spread([one.cpu_us(one.client_cpu_s) for one in kind], 0) for kind in (plain, coalesced)),
            *(spread([one.cpu_us(one.server_cpu_s) for one in kind], 0) for kind in (plain, coalesced)),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> int:
    """The exit code: 0 if every call that was answered has its unit."""
    arguments = parsed()
    return exit_code_of(lambda: compare(arguments))


def compare(arguments: argparse.Namespace) -> int:
    """Take the rounds and print what they came to."""
    print(machine_and_commit(), flush=True)
    with (
        tempfile.TemporaryDirectory(prefix="holdfast-coalescing-") as folder,
        serving(ROOT, Path(folder) / "build") as build,
    ):
        print(table(asyncio.run(take(build, arguments.rounds, arguments.seconds))))
    return 0


def parsed() -> argparse.Namespace:
    parser = parser_of(__doc__)
    parser.add_argument("--rounds", type=int, default=12, help="that are counted (%(default)s)")
    parser.add_argument("--seconds", type=float, default=1.0, help="of each slot (%(default)s)")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
