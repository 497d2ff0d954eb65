"""A caller of StreamReserve that sends until it is told to stop, and keeps every answer."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import grpc
from google.rpc import status_pb2
from holdfast.inventory.v1 import inventory_service_pb2 as calls
from holdfast.inventory.v1.reservation_pb2 import Line

from tests.inventory_server import CODES, Caller, reserve_request, status_error
from tests.waiting import eventually

# What the network's buffers hold is much more than a server reads: some megabytes, of which a channel can have less.
SMALL_WINDOW = ("grpc.http2.bdp_probe", 0)  # 64 KiB
LONG_NAME = "long-name" * 7
LONG_SALE: Any = {"sale_id": LONG_NAME, "items": [{"sku": LONG_NAME, "total": 10**6}]}


def long_request(name: str) -> calls.ReserveRequest:
    """Twenty units, in 1.4 KB."""
    lines = [Line(sku=LONG_NAME, quantity=1)] * 20
    return calls.ReserveRequest(sale_id=LONG_NAME, reservation_id=name, buyer_id="ada", lines=lines)


class ReserveStream:
    """One stream; a message has the number of its place, and its reservation the name `<stream>-<number>`."""

    def __init__(
        self, caller: Caller, name: str = "r", request: Callable[[str], calls.ReserveRequest] = reserve_request
    ) -> None:
        self._call: Any = caller.stock.StreamReserve()
        self._first_status: Any = None
        self._call.add_done_callback(self._keep_status)
        self._name = name
        self._request = request
        self.sent = 0
        self._sends_since = 0.0  # by `monotonic`; 0: nothing is being sent
        self.answers: dict[int, calls.ReserveResult] = {}

    def name_of(self, number: int) -> str:
        return f"{self._name}-{number}"

    async def send(self, request: calls.ReserveRequest | None = None) -> None:
        """Send the next message; waits while the server does not read."""
        request = request or self._request(self.name_of(self.sent))
        message = calls.StreamReserveRequest(correlation_id=self.sent, request=request)
        self.sent += 1
        self._sends_since = time.monotonic()
        await self._call.write(message)
        self._sends_since = 0.0

    @property
    def is_stuck(self) -> bool:
        """The server has not read for a second."""
        return bool(self._sends_since) and time.monotonic() > self._sends_since + 1.0

    async def read(self) -> None:
        """Read until the stream ends; also what has come before it ended."""
        async for answer in self._call:
            assert answer.correlation_id not in self.answers
            self.answers[answer.correlation_id] = answer.result

    async def half_close(self) -> None:
        await self._call.done_writing()

    def cancel(self) -> None:
        self._call.cancel()

    def _keep_status(self, call: Any) -> None:
        self._first_status = call._cython_call._status  # there is no other way to it at this moment

    async def ended(self) -> str:
        """OK, or the reason of the status that the server ended the stream with, or else the code.

        Python's client replaces that status by INTERNAL if it was writing a message in that moment, or has INTERNAL
        first: https://github.com/grpc/grpc/issues/36066.
        """

        async def status() -> Any:
            statuses = self._first_status, await self._call._cython_call.status()
            return next((each for each in statuses if each and each.code() != grpc.StatusCode.INTERNAL.value[0]), None)

        ended = await eventually(status)
        details = dict(ended.trailing_metadata() or ()).get("grpc-status-details-bin")
        return status_error(status_pb2.Status.FromString(details)).reason if details else CODES[ended.code()].name

    def granted(self) -> set[str]:
        """The names of those that have their unit."""
        return {
            self.name_of(number) for number, found in self.answers.items() if found.response.HasField("reservation")
        }

    def reasons(self) -> set[str]:
        """Why messages could not be judged."""
        return {status_error(found.status).reason for found in self.answers.values() if found.HasField("status")}


@asynccontextmanager
async def busy(stream: ReserveStream, *, reads: bool = True) -> AsyncIterator["asyncio.Task[None]"]:
    """Sends on the stream until the block or the stream ends, and reads its answers; the block gets the reader."""
    goes_on = True

    async def send() -> None:  # never cancelled, for that would cancel the stream
        with suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):  # the stream has ended
            while goes_on:
                await stream.send()

    async def read() -> None:
        with suppress(grpc.aio.AioRpcError):  # which `ended` shows
            await stream.read()

    sending, reading = asyncio.create_task(send()), asyncio.create_task(read() if reads else asyncio.sleep(0))
    try:
        yield reading
    finally:
        goes_on = False
        await sending
