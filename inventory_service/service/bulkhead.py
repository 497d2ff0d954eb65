"""A bulkhead in front of the ledger: limits how many queries run at once and how many wait, so that none waits long."""

import asyncio
from collections.abc import Awaitable, Callable
from time import perf_counter
from typing import Final, TypeVar

from holdfast.inventory.v1 import error_reason_pb2 as reasons

from inventory_service.domain.results import Failure
from inventory_service.domain.shards import LedgerOutcomeUnknown, LedgerUnavailable
from inventory_service.domain.time_left import question_ends, question_limit_s

T = TypeVar("T")
LIMIT_S = 5.0  # for a query and its wait
_OVERLOADED: Final = Failure(reasons.ERROR_REASON_OVERLOADED)
_UNREACHABLE: Final = Failure(reasons.ERROR_REASON_LEDGER_UNREACHABLE)
_OUTCOME_UNKNOWN: Final = Failure(reasons.ERROR_REASON_OUTCOME_UNKNOWN)


class Bulkhead:
    """A query runs at once, waits for its turn, or fails with OVERLOADED, which its caller may repeat.

    Wait and query have one limit, below the time that the caller has left: it hears of a ledger that is silent.
    """

    def __init__(self, at_once: int, waiting: int = 256, limit_s: float = LIMIT_S) -> None:
        self._free = asyncio.Semaphore(at_once)
        self._max_waiting = waiting
        self._limit_s = limit_s
        self._waiting = 0

    async def ask(self, query: Callable[[], Awaitable[T]]) -> T | Failure:
        """The query's result, or a failure.

        LEDGER_UNREACHABLE if the ledger does not answer or the query's turn does not come in time, OUTCOME_UNKNOWN if
        the ledger did not say whether it made a change.
        """
        if self._free.locked() and self._waiting >= self._max_waiting:
            return _OVERLOADED
        limit_s = question_limit_s(self._limit_s)
        ends = perf_counter() + limit_s
        if not await self._wait(limit_s):
            return _UNREACHABLE
        former = question_ends.set(ends)
        try:
            return await query()
        except LedgerOutcomeUnknown:
            return _OUTCOME_UNKNOWN
        except LedgerUnavailable:
            return _UNREACHABLE
        finally:
            question_ends.reset(former)
            self._free.release()

    async def _wait(self, limit_s: float) -> bool:
        self._waiting += 1
        try:
            async with asyncio.timeout(limit_s):
                return await self._free.acquire()
        except TimeoutError:
            return False
        finally:
            self._waiting -= 1
