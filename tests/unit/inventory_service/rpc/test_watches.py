"""Calls that watch, behind the middleware: how each stream ends, and what its messages say."""

import asyncio
from typing import Any

import pytest
from google.rpc import error_details_pb2
from holdfast.inventory.v1 import inventory_service_pb2 as calls
from structlog.testing import capture_logs

from inventory_service.rpc.calls.watches import WatchCalls
from inventory_service.rpc.methods import METHODS
from inventory_service.rpc.stream_life import StreamLife
from tests.unit.inventory_service.rpc.reserve_streams import PEER_IS_GONE
from tests.unit.inventory_service.rpc.wrapped_calls import Aborted, Calls, FakeContext
from tests.unit.inventory_service.service.watches.polled_stock import Polled
from tests.waiting import LONG_S

REQUEST = calls.WatchSaleRequest(sale_id="lamp-sale")


class WatchContext(FakeContext):
    """A context whose caller may stop to read."""

    def __init__(self) -> None:
        super().__init__(None)
        self.written: list[bytes] = []
        self.may_write = asyncio.Event()

        self.is_gone = False

    async def write(self, message: bytes) -> None:
        self.written.append(message)
        await self.may_write.wait()
        if self.is_gone:
            raise PEER_IS_GONE


class WatchServer(Calls):
    """The calls that watch a stock in memory."""

    def __init__(self, life_s: float = 60.0) -> None:
        super().__init__()
        self.polled = Polled()
        life = StreamLife(self.middleware.draining, life_s, life_s)
        self.calls = WatchCalls(self.polled.watches, life)

    def watch(self, context: FakeContext) -> "asyncio.Task[Any]":
        observe = self.meter.observer("a.Service", "WatchSale")
        wrapped: Any = self.middleware._wrapped(self.calls.WatchSale, METHODS["WatchSale"], observe)
        return asyncio.create_task(wrapped(REQUEST, context))


@pytest.mark.parametrize("life_s", [0.0, 60.0], ids=["old", "draining"])
async def test_a_stream_ends_in_the_middle_of_a_message_that_is_not_read(life_s: float) -> None:
    """Its caller gets the reason if it ever reads on; the server waits for nothing."""
    server, context = WatchServer(life_s or 0.5), WatchContext()
    await server.polled.make_sale()
    watching = server.watch(context)
    await server.polled.polls(2)
    assert len(context.written) == 1
    if life_s:
        assert await server.middleware.drain(1.0)

    with pytest.raises(Aborted):
        await asyncio.wait_for(watching, LONG_S)

    assert (context.reason, server.meter.codes) == ("SERVER_DRAINING", ["UNAVAILABLE"])
    assert (server.polled.watches.open, server.middleware.streams.in_use) == (0, 0)


async def test_a_caller_that_leaves_is_counted_and_forgotten() -> None:
    """In whatever the stream is doing, waiting or writing."""
    server, waiting, writing = WatchServer(), WatchContext(), WatchContext()
    waiting.may_write.set()
    await server.polled.make_sale()
    streams = [server.watch(waiting), server.watch(writing)]
    await server.polled.polls(2)
    for stream in streams:
        stream.cancel()
    await asyncio.gather(*streams, return_exceptions=True)

    assert [len(context.written) for context in (waiting, writing)] == [1, 1]
    assert server.meter.codes == ["CANCELLED", "CANCELLED"]
    assert server.polled.watches.open == 0


async def test_a_caller_that_leaves_while_a_message_is_written_is_no_bug() -> None:
    """gRPC may fail the write before it cancels the call: the more often, the longer the message is."""
    server, context = WatchServer(), WatchContext()
    await server.polled.make_sale()
    stream = server.watch(context)
    await server.polled.polls(2)
    with capture_logs() as logged:
        context.is_gone = True
        context.may_write.set()
        await asyncio.wait([stream])

    assert (stream.cancelled(), logged, server.meter.codes) == (True, [], ["CANCELLED"])
    assert server.polled.watches.open == 0


async def test_watches_that_a_lost_store_ends_come_back_at_different_moments() -> None:
    """Within two seconds."""
    server = WatchServer()
    await server.polled.make_sale()
    contexts = [WatchContext() for _ in range(20)]
    streams = [server.watch(context) for context in contexts]
    for context in contexts:
        context.may_write.set()
    await server.polled.polls(2)
    server.polled.stock.is_away = True
    await server.polled.polls(55)
    await asyncio.gather(*streams, return_exceptions=True)

    retries_ms = [_retry_ms(context) for context in contexts]
    assert {context.reason for context in contexts} == {"STORE_UNREACHABLE"}
    assert all(0 <= retry_ms <= 2000 for retry_ms in retries_ms)
    assert len(set(retries_ms)) > 5


def _retry_ms(context: FakeContext) -> int:
    retry = error_details_pb2.RetryInfo()
    assert any(detail.Unpack(retry) for detail in context.status.details)
    return int(retry.retry_delay.ToMilliseconds())
