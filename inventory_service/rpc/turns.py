"""Ask the ledger for callers in turn: few questions at once and few that wait, so that late callers never bury it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from holdfast.inventory.v1 import error_reason_pb2 as reasons

from inventory_service.domain.verdicts import Failure
from inventory_service.rpc.status import CallFailed
from inventory_service.rpc.unanswered import asked

T = TypeVar("T")
PATIENCE_S = 5.0  # as long as a connection may take: who waits longer hears what a caller without an answer hears


class Turns:
    """A question has its turn, waits for it, or ends its call: OVERLOADED, and the caller comes again."""

    def __init__(self, at_once: int, waiting: int = 256, stall_timeout_s: float = PATIENCE_S) -> None:
        self._free = asyncio.Semaphore(at_once)
        self._most_waiting = waiting
        self._stall_timeout_s = stall_timeout_s
        self._waiting = 0

    async def ask(self, question: Callable[[], Awaitable[T]]) -> T:
        """The ledger's answer; while it is away the call ends UNAVAILABLE, as one does whose turn never comes."""
        if self._free.locked() and self._waiting >= self._most_waiting:
            raise CallFailed(Failure(reasons.ERROR_REASON_OVERLOADED))
        await self._wait()
        try:
            return await asked(question())
        finally:
            self._free.release()

    async def _wait(self) -> None:
        self._waiting += 1
        try:
            async with asyncio.timeout(self._stall_timeout_s):
                await self._free.acquire()
        except TimeoutError as error:
            raise CallFailed(Failure(reasons.ERROR_REASON_LEDGER_UNREACHABLE)) from error
        finally:
            self._waiting -= 1
