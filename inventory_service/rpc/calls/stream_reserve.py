"""StreamReserve: requests judged as they arrive, and answered in the order of their judgement."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeAlias

from holdfast.inventory.v1 import error_reason_pb2 as reasons
from holdfast.inventory.v1 import inventory_service_pb2 as calls

from inventory_service.domain.results import Failure
from inventory_service.rpc.auth import tenant_of
from inventory_service.rpc.calls.call import Context
from inventory_service.rpc.calls.reserve_results import Command, Outcome, ReserveJudge, checked, result_bytes
from inventory_service.rpc.middleware import UNPARSABLE
from inventory_service.rpc.rate import CallerRate
from inventory_service.rpc.response_bytes import bytes_field, varint
from inventory_service.rpc.slots import StreamSlots
from inventory_service.rpc.status import CallFailed
from inventory_service.rpc.stream_life import StreamLife

WINDOW = 256  # messages of a stream that are read and not yet written
AGAIN_S = 0.05  # until a message is asked again that a queue was too full for
_CORRELATION_TAG = b"\x08"  # StreamReserveResponse.correlation_id
_RESULT_TAG = b"\x12"  # StreamReserveResponse.result
_64_BITS = 2**64 - 1

Judging: TypeAlias = "asyncio.Task[bytes | None]"


class StreamReserveCalls:
    """StreamReserve; the stock answers repeats."""

    def __init__(
        self, judge: ReserveJudge, slots: StreamSlots, life: StreamLife, rate: CallerRate | None = None
    ) -> None:
        self._judge = judge
        self._stream_slots = slots
        self._life = life
        self._stream_rate = rate

    async def StreamReserve(self, requests: AsyncIterator[Any], context: Context) -> None:
        """Answer each message until the caller has half-closed or the stream must end."""
        rate = self._stream_rate
        wait_for_token = None if rate is None else lambda: rate.wait(context)
        stream = _ReserveStream(self._judge, self._stream_slots, tenant_of(context), context.write, wait_for_token)
        await stream.serve(requests, self._life)


class _ReserveStream:
    """One stream: a reader, a task for each message that is being judged, and a writer."""

    def __init__(
        self,
        judge: ReserveJudge,
        slots: StreamSlots,
        tenant: str,
        write: Callable[[bytes], Awaitable[None]],
        wait_for_token: Callable[[], Awaitable[None]] | None,
    ) -> None:
        self._judge = judge
        self._slots = slots
        self._tenant = tenant
        self._write = write
        self._wait_for_token = wait_for_token
        self._window = asyncio.Semaphore(WINDOW)
        self._judging: set[Judging] = set()
        self._judged: deque[Judging] = deque()  # and not yet written
        self._wake_writer = asyncio.Event()
        self._is_over = False  # the life of the stream; what was not judged by then need not be
        self._has_read_all = False
        self._left_unanswered = False

    async def serve(self, requests: AsyncIterator[Any], life: StreamLife) -> None:
        """Until all is answered or the life is over; nothing of the stream is left behind, however it ends."""
        reading = asyncio.create_task(self._read(requests))
        writing = asyncio.create_task(self._write_answers())
        ending = asyncio.create_task(self._end(life, reading))
        try:
            await asyncio.wait((writing, ending), return_when=asyncio.FIRST_COMPLETED)
            if not writing.done():
                raise CallFailed(Failure(reasons.ERROR_REASON_OUTCOME_UNKNOWN))
            writing.result()
            if not reading.cancelled() and not reading.result():
                raise CallFailed(Failure(reasons.ERROR_REASON_UNREADABLE))
            if self._left_unanswered:
                raise CallFailed(Failure(reasons.ERROR_REASON_SERVER_DRAINING))
        finally:
            await _cancelled(reading, writing, ending, *self._judging)

    async def _end(self, life: StreamLife, reading: "asyncio.Task[bool]") -> None:
        """Stop reading once the life of the stream is over; return when there is no time left for answers either."""
        await life.over()
        self._is_over = True
        if not reading.done():
            self._left_unanswered = True
            reading.cancel()
        await life.out_of_time()

    async def _read(self, requests: AsyncIterator[Any]) -> bool:
        """Until the caller half-closes; False if its last bytes were no message."""
        try:
            await self._window.acquire()
            async for message in requests:
                if message is UNPARSABLE:
                    return False
                if self._wait_for_token is not None:
                    await self._wait_for_token()
                await self._slots.take()
                self._begin(message)
                await self._window.acquire()
            return True
        finally:
            self._has_read_all = True
            self._wake_writer.set()

    def _begin(self, message: calls.StreamReserveRequest) -> None:
        """Judge a message that has a slot; one that is cancelled before its task began gives the slot back too."""
        judging = asyncio.create_task(self._answer(message))
        self._judging.add(judging)
        judging.add_done_callback(self._end_judging)

    def _end_judging(self, judging: Judging) -> None:
        self._judging.discard(judging)
        self._slots.give_back()
        if not judging.cancelled():
            self._judged.append(judging)
            self._wake_writer.set()

    async def _answer(self, message: calls.StreamReserveRequest) -> bytes | None:
        """The serialized answer; None if the message was not judged while the stream lived.

        A queue that is full is waited for, as a slot is: no message of a stream fails with OVERLOADED.
        """
        command = checked(message.request, self._tenant, within=message)
        outcome = command if isinstance(command, CallFailed) else await self._outcome_of(command)
        if outcome is None:
            return None
        number = message.correlation_id
        head = _CORRELATION_TAG + varint(number & _64_BITS) if number else b""
        return head + bytes_field(_RESULT_TAG, result_bytes(message.request, outcome))

    async def _outcome_of(self, command: Command) -> Outcome | None:
        while True:
            outcome = await self._judge.judge(command)
            if not (isinstance(outcome, CallFailed) and outcome.failure.reason == reasons.ERROR_REASON_OVERLOADED):
                return outcome
            if self._is_over:
                return None
            await asyncio.sleep(AGAIN_S)

    async def _write_answers(self) -> None:
        """Until all that was read is answered."""
        while True:
            while self._judged:
                answer = self._judged.popleft().result()
                if answer is None:
                    self._left_unanswered = True
                else:
                    await self._write(answer)
                self._window.release()
            if self._has_read_all and not self._judging:
                return
            self._wake_writer.clear()
            await self._wake_writer.wait()


async def _cancelled(*tasks: "asyncio.Task[Any]") -> None:
    """Cancel tasks and wait for their end."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
