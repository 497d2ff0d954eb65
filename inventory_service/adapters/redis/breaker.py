"""The circuit breaker at work: it tells of each reply, gives the breaker its ticks and probes, and cuts what waits."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext

import structlog

from inventory_service.domain.circuit_breaker import LATE_S, TICK_S, CircuitBreaker
from inventory_service.domain.shards import RedisUnavailable

log = structlog.get_logger()


class BreakerOpen(RedisUnavailable):
    """The circuit breaker is open: nothing was sent."""


class NoBreaker:
    """What a pool without a breaker has: processes that repeat what fails, with growing delays, need none."""

    def sent(self) -> int:
        """A command is sent; the number by which to tell how it ended."""
        return 0

    def answered(self, command: int) -> None:
        """Redis has replied, be it with an error."""

    def failed(self, command: int, why: str) -> None:
        """No reply came, or one that says that Redis cannot serve now."""

    def left(self, command: int) -> None:
        """The caller left."""

    def check(self) -> None:
        """BreakerOpen if the breaker is open."""

    def while_closed(self) -> AbstractAsyncContextManager[None]:
        """A block that sends nothing, or changes nothing: BreakerOpen if the breaker is open, or opens meanwhile."""
        return nullcontext()


NO_BREAKER = NoBreaker()


class RedisBreaker(NoBreaker):
    """One for all pools of a process that lead to the same Redis; it costs nothing while no command is out.

    `probe` raises RedisUnavailable unless Redis serves; it runs from the breaker's opening until it has succeeded.
    """

    def __init__(self, breaker: CircuitBreaker, probe: Callable[[], Awaitable[None]]) -> None:
        self._breaker = breaker
        self._probe = probe
        self._cuttable: set[asyncio.Timeout] = set()
        self._ticks = False  # a timer is set that calls `_tick`
        self._probing: asyncio.Task[None] | None = None
        breaker.on_change.append(self._changed)

    def sent(self) -> int:
        if not self._ticks:
            self._set_timer()
        return self._breaker.sent()

    def answered(self, command: int) -> None:
        self._breaker.answered(command)

    def failed(self, command: int, why: str) -> None:
        self._breaker.failed(command, why)

    def left(self, command: int) -> None:
        self._breaker.left(command)

    def check(self) -> None:
        if self._breaker.is_open:
            raise self._refusal()

    @asynccontextmanager
    async def while_closed(self) -> AsyncIterator[None]:
        self.check()
        try:
            async with asyncio.timeout(None) as limit:
                self._cuttable.add(limit)
                try:
                    yield
                finally:
                    self._cuttable.discard(limit)
        except TimeoutError:
            if not limit.expired():
                raise
            raise self._refusal() from None

    def _refusal(self) -> BreakerOpen:
        return BreakerOpen(f"its circuit breaker is open: {self._breaker.why}")

    def _changed(self) -> None:
        if self._breaker.is_open:
            now = asyncio.get_running_loop().time()
            for limit in self._cuttable:
                if not limit.expired():  # by an opening of before: its call has yet to end
                    limit.reschedule(now)
            self._probing = asyncio.create_task(self._probe_until_closed())

    def _set_timer(self) -> None:
        self._ticks = True
        asyncio.get_running_loop().call_later(TICK_S, self._tick)

    def _tick(self) -> None:
        self._ticks = False
        self._breaker.tick()
        if self._breaker.waits:
            self._set_timer()

    async def _probe_until_closed(self) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        while self._breaker.is_open:
            await asyncio.sleep(began + self._breaker.probe_interval_s - loop.time())
            began = loop.time()
            try:
                async with asyncio.timeout(LATE_S):
                    await self._probe()
            except (RedisUnavailable, TimeoutError):
                self._breaker.probe_failed()
            except Exception:  # any bug: the breaker would stay open for ever
                log.exception("probe_failed")
                self._breaker.probe_failed()
            else:
                self._breaker.probe_succeeded()
