"""The queue of one shard: claims and moves wait apart and are sent in turn, one call at a time, busy shards paced."""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from time import perf_counter
from typing import Any, Final, Protocol

import structlog
from holdfast.inventory.v1 import error_reason_pb2 as reasons

from inventory_service.domain.circuit_breaker import CircuitBreaker
from inventory_service.domain.moves import Move
from inventory_service.domain.plain_reserve import PlainReserve, PlainResult
from inventory_service.domain.ports import ShardStock
from inventory_service.domain.reserve import Reserve
from inventory_service.domain.results import Failure
from inventory_service.service.lane import CHANGE_HOLD, KIND_OF, RESERVE, Answer, Lane, Limits, Request, Waiting

_OVERLOADED: Final = Failure(reasons.ERROR_REASON_OVERLOADED)
_UNREACHABLE: Final = Failure(reasons.ERROR_REASON_STORE_UNREACHABLE)
TICK_S = 0.0005  # an event loop's clock may round to whole milliseconds
log = structlog.get_logger()


class CallObserver(Protocol):
    """Records each call: its kind, one of CALL_KINDS, how many requests it carried and how long it took."""

    def __call__(self, kind: str, requests: int, seconds: float) -> None: ...


class Clock(Protocol):
    """The clock and timers of an event loop."""

    def time(self) -> float: ...

    def call_at(self, when: float, callback: Callable[[], None]) -> Any: ...


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
        queues: "Mapping[int, ShardQueue]",
    ) -> None:
        """`queues` has this one and those of the other shards that the process has asked."""
        self._shard = shard
        self._stock = stock
        self._observe = observe
        self._limits = limits
        self._breaker = breaker
        self._loop = asyncio.get_running_loop()
        self._clock = clock or self._loop
        self._claims, self._moves = Lane(limits.full_at), Lane(limits.full_at)
        self._queues = queues
        self._last_lane = self._claims
        self._call: asyncio.Task[None] | None = None
        self._wait_timer_is_set = False  # which calls `_end_long_waits`

    def ask(self, request: Request) -> "asyncio.Future[Any]":
        answer: asyncio.Future[Any] = self._loop.create_future()
        waiting = Waiting(request, answer, self._clock.time(), (request.sale, request.reservation_id))
        lane = self._moves if type(request) is Move and waiting.id not in self._claims.ids else self._claims
        if self._breaker.is_open or len(lane.waiting) >= self._limits.queue:
            answer.set_result(_UNREACHABLE if self._breaker.is_open else _OVERLOADED)
            return answer
        lane.append(waiting)
        if self._call is None and (not lane.timer_is_set or len(lane.waiting) >= lane.enough):
            self._send_if_due()
        if not self._wait_timer_is_set:
            self._set_wait_timer()
        return answer

    def ask_each(self, asked: "Sequence[tuple[Reserve | PlainReserve, Answer]]") -> None:
        """The same for many claims at once, none of which goes before the others wait too."""
        lane, since = self._claims, self._clock.time()
        for request, answer in asked:
            if self._breaker.is_open or len(lane.waiting) >= self._limits.queue:
                answer.set_result(_UNREACHABLE if self._breaker.is_open else _OVERLOADED)
            else:
                lane.append(Waiting(request, answer, since, (request.sale, request.reservation_id)))
        if self._call is None and (not lane.timer_is_set or len(lane.waiting) >= lane.enough):
            self._send_if_due()
        if not self._wait_timer_is_set:
            self._set_wait_timer()

    @property
    def is_busy(self) -> bool:
        """Whether requests wait or are being judged."""
        return self._call is not None or bool(self._claims.waiting or self._moves.waiting)

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

    def _lanes_in_turn(self) -> Iterator[Lane]:
        """Moves first, unless they had the last call."""
        yield from (self._claims, self._moves) if self._last_lane is self._moves else (self._moves, self._claims)

    def _is_due(self, lane: Lane) -> bool:
        waiting = len(self._moves.waiting) + len(self._claims.waiting)
        is_idle = waiting + lane.last_size <= self._limits.idle_below
        goes_at = lane.last_began + self._limits.interval_s
        return is_idle or len(lane.waiting) >= lane.enough or self._clock.time() >= goes_at - TICK_S

    def _wake(self, lane: Lane) -> None:
        lane.timer_is_set = False
        self._send_if_due()

    def _send(self, lane: Lane) -> None:
        """Send what goes together; nothing, if all that was scanned had been cancelled or waits for the other lane."""
        batch = lane.take_batch(self._limits, self._moves.ids if lane is self._claims else ())
        if batch:
            self._last_lane, lane.last_began, lane.last_size = lane, self._clock.time(), len(batch)
            self._call = self._loop.create_task(self._run(batch))

    async def _run(self, batch: Sequence[Waiting]) -> None:
        answers: Sequence[PlainResult]
        try:
            answers = await self._ask_store([waiting.request for waiting in batch])
        except Exception:  # whatever it is, each caller gets an answer, and the next batch runs
            log.exception("script_call_failed", shard=self._shard, requests=len(batch))
            answers = [Failure(reasons.ERROR_REASON_OUTCOME_UNKNOWN)] * len(batch)
        self._call = None
        self._last_lane.learn(len(batch), self._limits.full_at, was_alone=not self._is_any_busy())
        self._send_if_due()  # first: Redis has work while the answers are made
        for waiting, answer in zip(batch, answers, strict=True):
            if not waiting.answer.done():
                waiting.answer.set_result(answer)

    def _is_any_busy(self) -> bool:
        return any(queue.is_busy for queue in self._queues.values())

    async def _ask_store(self, requests: Sequence[Any]) -> Sequence[PlainResult]:
        began, kind = perf_counter(), KIND_OF[type(requests[0])]
        answers: Sequence[PlainResult]
        if kind == RESERVE:
            answers = await self._stock.reserve_many(self._shard, requests)
        elif kind == CHANGE_HOLD:
            answers = [await self._stock.change_hold(requests[0])]
        else:
            answers = await self._stock.move_many(self._shard, requests)
        self._observe(kind, len(requests), perf_counter() - began)
        assert len(answers) == len(requests), f"{len(requests)} requests got {len(answers)} answers"
        return answers


def _end(waiting: Waiting, answer: Failure) -> None:
    if not waiting.answer.done():
        waiting.answer.set_result(answer)
