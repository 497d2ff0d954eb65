"""Redis' reply to a Reserve is lost on the way: the caller is told that nobody knows, asks again, and has one hold."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Literal

import grpc
import pytest

from tests.faults.proof import find_faults, item_in_redis
from tests.faults.world import SHARDS, World
from tests.integration.served import Caller, calling, reserve_request, served_apart, told
from tests.wire import Wire

pytestmark = pytest.mark.timeout(150)  # the waits' own deadlines come first, and say more
UNITS, WANTED = 10, 3


@pytest.mark.parametrize("end", ["breaks", "is silent"])
async def test_a_lost_reply_is_unknown_and_the_repeat_holds_once(
    shared: World, end: Literal["breaks", "is silent"]
) -> None:
    """Promises 1 and 2: OUTCOME_UNKNOWN, for it may have been done; the same id then hears what was done."""
    sale_id = await shared.open_sale(UNITS, hold_ttl=timedelta(minutes=1))
    wire = Wire(b"lost-one", end)
    request = reserve_request("lost-one", WANTED, sale_id)

    async with wired_server(shared, wire) as caller:
        await caller.reserve("earlier", 1, sale_id)  # the server has learned the epoch, and Redis the script
        with pytest.raises(grpc.aio.AioRpcError) as failure:
            await caller.stock.Reserve(request)
        again = await caller.stock.Reserve(request)
        async with shared.redis() as redis:
            item = await item_in_redis(redis, sale_id)

    heard = told(failure.value)
    assert (heard.code, heard.reason, heard.retries) == (grpc.StatusCode.UNAVAILABLE, "OUTCOME_UNKNOWN", True)
    assert len(wire.lost) == 1
    assert again.replayed
    assert item == (UNITS - WANTED - 1, WANTED + 1, 0)
    promises = await shared.settle(sale_id, {"earlier": 1, "lost-one": WANTED})
    assert await find_faults(shared, sale_id, promises) == []


@asynccontextmanager
async def wired_server(world: World, wire: Wire) -> AsyncIterator[Caller]:
    """A server of its own beside the stack's, whose way to Redis is the wire."""
    where = world.stack.addresses
    async with (
        wire.to(where.redis_url) as redis_url,
        served_apart(redis_url, where.postgres_dsn, HOLDFAST_SHARDS=str(SHARDS)) as server,
        calling(server.address) as caller,
    ):
        yield caller
