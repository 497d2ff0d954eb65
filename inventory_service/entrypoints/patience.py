"""Waiting for servers that are away: delays that grow, so that nothing spins and nothing dies of an outage."""

import asyncio
import random
from collections.abc import Awaitable, Callable

from structlog.typing import FilteringBoundLogger

from inventory_service.domain.shards import ServerUnavailable


class GrowingDelay:
    """Each delay is about twice the one before, up to `longest_s`; chance keeps two waiters from marching in step."""

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


async def repeat(step: Callable[[], Awaitable[None]], log: FilteringBoundLogger, waited: Callable[[str], None]) -> None:
    """Take the same step for ever; when a server is away, say so once, wait, and say when it is back.

    `waited` hears the server's name before each wait. Ends only by cancellation, or by an exception that waiting does
    not mend.
    """
    delay, away = GrowingDelay(), ""
    while True:
        try:
            await step()
        except ServerUnavailable as error:
            if away != error.server:
                away = error.server
                log.warning("server_unavailable", server=away, why=str(error))
            waited(error.server)
            await delay.wait()
        else:
            if away:
                log.info("server_recovered", server=away)
            delay.reset()
            away = ""
