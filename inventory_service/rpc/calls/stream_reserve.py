"""StreamReserve: requests judged as they arrive, and answered in the order of their judgement."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, NamedTuple

from holdfast.inventory.v1 import error_reason_pb2 as reasons

from inventory_service.domain.many_reserves import Claim
from inventory_service.domain.results import Failure
from inventory_service.rpc.auth import tenant_of
from inventory_service.rpc.bulk_requests import ParsedMessage, PlainMessage
from inventory_service.rpc.calls.call import Context
from inventory_service.rpc.calls.reserve_results import ReserveJudge, Result, ResultBytes, checked
from inventory_service.rpc.middleware import UNPARSABLE
from inventory_service.rpc.plain_requests import ParsedReserve, plain_reserve
from inventory_service.rpc.rate import CallerRate
from inventory_service.rpc.response_bytes import varint
from inventory_service.rpc.slots import StreamSlots
from inventory_service.rpc.status import CallFailed
from inventory_service.rpc.stream_life import StreamLife

WINDOW = 256  # messages of a stream that are read and not yet written
AGAIN_S = 0.05  # until a message is asked again that a queue was too full for
_NUMBER_TAG = b"\x08"  # StreamReserveResponse.correlation_id
_RESULTS = ResultBytes(b"\x12")  # StreamReserveResponse.result
_64_BITS = 2**64 - 1


class _Item(NamedTuple):
    """A message that was read and is not yet answered."""

    number: bytes  # its correlation_id, as the field of that in the answer
    request: ParsedReserve
    command: Claim | CallFailed  # the latter was not asked for


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
    """One stream: a reader and a writer; between them a message is an entry in the queue of its shard."""

    def __init__(
        self,
        judge: ReserveJudge,
        slots: StreamSlots,
        tenant: str,
        write: Callable[[bytes], Awaitable[None]],
        wait_for_token: Callable[[], Awaitable[None]] | None,
    ) -> None:
        self._asking = judge.begin(self._take)
        self._slots = slots
        self._tenant = tenant
        self._write = write
        self._wait_for_token = wait_for_token
        self._unwritten = 0  # messages that were read
        self._wake_reader = asyncio.Event()  # there is room for another one
        self._asked = 0  # of those, not yet judged; each has a slot
        self._judged: deque[tuple[_Item, Result | None]] = deque()  # None: not while the stream lived
        self._wake_writer = asyncio.Event()
        self._is_over = False  # the life of the stream; what was not judged by then need not be
        self._has_ended = False
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
            await self._close(reading, writing, ending)

    async def _end(self, life: StreamLife, reading: "asyncio.Task[bool]") -> None:
        """Stop reading once the life of the stream is over; return when there is no time left for answers either."""
        await life.over()
        self._is_over = True
        if not reading.done():
            self._left_unanswered = True
            reading.cancel()
        await life.out_of_time()

    async def _close(self, *tasks: "asyncio.Task[Any]") -> None:
        """What is not judged gives its slot back; whatever went to Redis is judged without the stream.

        The slots come before the first await, which a second cancellation may end.
        """
        self._has_ended = True
        for _ in range(self._asked):
            self._slots.give_back()
        for task in tasks:
            task.cancel()
        await self._asking.close()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _read(self, requests: AsyncIterator[Any]) -> bool:
        """Until the caller half-closes; False if its last bytes were no message."""
        try:
            async for message in requests:
                if message is UNPARSABLE:
                    return False
                if self._wait_for_token is not None:
                    await self._wait_for_token()
                if not self._slots.take_at_once():
                    await self._slots.take()
                self._begin(message)
                while self._unwritten >= WINDOW:
                    self._wake_reader.clear()
                    await self._wake_reader.wait()
            return True
        finally:
            self._has_read_all = True
            self._wake_writer.set()

    def _begin(self, message: ParsedMessage) -> None:
        """Ask for a message that has a slot."""
        item = _item(message, self._tenant)
        self._unwritten += 1
        self._asked += 1
        self._ask(item)

    def _ask(self, item: _Item) -> None:
        if isinstance(item.command, CallFailed):
            self._take(item, item.command)
        elif not self._has_ended:
            self._asking.ask((item,), (item.command,))

    def _take(self, item: _Item, result: Result) -> None:
        """A queue that is full is waited for, as a slot is: no message of a stream fails with OVERLOADED."""
        if self._has_ended:  # the slot is given back already
            return
        if isinstance(result, Failure) and result.reason == reasons.ERROR_REASON_OVERLOADED:
            if not self._is_over:
                asyncio.get_running_loop().call_later(AGAIN_S, self._ask, item)
                return
            self._judged.append((item, None))
        else:
            self._judged.append((item, result))
        self._asked -= 1
        self._slots.give_back()
        self._wake_writer.set()

    async def _write_answers(self) -> None:
        """Until all that was read is answered."""
        while True:
            while self._judged:
                item, result = self._judged.popleft()
                if result is None:
                    self._left_unanswered = True
                else:
                    await self._write(_answer(item, result))
                self._unwritten -= 1
                if self._unwritten == WINDOW - 1:
                    self._wake_reader.set()
            if self._has_read_all and not self._asked:
                return
            self._wake_writer.clear()
            await self._wake_writer.wait()


def _item(message: ParsedMessage, tenant: str) -> _Item:
    if isinstance(message, PlainMessage):
        return _Item(message.number, message.request, plain_reserve(message.request, tenant))
    number = message.correlation_id
    head = _NUMBER_TAG + varint(number & _64_BITS) if number else b""
    return _Item(head, message.request, checked(message.request, tenant, within=message))


def _answer(item: _Item, result: Result) -> bytes:
    """The serialized StreamReserveResponse."""
    number, request, command = item
    return b"%b%b%b" % (number, *_RESULTS.of(request, command, result))
