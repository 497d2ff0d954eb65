"""Retries what failed because a server was unavailable: with growing delays, counted, logged once an outage."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

import structlog
from prometheus_client import CollectorRegistry, Counter
from structlog.typing import FilteringBoundLogger

from holdfast_runtime.connection_errors import TransientError

T = TypeVar("T")
log = structlog.get_logger()


class Backoff:
    """Each delay is about twice the one before, up to `longest_s`; jitter keeps clients from retrying together."""

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
    """The servers that a process waits for, and a counter of its failed attempts."""

    def __init__(self, registry: CollectorRegistry) -> None:
        meaning = "Attempts that failed because a server was unavailable, and are retried."
        self._retries = Counter("holdfast_retries", meaning, ["server"], registry=registry)
        self._open: dict[Outage, tuple[str, str]] = {}

    def open(self) -> Mapping[str, str]:
        """Each unavailable server by its name, with the error."""
        return dict(self._open.values())

    def begin(self, outage: "Outage", server: str, why: str) -> None:
        self._retries.labels(server.lower()).inc()
        self._open[outage] = server, why

    def end(self, outage: "Outage") -> None:
        self._open.pop(outage, None)


class Outage:
    """The outage that one loop waits out: logs each error once, and the recovery."""

    def __init__(self, outages: Outages, log: FilteringBoundLogger) -> None:
        self._outages = outages
        self._log = log
        self._server = ""
        self._logged: set[str] = set()

    def failed(self, server: str, why: str) -> None:
        """Count one attempt that failed."""
        if why not in self._logged:
            self._server = server
            self._logged.add(why)
            self._log.warning("server_unavailable", server=server, why=why)
        self._outages.begin(self, server, why)

    @property
    def lasts(self) -> bool:
        """Whether the last attempt failed."""
        return bool(self._logged)

    def recovered(self, server: str = "") -> None:
        """The attempt succeeded, or at least reached `server`."""
        if server and server != self._server:
            return
        if self._logged:
            self._log.info("server_recovered", server=self._server)
        self._logged.clear()
        self.abandon()

    def abandon(self) -> None:
        """The attempts have ended, successful or not."""
        self._outages.end(self)


class Retrier:
    """Retries without a limit; the caller ends it by cancellation."""

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
        """Run `step` repeatedly, after a delay if it failed with a transient error.

        The error's attribute `server` names the server. Ends only by cancellation or by an error that is not transient.
        """
        await self.follow_forever(lambda _: step(), log)

    async def follow_forever(self, follow: Callable[[Outage], Awaitable[None]], log: FilteringBoundLogger) -> None:
        """The same with a step that follows a stream and never returns: it calls `outage.recovered` itself."""
        backoff, outage = Backoff(), Outage(self._outages, log)
        try:
            while True:
                try:
                    await follow(outage)
                except self._transient as error:
                    if not outage.lasts:
                        backoff.reset()
                    outage.failed(getattr(error, "server", "a server"), str(error))
                    await backoff.wait()
                else:
                    outage.recovered()
        finally:
            outage.abandon()
