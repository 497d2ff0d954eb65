"""The queue of one shard: claims and moves wait apart and are sent in turn, one call at a time, busy shards paced."""

import asyncio
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial
from time import perf_counter
from typing import Any, Final, NamedTuple, Protocol

import structlog
from holdfast.inventory.v1 import error_reason_pb2 as reasons

from inventory_service.domain.change_hold import ChangeHold
from inventory_service.domain.circuit_breaker import CircuitBreaker
from inventory_service.domain.keys import SaleKey
from inventory_service.domain.moves import Move
from inventory_service.domain.ports import ShardStock
from inventory_service.domain.reserve import Reserve, ReserveResult
from inventory_service.domain.results import Failure

Request = Reserve | Move | ChangeHold
Id = tuple[SaleKey, str]
_OVERLOADED: Final = Failure(reasons.ERROR_REASON_OVERLOADED)
_UNREACHABLE: Final = Failure(reasons.ERROR_REASON_STORE_UNREACHABLE)
TICK_S = 0.0005  # an event loop's clock may round to whole milliseconds
log = structlog.get_logger()


class Limits(NamedTuple):
    """How large a call may be and when it goes."""

    requests: int = 128
    lines: int = 512  # of reserves; the script alone knows how many lines a move has
    full_at: int = 64  # so many waiting requests do not wait for more
    interval_s: float = 0.008  # a busy shard's calls begin at least so far apart: docs/decisions/batching.md says why
    idle_below: int = 3  # a shard is busy if its last call and its queue hold more than these together
    queue: int = 4096  # claims that wait for a shard, and as many moves; the next one is answered OVERLOADED
    wait_s: float = 29.0  # so long a request waits, then it is OVERLOADED: less than a call without a deadline may take
    scan_limit: int = 512  # waiting requests that one call chooses from


class CallObserver(Protocol):
    """Records each call: its kind, one of CALL_KINDS, how many requests it carried and how long it took."""

    def __call__(self, kind: str, requests: int, seconds: float) -> None: ...


class Clock(Protocol):
    """The clock and timers of an event loop."""

    def time(self) -> float: ...

    def call_at(self, when: float, callback: Callable[[], None]) -> Any: ...


class _Waiting(NamedTuple):
    request: Request
    answer: "asyncio.Future[Any]"
    since: float

    @property
    def id(self) -> Id:
        return self.request.sale, self.request.reservation_id


class _Lane:
    """Requests that wait, in the order of their arrival, and when the last call began that took some of them."""

    def __init__(self) -> None:
        self.waiting: deque[_Waiting] = deque()
        self.ids: dict[Id, int] = {}  # of those that wait, and how many of each
        self.last_began = float("-inf")
        self.last_size = 0
        self.timer_is_set = False  # which sends what waits

    def append(self, waiting: _Waiting) -> None:
        self.waiting.append(waiting)
        self.ids[waiting.id] = self.ids.get(waiting.id, 0) + 1

    def pop_first(self) -> _Waiting:
        first = self.waiting.popleft()
        self._forget(first)
        return first

    def take_batch(self, limits: Limits, elsewhere: Collection[Id]) -> list[_Waiting]:
        """The requests of the next call; none of an id that waits elsewhere, for it came later."""
        builder = _BatchBuilder(limits, elsewhere)
        scanned = 0
        while scanned < limits.scan_limit and self.waiting:
            scanned += 1
            if not builder.takes(self.waiting.popleft()):
                break
        self.waiting.extendleft(reversed(builder.passed))
        for waiting in (*builder.batch, *builder.dropped):
            self._forget(waiting)
        return builder.batch

    def _forget(self, waiting: _Waiting) -> None:
        left = self.ids[waiting.id] - 1
        if left:
            self.ids[waiting.id] = left
        else:
            del self.ids[waiting.id]


