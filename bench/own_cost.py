"""What Holdfast's own Python costs a plain Reserve: CPU from gRPC's request to gRPC's response, by tight loops.

The calls pass everything that a server puts them through, but gRPC and Redis: each runs in a task, as gRPC runs it, and
the script's reply is made here, as the client of Redis parses it. What so many tasks cost that do nothing is taken off.
One process, the best of many rounds: noise only adds.
"""

import asyncio
import gc
import itertools
import statistics
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any

import uvloop
from holdfast.inventory.v1 import inventory_service_pb2 as calls
from holdfast.inventory.v1.inventory_service_pb2_grpc import add_InventoryServiceServicer_to_server
from holdfast.inventory.v1.reservation_pb2 import Line
from prometheus_client import CollectorRegistry

from bench.arguments import parser_of
from bench.machine import machine_and_commit
from inventory_service import metrics
from inventory_service.adapters.redis.stock import RedisStock
from inventory_service.domain.caller import ADMIN, READ, RESERVE, Caller
from inventory_service.domain.heads import ObservedHeads
from inventory_service.domain.revocations import Revocations
from inventory_service.rpc.auth import Authenticator
from inventory_service.rpc.middleware import Middleware
from inventory_service.rpc.rate import CallerRate
from inventory_service.rpc.registered import Handler
from inventory_service.rpc.servicers import Servicer
from inventory_service.rpc.stream_life import StreamLife
from inventory_service.service.archive_fallback import ArchiveFallback
from inventory_service.service.batcher import Batcher
from inventory_service.service.lane import Limits
from inventory_service.service.many_reserves import BatchedReserves
from inventory_service.service.rate_limit import RateLimit

CALLS = 32  # in a script call
BATCH = 100
ROUNDS, REPEATS = 40, 40
ALONE = 600
NOW_MS = 1_795_000_000_000
HEADERS = (("user-agent", "grpc-c++/1.78.0"), ("accept-encoding", "identity"), ("x-request-id", "4711"))
TOKEN = "e" * 458
SERVICE = "holdfast.inventory.v1.InventoryService"
Call = Callable[[bytes], Awaitable[Any]]


class Replies:
    """Replies to reserve.lua: every request is held, or every one is sold out."""

    def __init__(self, *, accepted: bool) -> None:
        self.heads = ObservedHeads()
        self._accepted = accepted
        self._seq = 0

    async def run(self, _name: str, _shard: int, _keys: Sequence[str], arguments: Sequence[Any]) -> list[Any]:
        self._seq += 1
        await asyncio.sleep(0)
        requests, now_ms = len(arguments[1]), NOW_MS + self._seq  # a byte for each request
        held, sold_out = [b"HELD", 0, now_ms + 600_000], [b"SOLD_OUT", self._seq, -1, b"lamp", 1, 0, 1]
        as_the_first = [1 + 256 * index * self._accepted for index in range(1, requests)]
        return [now_ms, 1, self._seq, 0, 0, held if self._accepted else sold_out, *as_the_first]


class Context:
    """The context of a call without a deadline, with a token or without one."""

    def __init__(self, *, tokens: bool = False) -> None:
        self._headers = HEADERS + ((("authorization", f"Bearer {TOKEN}"),) if tokens else ())

    def time_remaining(self) -> float | None:
        return None

    def invocation_metadata(self) -> Any:
        """gRPC makes a tuple of all headers here, which costs about 1 us more."""
        return self._headers


class Messages:
    """What gRPC does for a stream, without doing it: messages that are there at once, and answers that are dropped."""

    def __init__(self, raws: Sequence[bytes], read: Callable[[bytes], Any]) -> None:
        self._raws = raws
        self._read = read
        self.written = 0

    async def __aiter__(self) -> AsyncIterator[Any]:
        for raw in self._raws:
            yield self._read(raw)

    async def write(self, answer: bytes) -> None:
        self.written += 1

    def time_remaining(self) -> float | None:
        return None


class Verifier:
    """Takes every token as that of one caller."""

    def __init__(self) -> None:
        self.keys = self
        self.current = object()

    def verify(self, _token: str) -> Caller:
        now_s = time.time()
        return Caller("default", "checkout", frozenset({RESERVE, READ, ADMIN}), "t-1", now_s - 60, now_s + 86_400)


def handler_of(method: str, **options: Any) -> Any:
    """A server's handler of a method."""
    return handlers_of(interval_s=1.0 if method == "Reserve" else 0.0, **options)[method]


def handlers_of(
    *, accepted: bool = True, tokens: bool = False, rate: bool = False, enough: int = CALLS, interval_s: float = 1.0
) -> Mapping[str, Handler]:
    """The methods of a server, by name, without Redis, which call the script with so many requests at once."""
    registry = CollectorRegistry()
    stock_metrics, call_metrics = metrics.StockMetrics(registry), metrics.CallMetrics(registry)
    replies: Any = Replies(accepted=accepted)
    limits = Limits(full_at=enough, interval_s=interval_s)
    batcher = Batcher(RedisStock(replies, 1, 10**6), lambda _sale: 0, stock_metrics.observe_call, limits)
    nothing: Any = None
    verifier: Any = Verifier()
    authenticate = Authenticator(verifier, Revocations()).caller_of if tokens else None
    limit = CallerRate(RateLimit(1e9, 1e9), call_metrics.count_throttled) if rate else None
    middleware = Middleware(call_metrics, authenticate, limit)
    middleware.open()
    stock = ArchiveFallback(batcher, nothing, nothing, nothing, lambda: 0)
    methods: Any = _Methods()
    life, many = StreamLife(middleware.draining), BatchedReserves(batcher, stock)
    servicer = Servicer(stock, stock_metrics, middleware.slots, life, nothing, nothing, limit, many)
    add_InventoryServiceServicer_to_server(servicer, methods)
    return middleware.wrap(SERVICE, methods.found)


