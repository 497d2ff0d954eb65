"""StreamReserve: requests as they come, and their answers, over one stream after the other."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

import grpc
from google.protobuf.message import Message
from grpc import aio

from holdfast.access import Metadata
from holdfast.bulk.first_status import FirstStatus
from holdfast.bulk.pending import PendingReserve, ReserveAnswer
from holdfast.bulk.window import Requests, ReserveWindow
from holdfast.connections import Connections, Pool, Stubs
from holdfast.errors import Closed, HoldfastError, NoAnswer, TokenUnavailable
from holdfast.inventory.v1.inventory_service_pb2 import ReserveRequest, StreamReserveRequest, StreamReserveResponse
from holdfast.retry import GRACE_S, Attempts, RetryBudget, RetryPolicy
from holdfast.statuses import error_from_rpc
from holdfast.streams import Stream

Call = aio.StreamStreamCall[StreamReserveRequest, StreamReserveResponse]
ErrorOf = Callable[[PendingReserve], HoldfastError]


@dataclass(frozen=True, slots=True)
class Sending:
    """What a stream of requests needs of its client."""

    pool: Pool
    retry: RetryPolicy
    budget: RetryBudget
    metadata_of: Callable[[Message], Metadata]


class ReserveStream(Stream[tuple[ReserveRequest, ReserveAnswer]]):
    """The answers, each with its request, while a task of its own takes and sends what there is room for."""

    changes_something = True

    def __init__(self, requests: Requests, sending: Sending) -> None:
        super().__init__(sending.pool, {})
        self._requests = requests
        self._sending = sending
        self._window: ReserveWindow | None = None

    async def _next(self, connections: Connections) -> tuple[ReserveRequest, ReserveAnswer]:
        if self._window is None:
            self._window = ReserveWindow(self._requests)
            self._running = asyncio.create_task(ReserveSender(self._window, self._sending, connections).run())
        item = await self._window.answered()
        return item.request, item.answer


class ReserveSender:
    """Keeps a stream as long as there is something to send, and sends again what a stream that ended left open."""

    def __init__(self, window: ReserveWindow, sending: Sending, connections: Connections) -> None:
        self._window = window
        self._retry = sending.retry
        self._budget = sending.budget
        self._metadata_of = sending.metadata_of
        self._connections = connections
        self._sent = 0
        self._unanswered: dict[int, PendingReserve] = {}  # on the present stream, by number
        self._attempts: Attempts | None = None  # at a stream, since the last answer
        self._silence = asyncio.timeout(None)  # of the present stream
        self._silence_s = max(self._retry.attempt_s, self._retry.ledger_attempt_s) + GRACE_S

    async def run(self) -> None:
        """Send all requests until all are answered; the caller is told of whatever ends it before."""
        filling = asyncio.create_task(self._window.fill())
        error: Exception | None = None
        try:
            async with asyncio.timeout(None) as limit:
                with self._connections.under_way(limit):
                    await self._send_all()
        except TimeoutError:  # by `close`
            error = Closed(message="The client was closed.")
        except Exception as unexpected:  # noqa: BLE001 - the caller learns from it why no answer comes
            error = unexpected
        finally:
            filling.cancel()
            self._window.finish(error)

    async def _send_all(self) -> None:
        servers = self._connections.in_turn()
        while await self._window.wait_for_unsent():
            error_of = await self._stream(next(servers))
            if self._unanswered or self._window.has_unsent:
                await self._pause_after(error_of)

    async def _stream(self, server: Stubs) -> ErrorOf:
        """Send and receive until the stream ends; returns the error of what it has left open."""
        try:
            call = server.buyers.StreamReserve(metadata=self._metadata_of(StreamReserveRequest()))
        except TokenUnavailable as error:
            return partial(_own_error, error)
        status = FirstStatus(call)
        writing = asyncio.create_task(self._write(call))
        try:
            async with asyncio.timeout(None) as self._silence:
                async for answer in call:
                    self._take(answer)
        except aio.AioRpcError as failure:
            return partial(_rpc_error, status.instead_of(failure))
        except TimeoutError:
            if not self._silence.expired():
                raise  # by `close`
        finally:
            writing.cancel()
            call.cancel()
        return partial(_own_error, NoAnswer(grpc.StatusCode.DEADLINE_EXCEEDED, "No answer came."))

    async def _write(self, call: Call) -> None:
        with suppress(aio.AioRpcError, asyncio.InvalidStateError):  # the stream has ended, and its reader knows why
            while await self._window.wait_for_unsent():
                item = self._window.take_unsent()
                item.was_sent = True
                self._sent += 1
                self._unanswered[self._sent] = item
                if len(self._unanswered) == 1:
                    self._limit_silence()
                await call.write(StreamReserveRequest(correlation_id=self._sent, request=item.request))
            self._limit_silence()
            await call.done_writing()

    def _take(self, answer: StreamReserveResponse) -> None:
        """Give an answer to the caller, or send its request again later."""
        item = self._unanswered.pop(answer.correlation_id, None)
        self._limit_silence()
        self._attempts = None
        if item is None:
            return
        item.take(answer.result)
        if item.may_be_repeated:
            self._repeat_later(item)
        else:
            self._window.put_answered(item)

    def _repeat_later(self, item: PendingReserve) -> None:
        assert item.failed is not None
        item.attempts = item.attempts or Attempts(self._retry, self._budget)
        try:
            delay_s = item.attempts.delay_after(item.failed)
        except HoldfastError:  # its patience or the budget is spent
            self._window.put_answered(item)
        else:
            self._connections.loop.call_later(delay_s, self._window.send_again, [item])

    async def _pause_after(self, error_of: ErrorOf) -> None:
        """Wait before the next stream, which begins with what the last one left open; or give all of it up."""
        items = list(self._unanswered.values())
        self._unanswered.clear()
        error = error_of(PendingReserve(ReserveRequest()))
        for item in items:
            item.fail(error_of(item))
            item.attempts = item.attempts or Attempts(self._retry, self._budget)
        self._attempts = self._attempts or Attempts(self._retry, None)
        try:
            delay_s = self._attempts.delay_after(error)
        except HoldfastError:  # the patience is spent, or no repeat mends it
            self._attempts = None
            self._give_up([*items, *self._window.take_all_unsent()], error_of)
        else:
            self._give_up([item for item in items if item.is_given_up], error_of)
            self._window.send_again([item for item in items if not item.is_given_up])
            await asyncio.sleep(delay_s)

    def _give_up(self, items: list[PendingReserve], error_of: ErrorOf) -> None:
        for item in items:
            error = error_of(item)
            error.outcome_unknown = error.outcome_unknown and item.was_sent
            item.fail(error)
            self._window.put_answered(item)

    def _limit_silence(self) -> None:
        """Wait for the next answer from now on."""
        if not self._silence.expired():
            is_awaited = self._unanswered or not self._window.is_open
            self._silence.reschedule(self._connections.loop.time() + self._silence_s if is_awaited else None)


def _rpc_error(failure: aio.AioRpcError, item: PendingReserve) -> HoldfastError:
    """The error of the stream, about one request."""
    return error_from_rpc(failure, item.request)


def _own_error(error: HoldfastError, item: PendingReserve) -> HoldfastError:
    """An error that this client makes, about one request."""
    return item.error(type(error), error.code, error.message)
