"""Requests of Reserve, a stock that answers them as it is told, and the servicer in front of it."""

import asyncio
from collections.abc import Awaitable
from typing import Any

from google.rpc import status_pb2
from holdfast.inventory.v1 import inventory_service_pb2 as calls
from holdfast.inventory.v1.reservation_pb2 import REJECTION_REASON_SOLD_OUT, Line

from inventory_service.domain.keys import Position
from inventory_service.domain.plain_reserve import PlainHold, PlainReserve
from inventory_service.domain.reserve import Reserve, ReserveResult
from inventory_service.domain.results import Granted, Rejected
from inventory_service.rpc.methods import METHODS
from inventory_service.rpc.rate import CallerRate
from inventory_service.rpc.servicers import Servicer
from inventory_service.rpc.stream_life import StreamLife
from tests.unit.inventory_service.rpc.wrapped_calls import Aborted, Calls, FakeContext

UNKNOWN = b"\xf8\x07\x01"  # field 127, a number


def request(name: str, quantity: int = 1, **fields: Any) -> calls.ReserveRequest:
    """One unit or more of the lamp."""
    usual = {"sale_id": "s", "reservation_id": name, "buyer_id": "ada", "lines": [Line(sku="lamp", quantity=quantity)]}
    return calls.ReserveRequest(**{**usual, **fields})


def with_unknown_field(message: Any) -> Any:
    message.MergeFromString(UNKNOWN)
    return message


def sold_out(number: int) -> Rejected:
    """An answer that is told from others by its time."""
    return Rejected(REJECTION_REASON_SOLD_OUT, Position(0, 1, 1, 0), number)


class ToldStock:
    """Answers a request by its id: at once, or when its future is done; what has none is sold out."""

    def __init__(self, **answers: "ReserveResult | Exception | asyncio.Future[ReserveResult]") -> None:
        self.answers = answers
        self.asked: list[Reserve] = []

    async def reserve(self, command: Reserve) -> ReserveResult:
        self.asked.append(command)
        answer = self.answers.get(command.reservation_id, sold_out(1))
        if isinstance(answer, Exception):
            raise answer
        return await answer if isinstance(answer, asyncio.Future) else answer

    async def reserve_plain(self, command: PlainReserve) -> ReserveResult:
        return await self.reserve(command.general())

    @property
    def asked_ids(self) -> list[str]:
        return [command.reservation_id for command in self.asked]


class Outcomes:
    """Counts what was answered."""

    def __init__(self) -> None:
        self.reserves: list[PlainHold | Granted | Rejected] = []

    def count_reserve(self, result: PlainHold | Granted | Rejected) -> None:
        self.reserves.append(result)

    def count_change(self, result: Granted | Rejected) -> None:
        raise AssertionError("no change was asked for")


class Served(Calls):
    """The servicer behind the middleware, on a stock."""

    def __init__(
        self, stock: Any, *, shortest_s: float = 60.0, longest_s: float = 60.0, rate: CallerRate | None = None
    ) -> None:
        super().__init__(rate=rate)
        self.outcomes = Outcomes()
        middleware = self.middleware
        life = StreamLife(middleware.draining, shortest_s, longest_s, drain_is_late=middleware.drain_is_late)
        lists: Any = None  # which no Reserve reads
        watches: Any = None  # nor has any
        self.servicer = Servicer(stock, self.outcomes, middleware.slots, life, lists, watches, rate)

    def call(self, method: str, sent: Any, context: Any) -> Awaitable[Any]:
        """One call, as gRPC makes it."""
        observe = self.meter.observer("a.Service", method)
        return self.middleware._wrapped(getattr(self.servicer, method), METHODS[method], observe)(sent, context)

    async def status(self, method: str, sent: Any) -> status_pb2.Status:
        """The status that a call fails with."""
        context = FakeContext(None)
        try:
            answer = await asyncio.ensure_future(self.call(method, sent, context))
        except Aborted:
            return context.status
        raise AssertionError(f"the call succeeded: {answer}")

    async def batch(self, *requests: calls.ReserveRequest) -> list[calls.ReserveResult]:
        """The results of a batch."""
        answer = await asyncio.ensure_future(
            self.call("BatchReserve", calls.BatchReserveRequest(requests=requests), FakeContext(None))
        )
        return list(calls.BatchReserveResponse.FromString(answer).results)
