"""What watches cost a server: CPU a reservation beside 1,000 watches of its sale in proportion to none, and memory.

One server gets slices of Reserve calls in turn, with the watches and without, the order changing from round to round; a
ratio is taken within a round. Another process has the watches, and one more watch is never read. Then the load goes on
for a while beside all of them, and the server's memory is shown step by step. In the end the audit compares Redis with
the ledger.
"""

import argparse
import asyncio
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path

import grpc
from holdfast.inventory.v1.inventory_service_pb2 import WatchSaleRequest
from holdfast.inventory.v1.inventory_service_pb2_grpc import InventoryServiceStub

from bench.arguments import add_audit, add_rounds, parser_of
from bench.builds import ACCEPTED, Build, serving
from bench.failures import exit_code_of
from bench.loads import Measured, ReserveCalls, server_table, undisturbed
from bench.machine import ROOT, machine_and_commit
from bench.process_use import resident_kib
from bench.programs import READY, ready_process
from bench.rounds import rotated, take_after_warm_up
from bench.unread_watch import open_unread_watch

WATCHED, PLAIN = "1,000 watches", "no watch"
CHANNELS = 10
CLOSING_S = 30.0
MEMORY_STEPS = 6


class Measuring:
    """Puts load on a build, with watches beside it or without."""

    def __init__(self, build: Build, arguments: argparse.Namespace) -> None:
        self._build = build
        self._arguments = arguments
        self._calls = ReserveCalls(build.address)
        self.messages = 0  # that the watches were sent in the last slice beside them

    def round(self, number: int) -> Mapping[str, Measured]:
        """A slice of each kind."""
        measured = {kind: self._slice(kind) for kind in rotated((WATCHED, PLAIN), number)}
        figures = ", ".join(
            f"{kind} {each.server_us:.0f} us, {each.calls_per_s:.0f}/s" for kind, each in measured.items()
        )
        print(f"round {number}: {figures}; {self.messages} messages", file=sys.stderr, flush=True)
        return measured

    def _slice(self, kind: str) -> Measured:
        build, arguments = self._build, self._arguments
        with watching(build.address, arguments.watches) if kind == WATCHED else nullcontext() as watcher:
            processes = [*build.processes, [watcher.pid] if watcher else []]
            with undisturbed(kind, processes, arguments.most_foreign) as taken:
                report = self._calls.send(arguments.seconds)
        if watcher and watcher.stdout:
            self.messages = int(watcher.stdout.read())
        return taken.measured(report)

    def memory(self) -> Iterator[int]:
        """The server's resident KiB, after each step of a load beside watches that stay open."""
        with watching(self._build.address, self._arguments.watches):
            yield resident_kib(self._build.server_pid)
            for _ in range(MEMORY_STEPS):
                self._calls.send(self._arguments.memory_seconds / MEMORY_STEPS)
                yield resident_kib(self._build.server_pid)


def main() -> int:
    """The exit code: 0 if every round could be taken and the audit holds."""
    arguments = parsed()
    if arguments.watch:
        return asyncio.run(watch(arguments.watch, arguments.watches))
    return exit_code_of(lambda: measure(arguments))


def measure(arguments: argparse.Namespace) -> int:
    """Take the rounds and print what they came to."""
    with (
        tempfile.TemporaryDirectory(prefix="holdfast-watchers-") as folder,
        serving(ROOT, Path(folder) / "b") as build,
    ):
        measuring, unread = Measuring(build, arguments), open_unread_watch(build.address, ACCEPTED, window=0)
        rounds, disturbed = take_after_warm_up(arguments.rounds, arguments.rounds, measuring.round)
        memory = list(measuring.memory())
        unread.close()
        print(f"audit: {build.audit(arguments.deadline)}", file=sys.stderr, flush=True)
    print(machine_and_commit())
    print(f"{len(rounds)} rounds of {arguments.seconds:g} s; {disturbed} disturbed ones were repeated\n")
    print("\n".join(server_table(rounds, (WATCHED, PLAIN), [(WATCHED, PLAIN)])))
    resident = ", ".join(f"{kib / 1024:.1f}" for kib in memory)
    print(f"\nresident MiB, each {arguments.memory_seconds / MEMORY_STEPS:g} s: {resident}")
    return 0


def parsed() -> argparse.Namespace:
    parser = parser_of(__doc__)
    add_rounds(parser, rounds=20, seconds=2.0, most_foreign=0.3)
    add_audit(parser)
    add = parser.add_argument
    add("--watches", type=int, default=1000, help="besides the one that is never read (%(default)s)")
    add("--memory-seconds", type=float, default=60.0, help="of load while memory is watched (%(default)s)")
    add("--watch", metavar="ADDRESS", help=argparse.SUPPRESS)  # the process that has the watches
    return parser.parse_args()


@contextmanager
def watching(address: str, watches: int) -> Iterator["subprocess.Popen[bytes]"]:
    """A process whose watches of the sale have all had their first message; it then says how many they were sent."""
    command = ("bench.watchers", "--watch", address, "--watches", str(watches))
    with ready_process(*command, within_s=CLOSING_S) as process:
        yield process


async def watch(address: str, watches: int) -> int:
    """Watch until the input ends; print how many messages came after the first of each."""
    channels = [
        grpc.aio.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)]) for _ in range(CHANNELS)
    ]
    stubs = [InventoryServiceStub(channel) for channel in channels]
    request, counts, begun = WatchSaleRequest(sale_id=ACCEPTED), [0], asyncio.Semaphore(0)

    async def read(number: int) -> None:
        stream = stubs[number % CHANNELS].WatchSale(request)
        await stream.read()
        begun.release()
        while await stream.read() is not grpc.aio.EOF:
            counts[0] += 1

    reading = [asyncio.create_task(read(number)) for number in range(watches)]
    for _ in range(watches):
        await begun.acquire()
    counts[0] = 0
    print(READY, flush=True)
    await asyncio.to_thread(sys.stdin.read)
    print(counts[0], flush=True)
    for task in reading:
        task.cancel()
    await asyncio.gather(*reading, return_exceptions=True)
    for channel in channels:
        await channel.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