def calls_of(method: str = "Reserve", **options: Any) -> Call:
    """What a server does with the bytes of a Reserve, or of a BatchReserve."""
    handler, context = handler_of(method, **options), Context(tokens=options.get("tokens", False))
    read, write = handler.request_deserializer, handler.response_serializer

    async def call(raw: bytes) -> Any:
        response = await handler.unary_unary(read(raw) if read else raw, context)
        return write(response) if write else response

    return call


class _Methods:
    """Takes the place of a server in the generated code, and keeps the methods."""

    def add_generic_rpc_handlers(self, _handlers: Any) -> None:
        """Has the same ones."""

    def add_registered_method_handlers(self, _service: str, methods: dict[str, Any]) -> None:
        self.found = methods


def requests() -> Sequence[bytes]:
    """The requests of a script call."""
    return [
        calls.ReserveRequest(
            sale_id="bench-sale",
            reservation_id=f"r0-{number}",
            buyer_id=f"b-{number}",
            lines=[Line(sku="lamp", quantity=1)],
        ).SerializeToString()
        for number in range(100_000, 100_000 + CALLS)
    ]


def batch_of(count: int) -> bytes:
    """One BatchReserveRequest."""
    one = calls.ReserveRequest.FromString(requests()[0])
    batch = calls.BatchReserveRequest(requests=[one] * count)
    for number, request in enumerate(batch.requests):
        request.reservation_id = f"r0-{100_000 + number}"
    return batch.SerializeToString()


def stream_messages() -> Sequence[bytes]:
    """The messages of a script call, on a stream."""
    return [
        calls.StreamReserveRequest(
            correlation_id=number, request=calls.ReserveRequest.FromString(raw)
        ).SerializeToString()
        for number, raw in enumerate(requests())
    ]


async def batch_cost_us(call: Call) -> float:
    """CPU of a request in a batch, one batch after the other; the call's own costs are divided by their number."""
    raw, best = batch_of(BATCH), float("inf")
    for _ in range(ROUNDS):
        began = time.process_time()
        for _ in range(REPEATS):
            await asyncio.ensure_future(call(raw))
        best = min(best, time.process_time() - began)
    return best / REPEATS / BATCH * 1e6


async def stream_cost_us() -> float:
    """CPU of a message on a stream."""
    raws, best = [*stream_messages()] * REPEATS, float("inf")
    handler = handler_of("StreamReserve")
    for _ in range(ROUNDS):
        stream = Messages(raws, handler.request_deserializer)
        began = time.process_time()
        await asyncio.ensure_future(handler.stream_stream(stream, stream))
        best = min(best, time.process_time() - began)
    return best / len(raws) * 1e6


async def cost_us(call: Call | None) -> float:
    """CPU of a call; None: of a task that waits for one future."""
    loop, sent, best = asyncio.get_running_loop(), requests(), float("inf")
    for _ in range(ROUNDS):
        began = time.process_time()
        for _ in range(REPEATS):
            gate = loop.create_future()

            async def nothing(raw: bytes, gate: "asyncio.Future[None]" = gate) -> bytes:
                await gate
                return raw

            tasks = [loop.create_task((call or nothing)(raw)) for raw in sent]  # type: ignore[arg-type]  # a coroutine
            await asyncio.sleep(0)
            gate.set_result(None)
            for task in tasks:
                await task
        best = min(best, time.process_time() - began)
    return best / REPEATS / CALLS * 1e6


async def alone_us(call: Call, apart_s: float) -> float:
    """How long a call takes that is alone, so long after the one before: the code leaves the caches meanwhile."""
    loop, sent, took_s = asyncio.get_running_loop(), requests(), []

    async def timed(raw: bytes) -> float:
        began = time.perf_counter()
        await call(raw)
        return time.perf_counter() - began

    for raw in itertools.islice(itertools.cycle(sent), ALONE):
        took_s.append(await loop.create_task(timed(raw)))
        if apart_s:
            await asyncio.sleep(apart_s)
    return statistics.median(took_s) * 1e6


CASES: Mapping[str, Mapping[str, Any]] = {
    "accepted": {},
    "sold out": {"accepted": False},
    "accepted, with a token": {"tokens": True},
    "accepted, with a token and a rate": {"tokens": True, "rate": True},
}
BATCH_CASES: Mapping[str, Mapping[str, Any]] = {
    "accepted, in a batch": {},
    "sold out, in a batch": {"accepted": False},
}


async def measure() -> None:
    """Print a row for each case."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    print("| case | us |", "|---|---|", sep="\n")
    none = await cost_us(None)
    for name, options in CASES.items():
        print(f"| {name} | {await cost_us(calls_of(**options)) - none:.2f} |")
    for name, options in BATCH_CASES.items():
        print(f"| {name} | {await batch_cost_us(calls_of('BatchReserve', **options)):.2f} |")
    print(f"| accepted, on a stream | {await stream_cost_us():.2f} |")
    for apart_ms in (0, 2, 10):
        print(f"| alone, {apart_ms} ms apart | {await alone_us(calls_of(enough=1), apart_ms / 1000):.0f} |")


def main() -> int:
    """Measure and print."""
    parser_of(__doc__).parse_args()
    print(machine_and_commit(), "\n")
    uvloop.run(measure())
    return 0


if __name__ == "__main__":
    sys.exit(main())
