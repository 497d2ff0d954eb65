"""A StreamReserve while its server, its Redis or its own life ends: what was not answered was not judged."""

from functools import partial

import pytest
from holdfast.inventory.v1 import inventory_service_pb2 as calls

from inventory_service.rpc.stream_life import StreamLife
from inventory_service.wiring import serve
from tests.integration.reserve_streams import LONG_SALE, SMALL_WINDOW, ReserveStream, busy, long_request
from tests.integration.server_health import serving
from tests.inventory_server import Caller, calling, open_shards, running_server
from tests.servers import StartValkey
from tests.waiting import eventually

MANY = 10**6


async def held(caller: Caller) -> int:
    found = await caller.stock.GetSale(calls.GetSaleRequest(sale_id="lamp-sale"))
    return found.sale.items[0].held


async def test_a_stream_goes_on_after_a_take_over_and_after_redis_was_away(
    start_valkey: StartValkey, database: str
) -> None:
    """What is not judged meanwhile is told by number; asked again, each id has one unit, and one alone."""
    valkey = start_valkey()
    await open_shards(valkey.address)
    async with running_server(valkey.address, database) as address, calling(address) as caller:
        await caller.create_sale(units=MANY)
        stream = ReserveStream(caller)
        async with busy(stream) as reading:
            await eventually(lambda: len(stream.granted()) > 100)
            await open_shards(valkey.address, epoch=2, also_serving=True)
            before = len(stream.granted())
            await eventually(lambda: len(stream.granted()) > before + 100)
            valkey.kill()
            await eventually(lambda: "STORE_UNREACHABLE" in stream.reasons())
            valkey.start()
            await open_shards(valkey.address, epoch=3)
            before = len(stream.granted())
            await eventually(lambda: len(stream.granted()) > before + 100)
        await stream.half_close()
        await reading
        assert await stream.ended() == "OK"
        assert stream.answers.keys() == set(range(stream.sent))
        assert stream.reasons() <= {"STORE_UNREACHABLE", "OUTCOME_UNKNOWN", "SHARD_NOT_SERVING"}

        again = ReserveStream(caller)
        async with busy(again) as reading:
            await eventually(lambda: again.sent >= stream.sent)
        await again.half_close()
        await reading

        assert again.granted() >= stream.granted()
        assert len(again.granted()) == again.sent == await held(caller)


async def test_a_server_that_stops_answers_what_it_has_read_of_a_stream(valkey: str, database: str) -> None:
    """Promise of SERVER_DRAINING: the caller may ask another server for the rest, without a doubt about any id."""
    async with serving(valkey, database) as server, calling(server.address) as caller:
        await caller.create_sale(units=MANY)
        stream = ReserveStream(caller)
        async with busy(stream):
            await eventually(lambda: len(stream.granted()) > 500)
            server.terminate()
            assert await stream.ended() == "SERVER_DRAINING"
        assert await server.ended() == 0
    async with running_server(valkey, database) as address, calling(address) as other:
        assert len(stream.granted()) == await held(other)
        assert stream.reasons() <= {"STORE_UNREACHABLE"}  # where Redis took more than a second
        assert stream.sent > len(stream.answers)


async def test_a_stream_ends_at_its_age(
    caller: Caller, valkey: str, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before gRPC cuts it without a reason; the next stream on the same connection begins anew."""
    await caller.create_sale(units=MANY)
    monkeypatch.setattr(serve, "StreamLife", partial(StreamLife, shortest_s=2.0, longest_s=2.0))
    async with running_server(valkey, database) as address, calling(address) as aged:
        streams = [ReserveStream(aged, "first")]
        for stream in streams:
            async with busy(stream):
                assert await stream.ended() == "SERVER_DRAINING"
            if len(streams) == 1:
                streams.append(ReserveStream(aged, "second"))

    for stream in streams:
        assert len(stream.granted()) == len(stream.answers) > 0
    assert await held(caller) == sum(len(stream.answers) for stream in streams)


async def test_a_drain_does_not_wait_for_a_caller_that_does_not_read(valkey: str, database: str) -> None:
    """A server that is to stop stops."""
    drain = {"HOLDFAST_DRAIN_S": "0.5"}
    async with serving(valkey, database, **drain) as server, calling(server.address, SMALL_WINDOW) as caller:
        await caller.create_sale(**LONG_SALE)
        stream = ReserveStream(caller, request=long_request)
        async with busy(stream, reads=False):
            await eventually(lambda: stream.is_stuck)
            server.terminate()

            assert await server.ended() == 0
