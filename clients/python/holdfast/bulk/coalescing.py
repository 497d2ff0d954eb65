"""Gathers `reserve` calls that are made at the same time, and sends them as one BatchReserve."""

import asyncio
import weakref
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

from holdfast.access import Metadata
from holdfast.bulk.batches import judge_batch
from holdfast.bulk.pending import PendingReserve, ReserveAnswer
from holdfast.connections import Connections
from holdfast.errors import NotBuilt
from holdfast.inventory.v1.inventory_service_pb2 import ReserveRequest, ReserveResponse

MAX_CALLS = 100  # of one batch
GATHER_S = 0.002  # for which a call waits for others while a batch is out
NOT_BUILT_S = 60.0  # for which calls are sent alone once a server has not known BatchReserve


class Gathered(NamedTuple):
    """What became of a call in its batch."""

    answer: ReserveAnswer | None = None  # None: it is to be sent alone
    next_turn: int | None = None  # the server that is to be asked after this answer, if it was no answer


@dataclass(slots=True)
class Batch:
    """Calls that are gathered and then sent together: their requests, deadlines, and what their callers wait for."""

    calls: list[tuple[ReserveRequest, float, asyncio.Future[Gathered]]] = field(default_factory=list)
    waiting: int = 0
    timer: asyncio.Handle | None = None
    sending: asyncio.Task[None] | None = None

    def leave(self) -> None:
        """A caller waits no more; a batch that none waits for is cancelled."""
        self.waiting -= 1
        if self.sending and not self.waiting:
            self.sending.cancel()


class Coalescer:
    """Gathers the calls of one event loop that carry the same metadata, of which the token is a part.

    A call is sent at the end of the turn of the loop in which it was made, alone if it was the only one. While batches
    are out, calls wait for others for up to 2 ms.
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
        """What a batch answers to a call."""
        loop = connections.loop
        if loop.time() < self._alone_until_s:
            return Gathered()
        batch = self._gathering.get(metadata)
        if batch is None:
            batch = self._gathering[metadata] = Batch()
            send = partial(self._send, metadata, connections)
            batch.timer = loop.call_later(GATHER_S, send) if self._out else loop.call_soon(send)
        answer: asyncio.Future[Gathered] = loop.create_future()
        batch.calls.append((request, timeout_s, answer))
        batch.waiting += 1
        if len(batch.calls) == MAX_CALLS:
            self._send(metadata, connections)
        try:
            return await answer
        finally:
            batch.leave()

    def _send(self, metadata: Metadata, connections: Connections) -> None:
        """Send what was gathered, less the calls whose callers have gone."""
        batch = self._gathering.pop(metadata)
        if batch.timer:
            batch.timer.cancel()
        batch.calls = [call for call in batch.calls if not call[2].done()]
        if len(batch.calls) > 1:
            batch.sending = connections.loop.create_task(self._judge(batch, metadata, connections))
        else:
            _answer(batch, [Gathered()] * len(batch.calls))

    async def _judge(self, batch: Batch, metadata: Metadata, connections: Connections) -> None:
        turn = connections.next_turn()
        items = [PendingReserve(request) for request, _, _ in batch.calls]
        longest_s = max(timeout_s for _, timeout_s, _ in batch.calls)
        self._out += 1
        try:
            error = await judge_batch(items, next(connections.in_turn(turn)), longest_s, lambda _: metadata)
        except Exception:  # noqa: BLE001 - of an interceptor: each call is sent alone, and raises its own
            _answer(batch, [Gathered()] * len(items))
            return
        finally:
            self._out -= 1
        if isinstance(error, NotBuilt):
            self._alone_until_s = connections.loop.time() + NOT_BUILT_S
            _answer(batch, [Gathered()] * len(items))
        else:
            _answer(batch, [Gathered(_own(item.answer), turn + 1) for item in items])


class Coalescing:
    """The coalescers of a client, one for each event loop that uses it."""

    def __init__(self) -> None:
        self._by_loop: weakref.WeakKeyDictionary[Connections, Coalescer] = weakref.WeakKeyDictionary()

    def of(self, connections: Connections) -> Coalescer:
        """That of one loop."""
        if connections not in self._by_loop:
            self._by_loop[connections] = Coalescer()
        return self._by_loop[connections]


def _answer(batch: Batch, answers: list[Gathered]) -> None:
    for (_, _, waiting), answer in zip(batch.calls, answers, strict=True):
        if not waiting.done():
            waiting.set_result(answer)


def _own(answer: ReserveAnswer) -> ReserveAnswer:
    """A response by itself: a caller that keeps it would keep those of the whole batch."""
    if isinstance(answer, ReserveResponse):
        alone = ReserveResponse()
        alone.CopyFrom(answer)
        return alone
    return answer
