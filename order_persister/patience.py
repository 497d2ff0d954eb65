"""Waits out trouble that passes, with growing delays and for as long as it takes."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog
from prometheus_client import Counter

FIRST_DELAY_S = 0.1
LONGEST_DELAY_S = 5.0

T = TypeVar("T")
log = structlog.get_logger()


class TransientError(Exception):
    """Something is away or busy and will come back; nothing that was asked of it is known to be refused."""


class Patience:
    """Waits, counts the waits and tells them."""

    def __init__(self, waits: Counter) -> None:
        self._waits = waits

    async def wait_out(self, on: str, attempt: Callable[[], Awaitable[T]]) -> T:
        """Attempt until it works; the caller ends it by cancelling. Only `TransientError` is retried.

        Each reason is told once, and the end of the wait.
        """
        delay_s, told = FIRST_DELAY_S, ""
        while True:
            try:
                answer = await attempt()
            except TransientError as passing:
                self._waits.labels(on).inc()
                if told != str(passing):
                    told = str(passing)
                    log.warning("server_unavailable", server=on, why=told)
            else:
                if told:
                    log.info("server_recovered", server=on)
                return answer
            await asyncio.sleep(delay_s)
            delay_s = min(2 * delay_s, LONGEST_DELAY_S)
