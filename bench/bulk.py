"""What a reservation costs the server in a batch of 100 and on a stream, beside one in a call of its own.

One server gets a second of each kind of call in turn, in an order that rotates from round to round, and so does one
that does nothing (`bench.noop_server`): its unary calls, and its stream of the same messages. Ratios are taken within a
round. Batches and streams are sent by grpc.aio from this process, unary calls by h2load. CPU comes from the scheduler's
statistics of every thread; how long Redis was busy is what it says of its event loop, fsync included. A round in which
other work took CPU is repeated, and counted. In the end every answered request must have got its unit.
"""

import argparse
import asyncio
import itertools
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from holdfast.inventory.v1 import inventory_service_pb2 as calls
from holdfast.inventory.v1.reservation_pb2 import Line
from holdfast_bench.load import SKU, LoadFailed
from redis import Redis

from bench import h2load
from bench.arguments import add_rounds, parser_of
from bench.builds import ACCEPTED, Build, NoopServer, doing_nothing, serving
from bench.failures import exit_code_of
from bench.loads import ReserveCalls, undisturbed
from bench.machine import ROOT, machine_and_commit
from bench.rounds import ratios, rotated, spread, take_after_warm_up

SERVICE = "/holdfast.inventory.v1.InventoryService"
UNARY, BATCH, STREAM = "unary", "batches of 100", "one stream"
NOOP, ECHO = "unary, no-op", "one stream, no-op"
BATCH_SIZE = 100
BATCHES_AT_ONCE = 8  # each on a connection of its own
WINDOW = 256  # messages of the stream that are not answered
DRAIN_S = 30.0  # for what is not answered when the time is over
PLACEHOLDER = b"~" * 12


@dataclass(frozen=True)
class Measured:
    """A second of one kind."""

    per_s: float  # reservations
    server_us: float  # of CPU a reservation
    redis_us: float
    redis_busy: float  # share of the time


class Messages:
    """Reservations of fresh ids, all of one unit, as bytes: to build messages would cost more than to serve them."""

    def __init__(self) -> None:
        self._ids = itertools.count()
        name = PLACEHOLDER.decode()
        self._request = calls.ReserveRequest(
            sale_id=ACCEPTED, reservation_id=name, buyer_id=name, lines=[Line(sku=SKU, quantity=1)]
        )
        one = calls.BatchReserveRequest(requests=[self._request]).SerializeToString()
        self._in_batch = one.replace(PLACEHOLDER, b"%012d")

    def batch(self) -> bytes:
        """A BatchReserveRequest."""
        numbers = (next(self._ids) for _ in range(BATCH_SIZE))
        return b"".join([self._in_batch % (number, number) for number in numbers])

    def on_stream(self, number: int) -> bytes:
        """A StreamReserveRequest."""
        fresh = b"%012d" % next(self._ids)
        message = calls.StreamReserveRequest(correlation_id=number, request=self._request)
        return message.SerializeToString().replace(PLACEHOLDER, fresh)


class Sender:
    """Sends reservations, and counts those answered; they are told by their size."""

    def __init__(self, address: str, noop: str) -> None:
        unary, unary_noop = ReserveCalls(address), ReserveCalls(noop)
        self._address = address
        self._smallest_answer = unary.smallest_answer
        self._messages = Messages()
        self.kinds: Mapping[str, Callable[[float], int]] = {
            UNARY: lambda seconds: unary.send(seconds).calls,
            NOOP: lambda seconds: unary_noop.send(seconds).calls,
            BATCH: lambda seconds: asyncio.run(self._batches(seconds)),
            STREAM: lambda seconds: asyncio.run(self._stream(address, seconds)),
            ECHO: lambda seconds: asyncio.run(self._stream(noop, seconds)),
        }

    def send(self, kind: str, seconds: float) -> int:
        """Send reservations for so long: how many were answered; LoadFailed if one was not granted."""
        try:
            return self.kinds[kind](seconds)
        except grpc.RpcError as error:
            raise LoadFailed(str(error)) from None

    async def _batches(self, seconds: float) -> int:
        ends = time.monotonic() + seconds
        return sum(await asyncio.gather(*(self._batches_on_one_connection(ends) for _ in range(BATCHES_AT_ONCE))))

    async def _batches_on_one_connection(self, ends: float) -> int:
        answered = 0
        async with _channel(self._address) as channel:
            call: Any = channel.unary_unary(f"{SERVICE}/BatchReserve")
            while time.monotonic() < ends:
                answer = await call(self._messages.batch(), timeout=DRAIN_S)
                granted = len(answer) >= BATCH_SIZE * self._smallest_answer
                answered += _checked(BATCH_SIZE if granted else 0, BATCH_SIZE)
        return answered

    async def _stream(self, address: str, seconds: float) -> int:
        ends, window, sent = time.monotonic() + seconds, asyncio.Semaphore(WINDOW), 0

        async def messages() -> AsyncIterator[bytes]:
            nonlocal sent
            while time.monotonic() < ends:
                await window.acquire()
                sent += 1
                yield self._messages.on_stream(sent)

        answered = 0
        async with _channel(address) as channel:
            call: Any = channel.stream_stream(f"{SERVICE}/StreamReserve")
            async for answer in call(messages(), timeout=seconds + DRAIN_S):
                answered += len(answer) > self._smallest_answer
                window.release()
        return _checked(answered, sent)


