"""Gathers `reserve` calls that are made at the same time, and sends them as one BatchReserve."""

import asyncio
import weakref
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import repeat
from typing import NamedTuple

from holdfast.access import Metadata
from holdfast.bulk.batches import judge_batch
from holdfast.bulk.pending import PendingReserve, ReserveAnswer
from holdfast.connections import Connections
from holdfast.errors import NotBuilt
from holdfast.inventory.v1.inventory_service_pb2 import ReserveRequest, ReserveResponse
from holdfast.retry import GRACE_S

MAX_CALLS = 100  # of one batch
GATHER_S = 0.002  # for which a call waits for others while a batch is out
SOON_S = 0.01  # a call whose deadline is so little before that of its batch leaves with the batch
NOT_BUILT_S = 60.0  # for which calls are sent alone once a server has not known BatchReserve


class Gathered(NamedTuple):
    """What became of a call in its batch."""

    answer: ReserveAnswer | None = None  # None: it is to be sent alone
    next_turn: int | None = None  # the server that is to be asked after this answer, if it was no answer


@dataclass(slots=True)
class Batch:
    """Calls that are gathered and then sent together: their requests, deadlines, and what their callers wait for."""

    full: asyncio.Future[None]
    calls: list[tuple[ReserveRequest, float, asyncio.Future[Gathered]]] = field(default_factory=list)
    waiting: int = 0
    task: asyncio.Task[None] | None = None

    def take(self, answers: Iterable[Gathered]) -> None:
        """Give each caller its answer."""
        for (_, _, waiting), answer in zip(self.calls, answers, strict=False):
            if not waiting.done():
                waiting.set_result(answer)

    def end(self) -> None:
        """End with TimeoutError each call that has no answer yet."""
        for _, _, waiting in self.calls:
            _end(waiting)


class Coalescer:
    """Gathers the calls of one event loop that carry the same metadata, of which the token is a part.

    A call is sent at the end of the turn of the loop in which it was made, alone if it was the only one. While batches
    are out, calls wait for others for up to 2 ms. A batch has one task and one timer, and a call has a Future.
    """

    def __init__(self) -> None:
        self._gathering: dict[Metadata, Batch] = {}
        self._out = 0
        self._alone_until_s = 0.0

    async def ask(
        self,
        request: ReserveRequest,
        timeout_s: float,
        connections: Connections,
        metadata: Metadata,
    ) -> Gathered:
        """What a batch answers to a call; TimeoutError: nothing in time, or the client was closed."""
        loop = connections.loop
        if loop.time() < self._alone_until_s:
            return Gathered()
        batch = self._gathering.get(metadata)
        if batch is None:
            batch = self._gathering[metadata] = Batch(loop.create_future())
            if self._out:
                batch.task = loop.create_task(self._run(batch, metadata, connections))
            else:
                loop.call_soon(self._end_turn, batch, metadata, connections)
        answer: asyncio.Future[Gathered] = loop.create_future()
        batch.calls.append((request, timeout_s, answer))
        batch.waiting += 1
        if len(batch.calls) == MAX_CALLS:
            self._stop_gathering(batch, metadata)
        try:
            return await answer
        finally:
            batch.waiting -= 1
            if not batch.waiting:
                self._stop_gathering(batch, metadata)
                if batch.task:
                    batch.task.cancel()

    def _end_turn(self, batch: Batch, metadata: Metadata, connections: Connections) -> None:
        """Send what was gathered in one turn of the loop; a call that is alone needs no task."""
        self._stop_gathering(batch, metadata)
        if batch.waiting > 1:
            batch.task = connections.loop.create_task(self._run(batch, metadata, connections))
        else:
            batch.take(repeat(Gathered()))

    async def _run(self, batch: Batch, metadata: Metadata, connections: Connections) -> None:
        """Gather and send a batch; `close` ends it, and so does the longest deadline of its calls."""
        limit = asyncio.timeout(None)
        with connections.under_way(limit):
            try:
                async with limit:
                    await self._gather(batch)
                    self._stop_gathering(batch, metadata)
                    batch.calls = [call for call in batch.calls if not call[2].done()]
                    if len(batch.calls) > 1:
                        await self._send(batch, metadata, connections, limit)
                    else:
                        batch.take([Gathered()])
            except TimeoutError:
                pass
            finally:
                batch.end()

    async def _gather(self, batch: Batch) -> None:
        if self._out and not batch.full.done():
            await asyncio.wait([batch.full], timeout=GATHER_S)

    def _stop_gathering(self, batch: Batch, metadata: Metadata) -> None:
        if self._gathering.get(metadata) is batch:
            del self._gathering[metadata]
        if not batch.full.done():
            batch.full.set_result(None)

    async def _send(self, batch: Batch, metadata: Metadata, connections: Connections, limit: asyncio.Timeout) -> None:
        loop, turn = connections.loop, connections.next_turn()
        items = [PendingReserve(request) for request, _, _ in batch.calls]
        longest_s = max(timeout_s for _, timeout_s, _ in batch.calls)
        hurried = [
            loop.call_later(time_s, _end, call) for _, time_s, call in batch.calls if time_s < longest_s - SOON_S
        ]
        limit.reschedule(loop.time() + longest_s + GRACE_S)
        self._out += 1
        try:
            error = await judge_batch(items, next(connections.in_turn(turn)), longest_s, lambda _: metadata)
        except Exception:  # noqa: BLE001 - of an interceptor: each call is sent alone, and raises its own
            batch.take(repeat(Gathered()))
            return
        finally:
            self._out -= 1
            for timer in hurried:
                timer.cancel()
        if isinstance(error, NotBuilt):
            self._alone_until_s = loop.time() + NOT_BUILT_S
            batch.take(repeat(Gathered()))
        else:
            batch.take(Gathered(_own(item.answer), turn + 1) for item in items)


def _end(waiting: asyncio.Future[Gathered]) -> None:
    if not waiting.done():
        waiting.set_exception(TimeoutError())


class Coalescing:
    """The coalescers of a client, one for each event loop that uses it."""

    def __init__(self) -> None:
        self._by_loop: weakref.WeakKeyDictionary[Connections, Coalescer] = weakref.WeakKeyDictionary()

    def of(self, connections: Connections) -> Coalescer:
        """That of one loop."""
        if connections not in self._by_loop:
            self._by_loop[connections] = Coalescer()
        return self._by_loop[connections]


def _own(answer: ReserveAnswer) -> ReserveAnswer:
    """A response by itself: a caller that keeps it would keep those of the whole batch."""
    if isinstance(answer, ReserveResponse):
        alone = ReserveResponse()
        alone.CopyFrom(answer)
        return alone
    return answer
