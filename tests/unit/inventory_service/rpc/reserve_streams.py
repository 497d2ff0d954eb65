"""A StreamReserve as its caller sees it, without a server."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
from holdfast.inventory.v1 import error_reason_pb2 as reasons
from holdfast.inventory.v1 import inventory_service_pb2 as calls

from inventory_service.domain.reserve import ReserveResult
from inventory_service.domain.results import Failure
from tests.unit.inventory_service.rpc.reserve_requests import Served, request
from tests.unit.inventory_service.rpc.wrapped_calls import Aborted, FakeContext
from tests.waiting import LONG_S

OVERLOADED = Failure(reasons.ERROR_REASON_OVERLOADED)
PEER_IS_GONE = grpc.aio.InternalError("as gRPC raises when a write fails")


class Stream(FakeContext):
    """A stream as its caller sees it: what it sends, what it has read, and how it ended."""

    def __init__(self, served: Served) -> None:
        super().__init__(None)
        self._served = served
        self._sent: asyncio.Queue[Any] = asyncio.Queue()
        self.taken = 0  # messages that the server has read
        self.answers: list[calls.StreamReserveResponse] = []
        self.reads = asyncio.Event()  # unless it is set, no answer is taken
        self.reads.set()
        self.is_gone = False
        self.call = asyncio.ensure_future(self._call())

    async def _call(self) -> str:
        """The reason of its status, or OK."""
        try:
            async with asyncio.timeout(LONG_S):
                await self._served.call("StreamReserve", self._messages(), self)
        except Aborted:
            return self.reason
        return "OK"

    async def _messages(self) -> AsyncIterator[Any]:
        while (message := await self._sent.get()) is not None:
            self.taken += 1
            yield message

    async def write(self, answer: bytes) -> None:
        await self.reads.wait()
        if self.is_gone:
            raise PEER_IS_GONE
        self.answers.append(calls.StreamReserveResponse.FromString(answer))

    def send(self, *names: str) -> None:
        for number, name in enumerate(names):
            self.send_raw(calls.StreamReserveRequest(correlation_id=number, request=request(name)))

    def send_raw(self, message: Any) -> None:
        self._sent.put_nowait(message)

    def half_close(self) -> None:
        self._sent.put_nowait(None)

    @property
    def numbers(self) -> list[int]:
        return [answer.correlation_id for answer in self.answers]


def nothing_is_left(served: Served) -> bool:
    """No slot of the stream, and no task but the test's own."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    return (served.middleware.in_flight, others) == (0, set())


def held_back() -> "asyncio.Future[ReserveResult]":
    return asyncio.get_running_loop().create_future()
