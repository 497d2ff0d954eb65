"""Hands the Reserves of a batch or a stream to a stock, without a task, a Future or a context for each of them."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextvars import copy_context
from functools import partial
from typing import Any, TypeAlias

from inventory_service.domain.many_reserves import Claim, OnResult
from inventory_service.domain.plain_reserve import PlainHold, PlainReserve, PlainResult, general
from inventory_service.domain.ports import Stock
from inventory_service.service.archive_fallback import ArchiveFallback, may_have_left
from inventory_service.service.batcher import Batcher

Judge: TypeAlias = Callable[[], Awaitable[PlainResult]]


class UnbatchedReserves:
    """The Reserves of batches and streams on a stock without a batcher: a task for each."""

    def __init__(self, stock: Stock) -> None:
        self._stock = stock

    def begin(self, on_result: OnResult) -> "_UnbatchedGroup":
        return _UnbatchedGroup(self._reserve, on_result)

    async def _reserve(self, request: Claim) -> PlainResult:
        if isinstance(request, PlainReserve):
            return await self._stock.reserve_plain(request)
        return await self._stock.reserve(request)


class BatchedReserves:
    """The Reserves of batches and streams on a batcher, which gets those of a batch at once.

    The ledger judges what has left Redis.
    """

    def __init__(self, batcher: Batcher, archive: ArchiveFallback) -> None:
        self._batcher = batcher
        self._archive = archive

    def begin(self, on_result: OnResult) -> "_BatchedGroup":
        return _BatchedGroup(self._batcher, self._archive, on_result)


class _Group:
    """The tasks of one batch or stream; each ends with one result."""

    def __init__(self, on_result: OnResult) -> None:
        self._on_result = on_result
        self._tasks: set[asyncio.Task[None]] = set()
        self._context = copy_context()  # it has the deadline of the caller
        self.is_over = False

    async def close(self) -> None:
        self.is_over = True
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _begin(self, key: Any, judge: Judge) -> None:
        task = asyncio.get_running_loop().create_task(self._run(key, judge), context=self._context.copy())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, key: Any, judge: Judge) -> None:
        result: PlainResult | Exception
        try:
            result = await judge()
        except Exception as error:  # noqa: BLE001 - any bug: it must not end the other requests
            result = error
        self._on_result(key, result)


class _UnbatchedGroup(_Group):
    def __init__(self, reserve: Callable[[Claim], Awaitable[PlainResult]], on_result: OnResult) -> None:
        super().__init__(on_result)
        self._reserve = reserve

    def ask(self, keys: Sequence[Any], requests: Sequence[Claim]) -> None:
        for key, request in zip(keys, requests, strict=True):
            self._begin(key, partial(self._reserve, request))


class _BatchedGroup(_Group):
    def __init__(self, batcher: Batcher, archive: ArchiveFallback, on_result: OnResult) -> None:
        super().__init__(on_result)
        self._batcher = batcher
        self._archive = archive

    def ask(self, keys: Sequence[Any], requests: Sequence[Claim]) -> None:
        slots = [_ResultSlot(self, key, request) for key, request in zip(keys, requests, strict=True)]
        self._batcher.reserve_each(requests, slots)

    def answered(self, key: Any, request: Claim, result: PlainResult) -> None:
        if isinstance(result, PlainHold) or not may_have_left(result):
            self._on_result(key, result)
        else:
            self._begin(key, partial(self._archive.judge_archived, general(request), result))


class _ResultSlot:
    """Passes the result of one request on; it stands in the queue instead of a Future."""

    __slots__ = ("_group", "_key", "_request")

    def __init__(self, group: _BatchedGroup, key: Any, request: Claim) -> None:
        self._group = group
        self._key = key
        self._request = request

    def done(self) -> bool:
        """Whether no answer is wanted any more."""
        return self._group.is_over

    def set_result(self, result: PlainResult) -> None:
        self._group.answered(self._key, self._request, result)