def _channel(address: str) -> Any:
    return grpc.aio.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)])


def _checked(answered: int, sent: int) -> int:
    if answered != sent:
        raise LoadFailed(f"of {sent} requests {answered} were granted")
    return answered


class Measuring:
    """Takes the rounds on one build and on the server that does nothing."""

    def __init__(self, build: Build, noop: NoopServer, arguments: argparse.Namespace) -> None:
        self._build = build
        self._noop_pid = noop.pid
        self._arguments = arguments
        self._sender = Sender(build.address, noop.address)
        self._redis = Redis.from_url(build.environment["HOLDFAST_REDIS_URL"])
        self.answered = 0

    def round(self, number: int) -> Mapping[str, Measured]:
        """Every kind once; RoundDisturbed as soon as one of them is disturbed."""
        measured = {kind: self._measure(kind) for kind in rotated(list(self._sender.kinds), number)}
        rates = ", ".join(f"{kind} {measured[kind].per_s:.0f}" for kind in self._sender.kinds)
        print(f"round {number}, reservations/s: {rates}", file=sys.stderr, flush=True)
        return measured

    def _measure(self, kind: str) -> Measured:
        is_noop = kind in (NOOP, ECHO)
        pids = [self._noop_pid if is_noop else self._build.server_pid, self._build.redis_pid]
        with undisturbed(kind, [[pid] for pid in pids], self._arguments.most_foreign) as taken:
            busy_us = self._busy_us()
            count = self._sender.send(kind, self._arguments.seconds)
            busy_us = self._busy_us() - busy_us
            self.answered += 0 if is_noop else count
        server_us, redis_us = (cpu_s / count * 1e6 for cpu_s in taken.cpu_s)
        return Measured(count / self._arguments.seconds, server_us, redis_us, busy_us / taken.seconds / 1e6)

    def _busy_us(self) -> int:
        """For how long Redis' event loop has worked, fsync included."""
        return int(self._redis.info("stats")["eventloop_duration_sum"])


def main() -> int:
    """The exit code: 0 if every round could be taken and every request that was answered has its unit."""
    arguments = parsed()
    return exit_code_of(lambda: measure(arguments))


def measure(arguments: argparse.Namespace) -> int:
    """Take the rounds and print what they came to."""
    if why := h2load.missing():
        raise LoadFailed(why)
    with (
        tempfile.TemporaryDirectory(prefix="holdfast-bulk-") as folder,
        serving(ROOT, Path(folder) / "this") as build,
        doing_nothing(Path(folder)) as noop,
    ):
        measuring = Measuring(build, noop, arguments)
        rounds, disturbed = take_after_warm_up(arguments.rounds, arguments.rounds, measuring.round)
        build.check_units(measuring.answered)
    print(f"{machine_and_commit()}\n{len(rounds)} rounds of {arguments.seconds:g} s each; {disturbed} were repeated\n")
    print("\n".join(figures(rounds)))
    return 0


def parsed() -> argparse.Namespace:
    parser = parser_of(__doc__)
    add_rounds(parser, rounds=20, seconds=1.0, most_foreign=0.15)
    return parser.parse_args()


def figures(rounds: Sequence[Mapping[str, Measured]]) -> Iterator[str]:
    """A row for each kind."""
    yield "| kind | each second | to no-op calls | server CPU us each | to its own no-op | Redis CPU us | busy |"
    yield "|---|---|---|---|---|---|---|"
    for kind in (UNARY, BATCH, STREAM, NOOP, ECHO):
        of_kind = [measured[kind] for measured in rounds]
        noop = ECHO if kind in (STREAM, ECHO) else NOOP
        cells = [
            f"{statistics.median(one.per_s for one in of_kind):.0f}",
            spread(ratios(rounds, kind, NOOP, _per_s), 2),
            spread([one.server_us for one in of_kind], 1),
            spread(ratios(rounds, kind, noop, _server_us), 2),
            "" if kind in (NOOP, ECHO) else spread([one.redis_us for one in of_kind], 1),
            "" if kind in (NOOP, ECHO) else spread([one.redis_busy for one in of_kind], 2),
        ]
        yield f"| {kind} | {' | '.join(cells)} |"
    yield f"\nThe stream in proportion to the no-op's: {spread(ratios(rounds, STREAM, ECHO, _per_s), 2)} messages/s"


def _per_s(measured: Measured) -> float:
    return measured.per_s


def _server_us(measured: Measured) -> float:
    return measured.server_us


if __name__ == "__main__":
    sys.exit(main())
