"""Reservations on one StreamReserve, sent by grpc.aio: h2load cannot send a second message on a stream."""

import asyncio
import itertools
import math
import time
from collections.abc import AsyncIterator
from typing import Any

import grpc
from holdfast.inventory.v1.inventory_service_pb2 import ReserveRequest, StreamReserveRequest
from holdfast.inventory.v1.reservation_pb2 import Line
from holdfast_bench.load import SKU, LoadFailed

METHOD = "/holdfast.inventory.v1.InventoryService/StreamReserve"
WINDOW = 256  # messages that are not answered
DRAIN_S = 30.0  # for what is not answered when the time is over
PLACEHOLDER = "~" * 12  # no id of h2load's is of this length


class StreamedReserves:
    """Reservations of one sale of one server on a stream, each under new ids, of one unit."""

    def __init__(self, address: str, sale_id: str, smallest_answer: int) -> None:
        self._address = address
        self._smallest_answer = smallest_answer
        self._ids = itertools.count()
        self._request = ReserveRequest(
            sale_id=sale_id, reservation_id=PLACEHOLDER, buyer_id=PLACEHOLDER, lines=[Line(sku=SKU, quantity=1)]
        )
        self.answered = 0  # by all loads together
        self.unheard = 0.0  # at most so many more were made

    def send(self, seconds: float) -> int:
        """Send for so long: how many were answered; LoadFailed if one was not granted."""
        try:
            answered = asyncio.run(self._stream(seconds))
        except (grpc.RpcError, LoadFailed) as error:
            self.unheard = math.inf
            raise LoadFailed(str(error)) from None
        self.answered += answered
        return answered

    async def _stream(self, seconds: float) -> int:
        ends, window, sent = time.monotonic() + seconds, asyncio.Semaphore(WINDOW), 0

        async def messages() -> AsyncIterator[bytes]:
            nonlocal sent
            while time.monotonic() < ends:
                await window.acquire()
                sent += 1
                yield self._message(sent)

        answered = 0
        options = [("grpc.use_local_subchannel_pool", 1)]
        async with grpc.aio.insecure_channel(self._address, options=options) as channel:
            call: Any = channel.stream_stream(METHOD)
            async for answer in call(messages(), timeout=seconds + DRAIN_S):
                answered += len(answer) > self._smallest_answer
                window.release()
        if answered != sent:
            raise LoadFailed(f"of {sent} requests {answered} were granted")
        return answered

    def _message(self, number: int) -> bytes:
        """As bytes: to build each message anew would cost more than to serve it."""
        message = StreamReserveRequest(correlation_id=number, request=self._request).SerializeToString()
        return message.replace(PLACEHOLDER.encode(), b"%012d" % next(self._ids))
