"""What a reservation costs the server in a batch of 100 and on a stream, beside one in a call of its own.

One server gets a second of each kind of call in turn, in an order that rotates from round to round; ratios are taken
within a round. Batches and the stream are sent by grpc.aio from this process, unary calls by h2load. CPU comes from
the scheduler's statistics of every thread. A round in which other work took CPU is repeated, and counted. In the end
every answered request must have got its unit.
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
from holdfast_bench.load import SKU, Load, LoadFailed

from bench import h2load
from bench.builds import ACCEPTED, Build, serving, smallest_answer
from bench.cpu import CpuWatch
from bench.machine import ROOT, machine_and_commit
from bench.rounds import RoundDisturbed, TooManyDisturbed, ratios, rotated, spread, take_rounds

SERVICE = "/holdfast.inventory.v1.InventoryService"
UNARY, BATCH, STREAM = "unary", "batches of 100", "one stream"
BATCH_SIZE = 100
BATCHES_AT_ONCE = 4  # each on a connection of its own
WINDOW = 256  # messages of the stream that are not answered
DRAIN_S = 30.0  # for what is not answered when the time is over


@dataclass(frozen=True)
class Measured:
    """A second of one kind."""

    per_s: float  # reservations
    server_us: float  # of CPU a reservation
    redis_us: float


class Sender:
    """Sends reservations of fresh ids, all of one unit, and counts those answered."""

    def __init__(self, address: str, first_answer: int) -> None:
        self._address = address
        self._first_answer = first_answer  # bytes of the response to one
        self._series = itertools.count(1)
        self._ids = itertools.count()
        self.kinds: Mapping[str, Callable[[float], int]] = {
            UNARY: self._unary,
            BATCH: lambda seconds: asyncio.run(self._batches(seconds)),
            STREAM: lambda seconds: asyncio.run(self._stream(seconds)),
        }

    def _request(self) -> calls.ReserveRequest:
        name = f"bulk-{next(self._ids)}"
        return calls.ReserveRequest(
            sale_id=ACCEPTED, reservation_id=name, buyer_id=name, lines=[Line(sku=SKU, quantity=1)]
        )

    def _unary(self, seconds: float) -> int:
        load = Load(self._address, ACCEPTED, next(self._series), seconds, smallest_answer=self._first_answer)
        return h2load.run(load).calls

    async def _batches(self, seconds: float) -> int:
        ends = time.monotonic() + seconds
        return sum(await asyncio.gather(*(self._batches_on_one_connection(ends) for _ in range(BATCHES_AT_ONCE))))

    async def _batches_on_one_connection(self, ends: float) -> int:
        answered = 0
        async with self._channel() as channel:
            call: Any = channel.unary_unary(f"{SERVICE}/BatchReserve")
            while time.monotonic() < ends:
                requests = [self._request() for _ in range(BATCH_SIZE)]
                answer = await call(calls.BatchReserveRequest(requests=requests).SerializeToString(), timeout=DRAIN_S)
                results = calls.BatchReserveResponse.FromString(answer).results
                answered += _checked(sum(result.response.HasField("reservation") for result in results), BATCH_SIZE)
        return answered

    async def _stream(self, seconds: float) -> int:
        """The answers are counted by their size, for to parse them would cost more than the server spends."""
        ends, window, sent = time.monotonic() + seconds, asyncio.Semaphore(WINDOW), 0

        async def messages() -> AsyncIterator[bytes]:
            nonlocal sent
            while time.monotonic() < ends:
                await window.acquire()
                sent += 1
                yield calls.StreamReserveRequest(correlation_id=sent, request=self._request()).SerializeToString()

        answered = 0
        async with self._channel() as channel:
            call: Any = channel.stream_stream(f"{SERVICE}/StreamReserve")
            async for answer in call(messages(), timeout=seconds + DRAIN_S):
                answered += len(answer) > self._first_answer
                window.release()
        return _checked(answered, sent)

    def _channel(self) -> Any:
        return grpc.aio.insecure_channel(self._address, options=[("grpc.use_local_subchannel_pool", 1)])


def _checked(answered: int, sent: int) -> int:
    if answered != sent:
        raise LoadFailed(f"of {sent} requests {answered} were granted")
    return answered


class Measuring:
    """Takes the rounds on one build."""

    def __init__(self, build: Build, arguments: argparse.Namespace) -> None:
        self._build = build
        self._arguments = arguments
        self._sender = Sender(build.address, smallest_answer(build.address, ACCEPTED))
        self.answered = 0

    def round(self, number: int) -> Mapping[str, Measured]:
        """Every kind once; RoundDisturbed as soon as one of them is disturbed."""
        measured = {kind: self._measure(kind) for kind in rotated(list(self._sender.kinds), number)}
        rates = ", ".join(f"{kind} {measured[kind].per_s:.0f}" for kind in self._sender.kinds)
        print(f"round {number}, reservations/s: {rates}", file=sys.stderr, flush=True)
        return measured

    def _measure(self, kind: str) -> Measured:
        watch, began = CpuWatch([self._build.server_pid, self._build.redis_pid]), time.monotonic()
        try:
            count = self._sender.kinds[kind](self._arguments.seconds)
        except (LoadFailed, grpc.RpcError) as error:
            raise RoundDisturbed(f"{kind}: {error}") from None
        spent, lasted = watch.spent(), time.monotonic() - began
        self.answered += count
        if (foreign := (spent.others + spent.stolen) / lasted) > self._arguments.most_foreign:
            raise RoundDisturbed(f"{kind}: other work and the host took {foreign:.2f} of a CPU")
        server_us, redis_us = (cpu_s / count * 1e6 for cpu_s in spent.by_process)
        return Measured(count / self._arguments.seconds, server_us, redis_us)


def main() -> int:
    """The exit code: 0 if every round could be taken and every request that was answered has its unit."""
    arguments = parsed()
    try:
        if why := h2load.missing():
            raise LoadFailed(why)
        with (
            tempfile.TemporaryDirectory(prefix="holdfast-bulk-") as folder,
            serving(ROOT, Path(folder) / "this") as build,
        ):
            measuring = Measuring(build, arguments)
            take_rounds(1, arguments.rounds, lambda _: measuring.round(0))
            rounds, disturbed = take_rounds(arguments.rounds, arguments.rounds, measuring.round)
            held = build.units_held(ACCEPTED)
            if held < measuring.answered:
                raise LoadFailed(f"{measuring.answered} requests were granted, and {held} units are held")
    except (LoadFailed, TooManyDisturbed) as error:
        print(f"failed: {error}", file=sys.stderr)
        return 1
    print(f"{machine_and_commit()}\n{len(rounds)} rounds of {arguments.seconds:g} s each; {disturbed} were repeated\n")
    print("\n".join(figures(rounds)))
    return 0


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--rounds", type=int, default=20, help="after one that is not counted (%(default)s)")
    add("--seconds", type=float, default=1.0, help="of each kind in a round (%(default)s)")
    add("--most-foreign", type=float, default=0.15, metavar="CPUS", help="that other work may take (%(default)s)")
    return parser.parse_args()


def figures(rounds: Sequence[Mapping[str, Measured]]) -> Iterator[str]:
    """A row for each kind."""
    yield "| kind | reservations/s | server CPU us each | in proportion to unary | Redis CPU us each |"
    yield "|---|---|---|---|---|"
    for kind in (UNARY, BATCH, STREAM):
        per_s = statistics.median(measured[kind].per_s for measured in rounds)
        server, redis = ([each(measured[kind]) for measured in rounds] for each in (_server_us, _redis_us))
        beside = ratios(rounds, kind, UNARY, _server_us)
        yield f"| {kind} | {per_s:.0f} | {spread(server, 0)} | {spread(beside, 2)} | {spread(redis, 0)} |"


def _server_us(measured: Measured) -> float:
    return measured.server_us


def _redis_us(measured: Measured) -> float:
    return measured.redis_us


if __name__ == "__main__":
    sys.exit(main())
