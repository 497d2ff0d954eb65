"""A bulkhead in front of the ledger: limits how many queries run at once and how many wait, so that none waits long."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from holdfast.inventory.v1 import error_reason_pb2 as reasons

from inventory_service.domain.results import Failure
from inventory_service.domain.shards import LedgerOutcomeUnknown, LedgerUnavailable

T = TypeVar("T")
WAIT_S = 5.0  # as long as a connection may take
_OVERLOADED: Final = Failure(reasons.ERROR_REASON_OVERLOADED)
_UNREACHABLE: Final = Failure(reasons.ERROR_REASON_LEDGER_UNREACHABLE)
_OUTCOME_UNKNOWN: Final = Failure(reasons.ERROR_REASON_OUTCOME_UNKNOWN)


class Bulkhead:
    """A query runs at once, waits for its turn, or fails with OVERLOADED, which its caller may repeat."""

    def __init__(self, at_once: int, waiting: int = 256, wait_s: float = WAIT_S) -> None:
        self._free = asyncio.Semaphore(at_once)
        self._max_waiting = waiting
        self._wait_s = wait_s
        self._waiting = 0

    async def ask(self, query: Callable[[], Awaitable[T]]) -> T | Failure:
        """The query's result, or a failure.

        LEDGER_UNREACHABLE if the ledger does not answer or the query's turn does not come, OUTCOME_UNKNOWN if the
        ledger did not say whether it made a change.
        """
        if self._free.locked() and self._waiting >= self._max_waiting:
            return _OVERLOADED
        if not await self._wait():
            return _UNREACHABLE
        try:
            return await query()
        except LedgerOutcomeUnknown:
            return _OUTCOME_UNKNOWN
        except LedgerUnavailable:
            return _UNREACHABLE
        finally:
            self._free.release()

    async def _wait(self) -> bool:
        self._waiting += 1
        try:
            async with asyncio.timeout(self._wait_s):
                return await self._free.acquire()
        except TimeoutError:
            return False
        finally:
            self._waiting -= 1
