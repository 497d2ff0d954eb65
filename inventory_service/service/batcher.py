"""Gathers concurrent requests into few script calls: one FIFO a shard, a lone request at once, busy shards paced.

The batcher sends each request once and never repeats it.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from time import perf_counter
from typing import Any, Final, NamedTuple, Protocol, TypeVar

import structlog
from holdfast.inventory.v1 import error_reason_pb2 as reasons

from inventory_service.domain.archive import ReturnArchived
from inventory_service.domain.change_hold import ChangeHold, ChangeResult
from inventory_service.domain.circuit_breaker import CircuitBreaker
from inventory_service.domain.keys import SaleKey
from inventory_service.domain.moves import Move
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

Request = Reserve | Move | ChangeHold
T = TypeVar("T")
_OVERLOADED: Final = Failure(reasons.ERROR_REASON_OVERLOADED)
_UNREACHABLE: Final = Failure(reasons.ERROR_REASON_STORE_UNREACHABLE)
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
TICK_S = 0.0005  # an event loop's clock may round to whole milliseconds
log = structlog.get_logger()


class Limits(NamedTuple):
    """How large a call may be and when it goes."""

    requests: int = 128
    lines: int = 512  # of reserves; the script alone knows how many lines a move has
    full_at: int = 64  # so many waiting requests do not wait for more
    interval_s: float = 0.008  # a busy shard's calls begin at least so far apart: docs/decisions/batching.md says why
    idle_below: int = 3  # a shard is busy if its last call and its queue hold more than these together
    queue: int = 4096  # waiting requests of a shard; the next one is answered OVERLOADED
    wait_s: float = 29.0  # so long a request waits, then it is OVERLOADED: less than a call without a deadline may take
    scan_limit: int = 512  # waiting requests that one call chooses from


class CallObserver(Protocol):
    """Records each call: its kind, one of CALL_KINDS, how many requests it carried and how long it took."""

    def __call__(self, kind: str, requests: int, seconds: float) -> None: ...


class Clock(Protocol):
    """The clock and timers of an event loop."""

    def time(self) -> float: ...

    def call_at(self, when: float, callback: Callable[[], None]) -> Any: ...


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
        self._queues: dict[int, _ShardQueue] = {}

    def reserve(self, request: Reserve) -> "asyncio.Future[ReserveResult]":
        return self._queue(request.sale).ask(request)

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

    def _queue(self, sale: SaleKey) -> "_ShardQueue":
        shard = self._shard_of(sale)
        queue = self._queues.get(shard)
        if queue is None:
            queue = _ShardQueue(shard, self._stock, self._observe, self._limits, self._clock, self._breaker)
            self._queues[shard] = queue
        return queue

    def _fail_waiting(self) -> None:
        if self._breaker.is_open:
            for queue in self._queues.values():
                queue.fail_waiting()


class _Waiting(NamedTuple):
    request: Request
    answer: "asyncio.Future[Any]"
    since: float


class _ShardQueue:
    """The queue of one shard and its one call in flight."""

    def __init__(
        self,
        shard: int,
        stock: ShardStock,
        observe: CallObserver,
        limits: Limits,
        clock: Clock | None,
        breaker: CircuitBreaker,
    ) -> None:
        self._shard = shard
        self._stock = stock
        self._observe = observe
        self._limits = limits
        self._breaker = breaker
        self._loop = asyncio.get_running_loop()
        self._clock = clock or self._loop
        self._queue: deque[_Waiting] = deque()
        self._call: asyncio.Task[None] | None = None
        self._timer_is_set = False  # which calls `_wake`
        self._wait_timer_is_set = False  # which calls `_end_long_waits`
        self._last_began = float("-inf")
        self._last_size = 0

    def ask(self, request: Request) -> "asyncio.Future[Any]":
        answer: asyncio.Future[Any] = self._loop.create_future()
        if self._breaker.is_open or len(self._queue) >= self._limits.queue:
            answer.set_result(_UNREACHABLE if self._breaker.is_open else _OVERLOADED)
            return answer
        self._queue.append(_Waiting(request, answer, self._clock.time()))
        if self._call is None:
            self._send_if_due()
        if not self._wait_timer_is_set:
            self._set_wait_timer()
        return answer

    def fail_waiting(self) -> None:
        """Redis does not answer: what was not sent fails at once, and what was sent waits for its reply."""
        while self._queue:
            answer = self._queue.popleft().answer
            if not answer.done():
                answer.set_result(_UNREACHABLE)

    def _set_wait_timer(self) -> None:
        """Wake when the first of the queue, which is the oldest, will have waited for too long."""
        self._wait_timer_is_set = bool(self._queue)
        if self._queue:
            self._clock.call_at(self._queue[0].since + self._limits.wait_s, self._end_long_waits)

    def _end_long_waits(self) -> None:
        """Drop what has waited for too long: it was not sent, so nothing was done."""
        since = self._clock.time() - self._limits.wait_s + TICK_S
        while self._queue and self._queue[0].since <= since:
            answer = self._queue.popleft().answer
            if not answer.done():
                answer.set_result(_OVERLOADED)
        self._set_wait_timer()

    def _send_if_due(self) -> None:
        """Send now, or set a timer: the one place that decides when a call goes."""
        if self._call is not None or not self._queue:
            return
        waiting = len(self._queue)
        is_idle = waiting + self._last_size <= self._limits.idle_below
        goes_at = self._last_began + self._limits.interval_s
        if is_idle or waiting >= self._limits.full_at or self._clock.time() >= goes_at - TICK_S:
            self._send()
        elif not self._timer_is_set:
            self._timer_is_set = True
            self._clock.call_at(goes_at, self._wake)

    def _wake(self) -> None:
        self._timer_is_set = False
        self._send_if_due()

    def _send(self) -> None:
        batch = self._next_batch()
        if not batch:  # every request that was scanned had been cancelled
            self._send_if_due()
            return
        self._last_began, self._last_size = self._clock.time(), len(batch)
        self._call = self._loop.create_task(self._run(batch))

    def _next_batch(self) -> list[_Waiting]:
        builder = _BatchBuilder(self._limits)
        for _ in range(min(len(self._queue), self._limits.scan_limit)):
            if not builder.takes(self._queue.popleft()):
                break
        self._queue.extendleft(reversed(builder.passed))
        return builder.batch

    async def _run(self, batch: Sequence[_Waiting]) -> None:
        answers: Sequence[ReserveResult]
        try:
            answers = await self._ask_store([waiting.request for waiting in batch])
        except Exception:  # whatever it is, each caller gets an answer, and the next batch runs
            log.exception("script_call_failed", shard=self._shard, requests=len(batch))
            answers = [Failure(reasons.ERROR_REASON_OUTCOME_UNKNOWN)] * len(batch)
        for waiting, answer in zip(batch, answers, strict=True):
            if not waiting.answer.done():
                waiting.answer.set_result(answer)
        self._call = None
        self._send_if_due()

    async def _ask_store(self, requests: Sequence[Any]) -> Sequence[ReserveResult]:
        began = perf_counter()
        if type(requests[0]) is Reserve:
            kind, answers = "reserve", await self._stock.reserve_many(self._shard, requests)
        elif type(requests[0]) is ChangeHold:
            kind, answers = "change_hold", [await self._stock.change_hold(requests[0])]
        else:
            kind, answers = "move", await self._stock.move_many(self._shard, requests)
        self._observe(kind, len(requests), perf_counter() - began)
        assert len(answers) == len(requests), f"{len(requests)} requests got {len(answers)} answers"
        return answers


class _BatchBuilder:
    """Which of the waiting requests go together: the first one's kind, and none before an earlier one about its id.

    A change of a hold goes alone.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._lines = 0
        self._passed_ids: set[tuple[SaleKey, str]] = set()
        self.batch: list[_Waiting] = []
        self.passed: list[_Waiting] = []  # stay in the queue, in their order

    def takes(self, waiting: _Waiting) -> bool:
        """Take, pass or drop the next of the queue; False once no more can be taken."""
        request = waiting.request
        if waiting.answer.done():  # cancelled by its caller: it is not sent
            return True
        if self._must_wait(request):
            self.passed.append(waiting)
            self._passed_ids.add((request.sale, request.reservation_id))
            return True
        self._lines += len(request.lines) if type(request) is Reserve else 0
        if self.batch and self._lines > self._limits.lines:
            self.passed.append(waiting)
            return False
        self.batch.append(waiting)
        return len(self.batch) < self._limits.requests and type(request) is not ChangeHold

    def _must_wait(self, request: Request) -> bool:
        if self.batch and type(request) is not type(self.batch[0].request):
            return True
        return bool(self._passed_ids) and (request.sale, request.reservation_id) in self._passed_ids
