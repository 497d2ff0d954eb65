"""The batcher: when calls go, what they carry and which answer is whose, on a clock and a store that the test moves."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from holdfast.inventory.v1 import error_reason_pb2 as reasons

from inventory_service.domain.keys import SaleKey
from inventory_service.domain.moves import Move, MoveKind
from inventory_service.domain.reservation import Line
from inventory_service.domain.reserve import Reserve
from inventory_service.domain.results import Failure
from inventory_service.service.batcher import Batcher, Limits

SALE = SaleKey("default", "lamp-sale")
LIMITS = Limits(requests=8, lines=10, full_at=4, interval_s=0.004, idle_below=2, queue=12)


def reserve(name: str, lines: int = 1) -> Reserve:
    return Reserve(SALE, name, "buyer", tuple(Line(f"sku-{n}", 1) for n in range(lines)), None)


class HandClock:
    """Time that stands until the test moves it."""

    def __init__(self) -> None:
        self.now = 100.0
        self.timers: list[tuple[float, Callable[[], None]]] = []

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, callback: Callable[[], None]) -> None:
        self.timers.append((when, callback))

    async def pass_ms(self, milliseconds: float) -> None:
        self.now += milliseconds / 1000
        due = [timer for timer in self.timers if timer[0] <= self.now + 1e-9]
        self.timers = [timer for timer in self.timers if timer not in due]
        for _, callback in due:
            callback()
        await settle()


class HandStore:
    """A stock whose calls end when the test says so; a request is answered with itself."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, list[str]]] = []
        self.open: asyncio.Future[Any] | None = None

    async def reserve_many(self, shard: int, requests: Sequence[Any]) -> Any:
        return await self._call("reserve", requests)

    async def move_many(self, shard: int, requests: Sequence[Any]) -> Any:
        return await self._call("move", requests)

    async def _call(self, kind: str, requests: Sequence[Any]) -> Any:
        assert self.open is None, "two calls of a shard at once"
        self.calls.append((kind, [request.reservation_id for request in requests]))
        self.open = asyncio.get_running_loop().create_future()
        try:
            await self.open
        finally:
            self.open = None
        return list(requests)

    async def answer(self) -> None:
        assert self.open is not None, "no call is under way"
        self.open.set_result(None)
        await settle()

    async def fail(self, error: Exception) -> None:
        assert self.open is not None
        self.open.set_exception(error)
        await settle()


def name_of(answer: Any) -> str:
    """The request that a HandStore has answered with itself."""
    return str(answer.reservation_id)


async def settle() -> None:
    """Return when nothing is ready to run any more; the test's clock and store decide what happens next."""
    loop: Any = asyncio.get_running_loop()
    await asyncio.sleep(0)
    while loop._ready:  # noqa: ASYNC110 - no event tells that the loop is idle
        await asyncio.sleep(0)


class Bench:
    def __init__(self, limits: Limits = LIMITS) -> None:
        self.clock = HandClock()
        self.store = HandStore()
        self.observed: list[tuple[str, int]] = []
        self.batcher = Batcher(
            self.store,  # type: ignore[arg-type]  # it is asked for many at a time only
            shard_of=lambda sale: 0,
            observe=lambda kind, requests, seconds: self.observed.append((kind, requests)),
            limits=limits,
            clock=self.clock,
        )

    async def make_busy(self) -> None:
        """End one call of three requests just now: what comes within the next 4 ms is paced."""
        waiting = [self.batcher.reserve(reserve(f"warm-{n}")) for n in range(4)]
        await settle()
        await self.store.answer()
        await self.clock.pass_ms(4)
        await self.store.answer()
        assert all(answer.done() for answer in waiting)
        self.store.calls.clear()
        self.observed.clear()


@pytest.fixture
def bench() -> Bench:
    return Bench()


async def test_a_lone_request_goes_at_once(bench: Bench) -> None:
    """A caller that is alone must not wait for an interval that serves crowds."""
    for n in range(3):
        answer = bench.batcher.reserve(reserve(f"r-{n}"))
        await settle()
        await bench.store.answer()
        assert name_of(answer.result()) == f"r-{n}"

    assert bench.store.calls == [("reserve", ["r-0"]), ("reserve", ["r-1"]), ("reserve", ["r-2"])]


async def test_a_busy_shard_waits_out_its_pace_and_sends_all_together(bench: Bench) -> None:
    """A fast Redis would otherwise be asked for two requests at a time."""
    await bench.make_busy()

    for n in range(3):
        bench.batcher.reserve(reserve(f"r-{n}"))
    await settle()
    assert bench.store.calls == []
    await bench.clock.pass_ms(4)

    assert bench.store.calls == [("reserve", ["r-0", "r-1", "r-2"])]


async def test_enough_waiting_requests_do_not_wait_for_the_pace(bench: Bench) -> None:
    """A full call gains nothing by waiting."""
    await bench.make_busy()

    for n in range(4):
        bench.batcher.reserve(reserve(f"r-{n}"))
    await settle()

    assert bench.store.calls == [("reserve", ["r-0", "r-1", "r-2", "r-3"])]


