"""What callers of one shard get by the pace of its calls: answers a second, how long each waits, requests in a call.

The batcher of this checkout asks a Valkey of its own, which syncs each write. The callers are tasks of the same
process. In the place of gRPC each spends CPU before and after its request, as gRPC does for a call, and is away for a
moment before the next one. The paces get a slice of time in turn; a row is the median of its slices.
"""

import asyncio
import itertools
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import uvloop
from holdfast.inventory.v1.inventory_service_pb2 import ReserveRequest
from holdfast.inventory.v1.reservation_pb2 import Line
from holdfast_bench.load import percentile
from holdfast_embedded.valkey import Valkey

from bench.arguments import parser_of
from bench.instructions import HOUR_MS, Item, open_stock
from bench.machine import machine_and_commit
from bench.rounds import rotated
from inventory_service.adapters.redis.stock import RedisStock
from inventory_service.domain.keys import SaleKey
from inventory_service.domain.plain_reserve import PlainHold
from inventory_service.domain.sale import CreateSale, SaleUnknown
from inventory_service.rpc.plain_requests import as_plain, plain_reserve
from inventory_service.service import shard_queue
from inventory_service.service.batcher import Batcher
from inventory_service.service.lane import Lane, Limits

SALE = SaleKey("default", "bench-sale")
GRPC_S = 0.000_030  # of CPU, before a request and after it
AWAY_S = 0.000_200  # from an answer to the caller's next request
SLICES = 7


class FixedLane(Lane):
    """A lane to which always the same number of requests is enough."""

    def learn(self, size: int, full_at: int, *, was_alone: bool) -> None:
        """Learn nothing."""


PACES: dict[str, tuple[Limits, type[Lane]]] = {
    "64 requests or 8 ms": (Limits(full_at=64, interval_s=0.008), FixedLane),
    "32 requests or 4 ms": (Limits(full_at=32, interval_s=0.004), FixedLane),
    "half of those in flight, at most 32, or 4 ms": (Limits(full_at=32, interval_s=0.004), Lane),
}


class Slice(NamedTuple):
    """What some callers got."""

    per_s: float
    p50_ms: float
    p99_ms: float
    requests: float  # in a call


class Measuring:
    """Callers of one shard."""

    def __init__(self, stock: RedisStock, seconds: float) -> None:
        self._stock = stock
        self._seconds = seconds
        self._numbers = itertools.count()
        self._waits_s: list[float] = []

    async def slice(self, pace: str, callers: int) -> Slice:
        """Let so many callers ask for a while."""
        limits, shard_queue.Lane = PACES[pace]  # type: ignore[attr-defined]  # it is told in no other way
        sizes: list[int] = []
        batcher = Batcher(self._stock, lambda _sale: 0, lambda _kind, size, _seconds: sizes.append(size), limits)
        self._waits_s = []
        until = time.perf_counter() + self._seconds
        await asyncio.gather(*(self._call_until(until, batcher) for _ in range(callers)))
        p50, p99 = (percentile(sorted(self._waits_s), percent) * 1000 for percent in (50, 99))
        return Slice(len(self._waits_s) / self._seconds, p50, p99, statistics.mean(sizes))

    async def _call_until(self, until: float, batcher: Batcher) -> None:
        while (began := time.perf_counter()) < until:
            number = next(self._numbers)
            spend(GRPC_S)
            request = as_plain(request_bytes(number))
            assert request is not None
            answer = await batcher.reserve_plain(plain_reserve(request, SALE.tenant))
            assert isinstance(answer, PlainHold), answer
            spend(GRPC_S)
            self._waits_s.append(time.perf_counter() - began)
            await asyncio.sleep(AWAY_S)


def spend(seconds: float) -> None:
    """Take CPU."""
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        pass


def request_bytes(number: int) -> bytes:
    """A Reserve of one unit under a new id."""
    request = ReserveRequest(sale_id=SALE.sale_id, reservation_id=f"r-{number}", buyer_id=f"b-{number}")
    request.lines.append(Line(sku="lamp", quantity=1))
    return request.SerializeToString()


async def measure(valkey: Valkey, callers: Sequence[int], seconds: float) -> None:
    """Print a row for each number of callers and each pace."""
    stock = await open_stock(valkey)
    create = CreateSale(SALE, "Lamps", None, None, HOUR_MS, HOUR_MS, 0, (Item("lamp", 10**9),))
    unknown = await stock.change_sale(create)
    assert isinstance(unknown, SaleUnknown)
    await stock.change_sale(create._replace(generation=unknown.generation))
    measuring = Measuring(stock, seconds)
    for count in callers:
        taken: dict[str, list[Slice]] = {pace: [] for pace in PACES}
        for number in range(SLICES):
            for pace in rotated(tuple(PACES), number):
                taken[pace].append(await measuring.slice(pace, count))
        for pace, slices in taken.items():
            per_s, p50_ms, p99_ms, size = (statistics.median(values) for values in zip(*slices, strict=True))
            print(f"| {count} | {pace} | {per_s:.0f} | {p50_ms:.2f} | {p99_ms:.2f} | {size:.1f} |", flush=True)


def main() -> int:
    """Measure and print."""
    parser = parser_of(__doc__)
    parser.add_argument("--callers", type=int, nargs="+", default=[4, 8, 16, 32, 100], help="at once (%(default)s)")
    parser.add_argument("--seconds", type=float, default=0.3, help="of each slice (%(default)s)")
    arguments = parser.parse_args()
    print(machine_and_commit(), "\n")
    with tempfile.TemporaryDirectory(prefix="holdfast-pacing-") as folder:
        valkey = Valkey(Path(folder))
        valkey.start()
        try:
            uvloop.run(measure(valkey, arguments.callers, arguments.seconds))
        finally:
            valkey.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
