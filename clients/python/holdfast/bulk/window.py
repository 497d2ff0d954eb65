"""The requests of a StreamReserve that its caller has no answer of, of which there are a bounded number."""

import asyncio
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Iterable

from holdfast.bulk.pending import PendingReserve
from holdfast.bulk.threaded_requests import ThreadedRequests
from holdfast.inventory.v1.inventory_service_pb2 import ReserveRequest

SIZE = 256  # requests that were taken and whose answers the caller has not taken

Requests = AsyncIterable[ReserveRequest] | Iterable[ReserveRequest]


class ReserveWindow:
    """Takes requests while there is room, and keeps those to be sent and those that are answered."""

    def __init__(self, requests: Requests) -> None:
        self._requests = requests
        self._room = asyncio.Semaphore(SIZE)
        self._unsent: deque[PendingReserve] = deque()
        self._answered: deque[PendingReserve] = deque()
        self._open = 0  # taken and not answered
        self._has_all = False  # the caller's requests have ended
        self._error: BaseException | None = None  # with which they ended, or the sending
        self._is_over = False
        self._to_send = asyncio.Event()
        self._to_return = asyncio.Event()

    async def fill(self) -> None:
        """Take the caller's requests, all of them in time."""
        try:
            requests = _iterator(self._requests)
            while await self._room.acquire():
                request = await anext(requests)
                if not isinstance(request, ReserveRequest):
                    raise TypeError(f"stream_reserve takes requests of reserve_request, and not {type(request)}")
                self._unsent.append(PendingReserve(request))
                self._open += 1
                self._to_send.set()
        except StopAsyncIteration:
            pass
        except Exception as error:  # noqa: BLE001 - of the caller's iterable: the caller gets it after the answers
            self._error = error
        finally:
            if isinstance(self._requests, ThreadedRequests):
                self._requests.close()
        self._has_all = True
        self._to_send.set()

    @property
    def is_open(self) -> bool:
        """Whether there is, or may come, something to send."""
        return not self._has_all or self._open > 0

    @property
    def has_unsent(self) -> bool:
        """Whether something is to be sent now."""
        return bool(self._unsent)

    async def wait_for_unsent(self) -> bool:
        """Wait until there is something to send; False if there will be nothing any more, for all is answered."""
        while not self._unsent:
            if not self.is_open:
                return False
            self._to_send.clear()
            await self._to_send.wait()
        return True

    def take_unsent(self) -> PendingReserve:
        """The request that is to be sent next; there must be one."""
        return self._unsent.popleft()

    def take_all_unsent(self) -> list[PendingReserve]:
        """All that are to be sent."""
        items = list(self._unsent)
        self._unsent.clear()
        return items

    def send_again(self, items: Iterable[PendingReserve]) -> None:
        """Send these before those that were never sent."""
        self._unsent.extendleft(reversed([*items]))
        self._to_send.set()

    def put_answered(self, item: PendingReserve) -> None:
        """Give an answer that is final to the caller."""
        self._answered.append(item)
        self._open -= 1
        self._to_return.set()
        if not self._open:
            self._to_send.set()

    def finish(self, error: BaseException | None = None) -> None:
        """There will be no more answers."""
        self._error = error or self._error
        self._is_over = True
        self._to_return.set()

    async def answered(self) -> PendingReserve:
        """Wait for the next answer; StopAsyncIteration if there is none, or the exception of the caller's iterable."""
        while not self._answered:
            if self._is_over:
                raise self._error or StopAsyncIteration
            self._to_return.clear()
            await self._to_return.wait()
        self._room.release()
        return self._answered.popleft()


def _iterator(requests: Requests) -> AsyncIterator[ReserveRequest]:
    return aiter(requests) if isinstance(requests, AsyncIterable) else _of_iterable(requests)


async def _of_iterable(requests: Iterable[ReserveRequest]) -> AsyncIterator[ReserveRequest]:
    for request in requests:
        yield request