class ShardQueue:
    """The queue of one shard and its one call in flight.

    Moves have a lane of their own, so that a crowd of claims keeps none from being carried out; the lanes take turns.
    Requests of one id keep their order: a move whose id waits among the claims waits behind it.
    """

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
        self._claims, self._moves = _Lane(), _Lane()
        self._last_lane = self._claims
        self._call: asyncio.Task[None] | None = None
        self._wait_timer_is_set = False  # which calls `_end_long_waits`

    def ask(self, request: Request) -> "asyncio.Future[Any]":
        answer: asyncio.Future[Any] = self._loop.create_future()
        waiting = _Waiting(request, answer, self._clock.time())
        lane = self._moves if type(request) is Move and waiting.id not in self._claims.ids else self._claims
        if self._breaker.is_open or len(lane.waiting) >= self._limits.queue:
            answer.set_result(_UNREACHABLE if self._breaker.is_open else _OVERLOADED)
            return answer
        lane.append(waiting)
        if self._call is None:
            self._send_if_due()
        if not self._wait_timer_is_set:
            self._set_wait_timer()
        return answer

    def fail_waiting(self) -> None:
        """Redis does not answer: what was not sent fails at once, and what was sent waits for its reply."""
        for lane in (self._moves, self._claims):
            while lane.waiting:
                _end(lane.pop_first(), _UNREACHABLE)

    def _set_wait_timer(self) -> None:
        """Wake when the oldest that waits, which is the first of its lane, will have waited for too long."""
        since = [lane.waiting[0].since for lane in (self._moves, self._claims) if lane.waiting]
        self._wait_timer_is_set = bool(since)
        if since:
            self._clock.call_at(min(since) + self._limits.wait_s, self._end_long_waits)

    def _end_long_waits(self) -> None:
        """Drop what has waited for too long: it was not sent, so nothing was done."""
        since = self._clock.time() - self._limits.wait_s + TICK_S
        for lane in (self._moves, self._claims):
            while lane.waiting and lane.waiting[0].since <= since:
                _end(lane.pop_first(), _OVERLOADED)
        self._set_wait_timer()

    def _send_if_due(self) -> None:
        """Send now, or set timers: the one place that decides when a call goes."""
        for lane in self._lanes_in_turn():
            if self._call is not None:
                return
            if lane.waiting and self._is_due(lane):
                self._send(lane)
        if self._call is None:
            for lane in (self._moves, self._claims):
                if lane.waiting and not lane.timer_is_set:
                    lane.timer_is_set = True
                    self._clock.call_at(lane.last_began + self._limits.interval_s, partial(self._wake, lane))

    def _lanes_in_turn(self) -> Iterator[_Lane]:
        """Moves first, unless they had the last call."""
        yield from (self._claims, self._moves) if self._last_lane is self._moves else (self._moves, self._claims)

    def _is_due(self, lane: _Lane) -> bool:
        waiting = len(self._moves.waiting) + len(self._claims.waiting)
        is_idle = waiting + lane.last_size <= self._limits.idle_below
        goes_at = lane.last_began + self._limits.interval_s
        return is_idle or len(lane.waiting) >= self._limits.full_at or self._clock.time() >= goes_at - TICK_S

    def _wake(self, lane: _Lane) -> None:
        lane.timer_is_set = False
        self._send_if_due()

    def _send(self, lane: _Lane) -> None:
        """Send what goes together; nothing, if all that was scanned had been cancelled or waits for the other lane."""
        batch = lane.take_batch(self._limits, self._moves.ids if lane is self._claims else ())
        if batch:
            self._last_lane, lane.last_began, lane.last_size = lane, self._clock.time(), len(batch)
            self._call = self._loop.create_task(self._run(batch))

    async def _run(self, batch: Sequence[_Waiting]) -> None:
        answers: Sequence[ReserveResult]
        try:
            answers = await self._ask_store([waiting.request for waiting in batch])
        except Exception:  # whatever it is, each caller gets an answer, and the next batch runs
            log.exception("script_call_failed", shard=self._shard, requests=len(batch))
            answers = [Failure(reasons.ERROR_REASON_OUTCOME_UNKNOWN)] * len(batch)
        for waiting, answer in zip(batch, answers, strict=True):
            _end(waiting, answer)
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


def _end(waiting: _Waiting, answer: ReserveResult) -> None:
    if not waiting.answer.done():
        waiting.answer.set_result(answer)


class _BatchBuilder:
    """Which of the waiting requests go together: the first one's kind, and none before an earlier one about its id.

    A change of a hold goes alone.
    """

    def __init__(self, limits: Limits, elsewhere: Collection[Id]) -> None:
        self._limits = limits
        self._lines = 0
        self._passed_ids: set[Id] = set(elsewhere)
        self.batch: list[_Waiting] = []
        self.dropped: list[_Waiting] = []
        self.passed: list[_Waiting] = []  # stay in the queue, in their order

    def takes(self, waiting: _Waiting) -> bool:
        """Take, pass or drop the next of the queue; False once no more can be taken."""
        request = waiting.request
        if waiting.answer.done():  # cancelled by its caller: it is not sent
            self.dropped.append(waiting)
            return True
        if self._must_wait(waiting):
            self.passed.append(waiting)
            self._passed_ids.add(waiting.id)
            return True
        self._lines += len(request.lines) if type(request) is Reserve else 0
        if self.batch and self._lines > self._limits.lines:
            self.passed.append(waiting)
            return False
        self.batch.append(waiting)
        return len(self.batch) < self._limits.requests and type(request) is not ChangeHold

    def _must_wait(self, waiting: _Waiting) -> bool:
        if self.batch and type(waiting.request) is not type(self.batch[0].request):
            return True
        return bool(self._passed_ids) and waiting.id in self._passed_ids