async def test_one_call_of_a_shard_is_in_flight_at_a_time(bench: Bench) -> None:
    """Order within a shard rests on it."""
    bench.batcher.reserve(reserve("r-0"))
    for n in range(1, 10):
        bench.batcher.reserve(reserve(f"r-{n}"))
    await settle()
    await bench.clock.pass_ms(50)
    assert len(bench.store.calls) == 1

    await bench.store.answer()

    assert bench.store.calls[1] == ("reserve", [f"r-{n}" for n in range(1, 9)])


async def test_a_call_carries_reserves_and_the_next_one_moves(bench: Bench) -> None:
    """Two scripts judge them; requests of one kind are taken together from between the others."""
    await bench.make_busy()

    bench.batcher.reserve(reserve("a"))
    bench.batcher.move(Move(SALE, "b", MoveKind.CONFIRM))
    bench.batcher.reserve(reserve("c"))
    bench.batcher.move(Move(SALE, "d", MoveKind.RELEASE))
    await settle()
    await bench.store.answer()
    await bench.clock.pass_ms(4)

    assert bench.store.calls == [("reserve", ["a", "c"]), ("move", ["b", "d"])]


async def test_equal_ids_are_judged_in_the_order_of_their_arrival(bench: Bench) -> None:
    """A reserve after a release of the same id stays after it, though others of its kind go ahead."""
    await bench.make_busy()

    for request in ("a", "b"):
        bench.batcher.reserve(reserve(request))
    bench.batcher.move(Move(SALE, "a", MoveKind.RELEASE))
    bench.batcher.reserve(reserve("a"))
    await settle()
    for _ in range(3):
        await bench.store.answer()
        await bench.clock.pass_ms(4)
        if bench.store.open is None:
            break

    assert bench.store.calls == [("reserve", ["a", "b"]), ("move", ["a"]), ("reserve", ["a"])]


async def test_a_call_is_bounded_by_lines_too(bench: Bench) -> None:
    """A script call must not hold Redis up; ten lines are this bench's limit."""
    await bench.make_busy()

    for n in range(4):
        bench.batcher.reserve(reserve(f"r-{n}", lines=4))
    await settle()
    await bench.store.answer()
    await bench.clock.pass_ms(4)

    assert bench.store.calls == [("reserve", ["r-0", "r-1"]), ("reserve", ["r-2", "r-3"])]


async def test_a_cancelled_caller_cancels_nobody_else(bench: Bench) -> None:
    """Its call goes on for the others, and the answer that no caller waits for is dropped."""
    first = bench.batcher.reserve(reserve("r-0"))
    second = bench.batcher.reserve(reserve("r-1"))
    third = bench.batcher.reserve(reserve("r-2"))
    await settle()

    first.cancel()
    await bench.store.answer()
    await bench.clock.pass_ms(4)
    second.cancel()
    await bench.store.answer()

    assert name_of(await third) == "r-2"


async def test_a_caller_that_went_before_its_turn_is_not_sent(bench: Bench) -> None:
    """Nothing was done for it, and no caller would get the answer."""
    await bench.make_busy()
    gone = bench.batcher.reserve(reserve("gone"))
    bench.batcher.reserve(reserve("here"))

    gone.cancel()
    await bench.clock.pass_ms(4)

    assert bench.store.calls == [("reserve", ["here"])]


async def test_everybody_may_go_before_their_turn(bench: Bench) -> None:
    """An empty call is not sent, and the queue works on."""
    await bench.make_busy()
    bench.batcher.reserve(reserve("gone")).cancel()
    await bench.clock.pass_ms(4)
    assert bench.store.calls == []

    answer = bench.batcher.reserve(reserve("next"))
    await settle()
    await bench.store.answer()

    assert answer.done()


async def test_a_call_that_breaks_leaves_every_waiter_in_doubt(bench: Bench) -> None:
    """What a broken call did is unknown, so no caller is answered that nothing was done."""
    answers = [bench.batcher.reserve(reserve(f"r-{n}")) for n in range(2)]
    await settle()

    await bench.store.fail(RuntimeError("a bug"))

    assert answers[0].result() == Failure(reasons.ERROR_REASON_OUTCOME_UNKNOWN)
    await bench.clock.pass_ms(4)
    await bench.store.answer()
    assert name_of(answers[1].result()) == "r-1"


async def test_a_full_queue_refuses_the_next_request(bench: Bench) -> None:
    """A server that cannot keep up says so at once, and has done nothing."""
    bench.batcher.reserve(reserve("in-flight"))
    await settle()
    waiting = [bench.batcher.reserve(reserve(f"r-{n}")) for n in range(12)]

    refused = bench.batcher.reserve(reserve("one-too-many"))

    assert refused.result() == Failure(reasons.ERROR_REASON_OVERLOADED)
    assert not any(answer.done() for answer in waiting)


async def test_every_call_is_told_to_the_observer(bench: Bench) -> None:
    """Batch sizes and script times are metrics."""
    await bench.make_busy()

    for n in range(4):
        bench.batcher.reserve(reserve(f"r-{n}"))
    await settle()
    await bench.store.answer()

    assert bench.observed == [("reserve", 4)]
