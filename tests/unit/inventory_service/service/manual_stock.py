"""A batcher on a clock and a stock that the test moves by hand."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from inventory_service.domain.circuit_breaker import FAILURES, CircuitBreaker
from inventory_service.domain.keys import SaleKey
from inventory_service.domain.moves import Move, MoveKind
from inventory_service.domain.reservation import Line
from inventory_service.domain.reserve import Reserve
from inventory_service.service.batcher import Batcher
from inventory_service.service.lane import Limits

SALE = SaleKey("default", "lamp-sale")
LIMITS = Limits(requests=8, lines=10, full_at=4, interval_s=0.004, idle_below=2, queue=12)


def reserve(name: str, lines: int = 1) -> Reserve:
    return Reserve(SALE, name, "buyer", tuple(Line(f"sku-{n}", 1) for n in range(lines)), None)


def confirm(name: str) -> Move:
    return Move(SALE, name, MoveKind.CONFIRM)


class ManualClock:
    """A clock that the test moves."""

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


class ManualStock:
    """A stock whose calls end when the test says so; a request is answered with itself."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, list[str]]] = []
        self.open: asyncio.Future[Any] | None = None

    async def reserve_many(self, shard: int, requests: Sequence[Any]) -> Any:
        return await self._call("reserve", requests)

    async def move_many(self, shard: int, requests: Sequence[Any]) -> Any:
        return await self._call("move", requests)

    async def change_hold(self, request: Any) -> Any:
        return (await self._call("change", [request]))[0]

    async def find_sale(self, sale: SaleKey) -> Any:
        return await self._call("read", [])

    async def find_reservation(self, sale: SaleKey, reservation_id: str) -> Any:
        return await self._call("read", [])

    async def change_sale(self, request: Any) -> Any:
        return await self._call("change_sale", [])

    async def return_archived(self, request: Any) -> Any:
        return await self._call("return_archived", [])

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
    """The request that a ManualStock has answered with itself."""
    return str(answer.reservation_id)


async def settle() -> None:
    """Return when nothing is ready to run any more; the test's clock and store decide what happens next."""
    loop: Any = asyncio.get_running_loop()
    await asyncio.sleep(0)
    while loop._ready:  # noqa: ASYNC110 - no event tells that the loop is idle
        await asyncio.sleep(0)


class BatcherFixture:
    def __init__(self, limits: Limits = LIMITS) -> None:
        self.clock = ManualClock()
        self.store = ManualStock()
        self.observed: list[tuple[str, int]] = []
        self.breaker = CircuitBreaker()
        self.batcher = Batcher(
            self.store,  # type: ignore[arg-type]  # it is asked for many at a time only
            shard_of=lambda sale: 0,
            observe=lambda kind, requests, seconds: self.observed.append((kind, requests)),
            limits=limits,
            clock=self.clock,
            breaker=self.breaker,
        )

    def waiting(self) -> int:
        """Requests that wait in the fuller of both lanes."""
        return max((len(lane.waiting) for lane in self._lanes()), default=0)

    def ids_waiting(self) -> bool:
        """Whether a lane has ids of requests that wait."""
        return any(lane.ids for lane in self._lanes())

    def _lanes(self) -> list[Any]:
        queues = self.batcher._queues.values()
        return [lane for queue in queues for lane in (queue._claims, queue._moves)]

    def set_enough(self, requests: int) -> None:
        """Have so many waiting requests not wait for more."""
        for lane in self._lanes():
            lane.enough = requests

    def open_breaker(self) -> None:
        for _ in range(FAILURES):
            self.breaker.failed(self.breaker.sent(), "refused")

    async def make_busy(self) -> None:
        """End a call of three requests now, so that requests of the next 4 ms wait for the interval."""
        waiting = [self.batcher.reserve(reserve(f"warm-{n}")) for n in range(4)]
        await settle()
        await self.store.answer()
        await self.clock.pass_ms(4)
        await self.store.answer()
        assert all(answer.done() for answer in waiting)
        self.set_enough(LIMITS.full_at)  # as if there had been requests for other shards
        self.store.calls.clear()
        self.observed.clear()
