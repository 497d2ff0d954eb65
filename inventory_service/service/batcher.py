"""Gathers concurrent requests into few script calls: one queue a shard, a lone request at once, busy shards paced.

The batcher sends each request once and never repeats it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from time import perf_counter
from typing import Final, TypeVar

from inventory_service.domain.archive import ReturnArchived
from inventory_service.domain.change_hold import ChangeHold, ChangeResult
from inventory_service.domain.circuit_breaker import CircuitBreaker
from inventory_service.domain.keys import SaleKey
from inventory_service.domain.moves import Move
from inventory_service.domain.plain_reserve import PlainReserve, PlainResult
from inventory_service.domain.ports import ShardStock
from inventory_service.domain.reserve import Replay, Reserve, ReserveResult
from inventory_service.domain.results import Failure, Granted, ReservationRead
from inventory_service.domain.sale import (
    ActOnSale,
    AdjustStock,
    CreateSale,
    SaleRead,
    SaleRequest,
    SaleResult,
    UpdateSale,
)
from inventory_service.service.lane import Answer, Limits
from inventory_service.service.shard_queue import CallObserver, Clock, ShardQueue

T = TypeVar("T")
SALE_CALLS: Final[dict[type, str]] = {
    CreateSale: "create_sale",
    ActOnSale: "change_sale",
    UpdateSale: "change_sale",
    AdjustStock: "adjust_stock",
}
CALL_KINDS = (
    *("reserve", "move", "change_hold", "create_sale", "change_sale", "adjust_stock"),
    *("return_archived", "replay", "read"),
)


class Batcher:
    """A Stock around a ShardStock. `reserve` and `move` answer with Futures; cancelling one cancels no call."""

    def __init__(
        self,
        stock: ShardStock,
        shard_of: Callable[[SaleKey], int],
        observe: CallObserver,
        limits: Limits | None = None,
        clock: Clock | None = None,
        breaker: CircuitBreaker | None = None,
    ) -> None:
        """While `breaker` is open nothing waits: what does when it opens, and what comes then, fails at once."""
        self._stock = stock
        self._shard_of = shard_of
        self._observe = observe
        self._limits = limits or Limits()
        self._clock = clock
        self._breaker = breaker or CircuitBreaker()
        self._breaker.on_change.append(self._fail_waiting)
        self._queues: dict[int, ShardQueue] = {}

    def reserve(self, request: Reserve) -> "asyncio.Future[ReserveResult]":
        return self._queue(request.sale).ask(request)

    def reserve_plain(self, request: PlainReserve) -> "asyncio.Future[PlainResult]":
        return self._queue(request.sale).ask(request)

    def reserve_each(self, requests: Sequence[Reserve | PlainReserve], answers: Sequence[Answer]) -> None:
        """The same for many requests, each with what gets its answer; those of a shard go into its queue at once."""
        if len(requests) == 1:
            self._queue(requests[0].sale).ask_each([(requests[0], answers[0])])
            return
        by_queue: dict[ShardQueue, list[tuple[Reserve | PlainReserve, Answer]]] = {}
        sale, asked = None, list[tuple[Reserve | PlainReserve, Answer]]()
        for request, answer in zip(requests, answers, strict=True):
            if request.sale is not sale:  # mostly it is that of the one before
                sale = request.sale
                asked = by_queue.setdefault(self._queue(sale), [])
            asked.append((request, answer))
        for queue, asked in by_queue.items():
            queue.ask_each(asked)

    def move(self, request: Move) -> "asyncio.Future[Granted | Failure]":
        return self._queue(request.sale).ask(request)

    def change_hold(self, request: ChangeHold) -> "asyncio.Future[ChangeResult]":
        return self._queue(request.sale).ask(request)

    async def change_sale(self, request: SaleRequest) -> SaleResult | Failure:
        return await self._observed(SALE_CALLS[type(request)], self._stock.change_sale(request))

    async def replay(self, request: Replay) -> ReserveResult:
        return await self._observed("replay", self._stock.replay(request))

    async def return_archived(self, request: ReturnArchived) -> Granted | Failure:
        return await self._observed("return_archived", self._stock.return_archived(request))

    async def find_reservation(self, sale: SaleKey, reservation_id: str) -> ReservationRead | Failure:
        return await self._observed("read", self._stock.find_reservation(sale, reservation_id))

    async def find_sale(self, sale: SaleKey) -> SaleRead | Failure:
        return await self._observed("read", self._stock.find_sale(sale))

    async def _observed(self, kind: str, call: Awaitable[T]) -> T:
        """A call of one request, which ends with its caller: what was not sent by then is not sent."""
        began = perf_counter()
        answer = await call
        self._observe(kind, 1, perf_counter() - began)
        return answer

    def _queue(self, sale: SaleKey) -> "ShardQueue":
        shard = self._shard_of(sale)
        queue = self._queues.get(shard)
        if queue is None:
            queue = ShardQueue(
                *(shard, self._stock, self._observe, self._limits, self._clock, self._breaker), queues=self._queues
            )
            self._queues[shard] = queue
        return queue

    def _fail_waiting(self) -> None:
        if self._breaker.is_open:
            for queue in self._queues.values():
                queue.fail_waiting()
