"""BatchReserve and StreamReserve on real stores: no id is ever held twice, and one shard's trouble stays its own."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from itertools import count
from typing import Any

import pytest
from holdfast.inventory.v1 import inventory_service_pb2 as calls
from holdfast.inventory.v1.reservation_pb2 import Line
from redis.asyncio import Redis

from inventory_service.adapters.redis.connectors import connections_to
from inventory_service.adapters.redis.shards import RedisShards
from inventory_service.domain.keys import SaleKey, shard_of
from inventory_service.service.lane import Limits
from tests.integration.reserve_streams import LONG_NAME, LONG_SALE, SMALL_WINDOW, ReserveStream, busy, long_request
from tests.inventory_server import SHARDS, Caller, calling, error_of, reserve_request, running_server, status_error
from tests.waiting import eventually

MANY = 10**6
OTHER_SALE = next(f"sale-{n}" for n in range(99) if shard_of(SaleKey("default", f"sale-{n}"), SHARDS) == 0)
LAMP_SALE = next(f"lamp-{n}" for n in range(99) if shard_of(SaleKey("default", f"lamp-{n}"), SHARDS) == 1)


@pytest.fixture
async def other_caller(caller: Caller, valkey: str, database: str) -> AsyncIterator[Caller]:
    """Calls a second server on the same stores."""
    async with running_server(valkey, database) as address, calling(address) as other:
        yield other


async def batch(caller: Caller, *requests: calls.ReserveRequest) -> Sequence[calls.ReserveResult]:
    return (await caller.stock.BatchReserve(calls.BatchReserveRequest(requests=requests))).results


async def held_in(caller: Caller, sale_id: str) -> int:
    found = await caller.stock.GetSale(calls.GetSaleRequest(sale_id=sale_id))
    return found.sale.items[0].held


async def test_a_batch_over_several_shards_has_every_result_although_one_is_frozen(caller: Caller, valkey: str) -> None:
    """Each is what Reserve says of the same request; nothing of it is lost on the shard that serves."""
    for sale_id in (OTHER_SALE, LAMP_SALE):
        await caller.create_sale(sale_id, units=2)
    connections = connections_to(valkey)
    assert await RedisShards(connections).freeze(0, 1, "a test")
    await connections.close()
    bad = calls.ReserveRequest(sale_id=LAMP_SALE, reservation_id="/", lines=[Line(sku="lamp", quantity=0)])
    no_item = calls.ReserveRequest(
        sale_id=LAMP_SALE, reservation_id="r", buyer_id="ada", lines=[Line(sku="x", quantity=1)]
    )
    not_judged = [reserve_request("r-0", sale_id=OTHER_SALE), bad, reserve_request("r-1", sale_id="no-sale-1"), no_item]

    results = await batch(
        caller,
        *(reserve_request(f"r-{n}", sale_id=LAMP_SALE) for n in range(3)),
        *not_judged,
        reserve_request("r-1", quantity=2, sale_id=LAMP_SALE),
    )

    answers = [result.response.WhichOneof("outcome") for result in results[:3]]
    assert answers == ["reservation", "reservation", "rejection"]
    errors = [status_error(result.status) for result in results[3:7]]
    assert errors == [await error_of(caller.stock.Reserve(request)) for request in not_judged]
    assert (errors[0].reason, errors[0].metadata["frozen_reason"]) == ("SHARD_NOT_SERVING", "a test")
    assert status_error(results[7].status).reason == "RESERVATION_ID_REUSED"
    assert await held_in(caller, LAMP_SALE) == 2


async def test_equal_ids_never_hold_twice_in_batches_on_streams_and_on_servers_at_once(
    caller: Caller, other_caller: Caller
) -> None:
    """Each of the fifty is held once, and every request for it is answered with that one."""
    await caller.create_sale(units=1000)
    names = [f"r-{number}" for number in range(50)]
    streams = [ReserveStream(each) for each in (caller, caller, other_caller, other_caller)]

    async def stream(stream: ReserveStream) -> list[calls.ReserveResult]:
        reading = asyncio.create_task(stream.read())
        for name in names:
            await stream.send(reserve_request(name))
        await stream.half_close()
        await reading
        assert await stream.ended() == "OK"
        return [stream.answers[number] for number in range(len(names))]

    twice = [reserve_request(name) for name in names] * 2
    told = await asyncio.gather(*(stream(each) for each in streams), batch(caller, *twice), batch(other_caller, *twice))

    for results in told:
        assert [result.response.reservation.reservation_id for result in results] == names * (
            len(results) // len(names)
        )
    assert len({result.response.reservation.SerializeToString() for results in told for result in results}) == 50
    assert sum(not result.response.replayed for results in told[:4] for result in results) <= 50
    assert all(results[n] == results[n + 50] for results in told[4:] for n in range(50))
    assert await held_in(caller, "lamp-sale") == 50


async def test_a_caller_that_sends_and_never_reads_is_not_read_any_more(
    caller: Caller, valkey: str, database: str
) -> None:
    """So it costs little; once it reads, it gets every answer, and meanwhile others are served."""
    await caller.create_sale(**LONG_SALE)
    await caller.create_sale(units=MANY)
    async with running_server(valkey, database) as address, calling(address, SMALL_WINDOW) as idle:
        stream = ReserveStream(idle, request=long_request)
        names = count()

        async def is_not_read_while_others_are_served() -> int:
            """What is held: no more than before five hundred others were served, for a second at least."""
            sent, held = stream.sent, await held_in(caller, LONG_NAME)
            assert stream.is_stuck
            others = await batch(idle, *(reserve_request(f"other-{next(names)}") for _ in range(500)))
            assert all(result.response.HasField("reservation") for result in others)
            assert (stream.sent, await held_in(caller, LONG_NAME)) == (sent, held)
            return held

        async with busy(stream, reads=False):
            held = await eventually(is_not_read_while_others_are_served)
            assert 256 <= held // 20 <= 256 + 64 * 1024 // 200  # what was written may be in the channel's window
            reading = asyncio.create_task(stream.read())
        await stream.half_close()
        await reading

        assert (await stream.ended(), len(stream.answers)) == ("OK", stream.sent)
        assert await held_in(caller, LONG_NAME) == stream.sent * 20


@pytest.mark.parametrize("kind", ["batch", "stream"])
async def test_a_caller_that_cancels_leaves_undone_what_was_not_sent_to_redis(
    caller: Caller, valkey: str, kind: str
) -> None:
    """A batch goes as far as one script call takes it, and a stream's first message by itself; the others wait."""
    await caller.create_sale(units=1000)
    requests, stream = [reserve_request(f"r-{n}") for n in range(300)], ReserveStream(caller)
    async with Redis.from_url(valkey) as redis:
        await redis.client_pause(60_000, all=False)  # writes alone
        try:
            if kind == "batch":
                call: Any = caller.stock.BatchReserve(calls.BatchReserveRequest(requests=requests))
                await is_waited_for(redis)
                call.cancel()
            else:
                for request in requests[:100]:
                    await stream.send(request)
                await is_waited_for(redis)
                stream.cancel()
            # The server reads it from the same connection once it has read that the call before was cancelled.
            await error_of(caller.stock.Reserve(calls.ReserveRequest()))
            later = caller.reserve("later")
        finally:
            await redis.client_unpause()

    await later
    assert await held_in(caller, "lamp-sale") == (Limits().requests if kind == "batch" else 1) + 1


async def is_waited_for(redis: Any) -> None:
    """A script call has come to Redis, which holds it back."""

    async def is_blocked() -> bool:
        return bool((await redis.info("clients"))["blocked_clients"])

    await eventually(is_blocked)
