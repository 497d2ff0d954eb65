"""Tries again what failed because a server was away: with growing delays, counted, logged once an outage."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

import structlog
from prometheus_client import CollectorRegistry, Counter
from structlog.typing import FilteringBoundLogger

from holdfast_runtime.connection_errors import TransientError

WORKS_S = 5.0  # a step that lasts this long without an error works: those that follow a stream never return

T = TypeVar("T")
log = structlog.get_logger()


class Backoff:
    """Each delay is about twice the one before, up to `longest_s`; jitter keeps two waiters from trying in step."""

    def __init__(self, first_s: float = 0.1, longest_s: float = 5.0) -> None:
        self._first_s = first_s
        self._longest_s = longest_s
        self.reset()

    def reset(self) -> None:
        self._next_s = self._first_s

    def take(self) -> float:
        """The next delay in seconds."""
        delay_s = self._next_s * random.uniform(0.75, 1.25)
        self._next_s = min(2 * self._next_s, self._longest_s)
        return delay_s

    async def wait(self) -> None:
        await asyncio.sleep(self.take())


class Outages:
    """The servers that a process waits for now, and a counter of its attempts that failed."""

    def __init__(self, registry: CollectorRegistry) -> None:
        meaning = "Attempts that failed because a server was unavailable, and are made again."
        self._retries = Counter("holdfast_retries", meaning, ["server"], registry=registry)
        self._open: dict[Outage, tuple[str, str]] = {}

    def open(self) -> Mapping[str, str]:
        """Why each server that something waits for is not available, by its name."""
        return dict(self._open.values())

    def begin(self, outage: "Outage", server: str, why: str) -> None:
        self._retries.labels(server.lower()).inc()
        self._open[outage] = server, why

    def end(self, outage: "Outage") -> None:
        self._open.pop(outage, None)


class Outage:
    """One loop's view of whether its server is away: logs each reason once, and that it is back."""

    def __init__(self, outages: Outages, log: FilteringBoundLogger) -> None:
        self._outages = outages
        self._log = log
        self._server = ""
        self._told: set[str] = set()

    def failed(self, server: str, why: str) -> None:
        """Count one attempt that failed."""
        if why not in self._told:
            self._server = server
            self._told.add(why)
            self._log.warning("server_unavailable", server=server, why=why)
        self._outages.begin(self, server, why)

    def recovered(self) -> None:
        """The attempt succeeded."""
        if self._told:
            self._log.info("server_recovered", server=self._server)
        self._told.clear()
        self.abandon()

    def abandon(self) -> None:
        """The attempts end, whatever became of them."""
        self._outages.end(self)


class Retrier:
    """Tries again for as long as it takes; the caller ends that by cancelling."""

    def __init__(self, outages: Outages, transient: type[Exception] = TransientError) -> None:
        self._outages = outages
        self._transient = transient

    async def retry(self, server: str, attempt: Callable[[], Awaitable[T]]) -> T:
        """The result of the first attempt that succeeds; an error that is not transient is raised."""
        backoff, outage = Backoff(), Outage(self._outages, log)
        try:
            while True:
                try:
                    result = await attempt()
                except self._transient as error:
                    outage.failed(server, str(error))
                else:
                    outage.recovered()
                    return result
                await backoff.wait()
        finally:
            outage.abandon()

    async def retry_forever(self, step: Callable[[], Awaitable[None]], log: FilteringBoundLogger) -> None:
        """Take the same step again and again, after a delay where a server was away.

        A transient error names its server by an attribute `server`. Ends only by cancellation, or by an exception that
        waiting does not mend.
        """
        backoff, outage = Backoff(), Outage(self._outages, log)

        def works() -> None:
            outage.recovered()
            backoff.reset()

        try:
            while True:
                lasts = asyncio.get_running_loop().call_later(WORKS_S, works)
                try:
                    await step()
                except self._transient as error:
                    outage.failed(getattr(error, "server", "a server"), str(error))
                    lasts.cancel()
                    await backoff.wait()
                else:
                    works()
                finally:
                    lasts.cancel()
        finally:
            outage.abandon()
