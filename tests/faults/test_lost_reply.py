"""Redis' reply to a Reserve is lost on the way: the outcome is unknown to the caller, whose repeat finds one hold."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Literal

import grpc
import pytest
from holdfast.inventory.v1.inventory_service_pb2 import ReserveRequest, ReserveResponse

from tests.fault_stack import SHARDS, FaultStack
from tests.inventory_server import (
    Caller,
    CallError,
    call_error,
    calling,
    error_of,
    reserve_request,
    running_server_process,
)
from tests.lossy_proxy import LossyProxy
from tests.promise_checks import find_violations, item_in_redis
from tests.waiting import eventually

pytestmark = pytest.mark.timeout(300)  # the waits' own deadlines come first, and say more
UNITS, WANTED = 10, 3


@pytest.mark.parametrize("end", ["breaks", "is silent"])
async def test_a_lost_reply_is_unknown_and_the_repeat_holds_once(
    stack: FaultStack, end: Literal["breaks", "is silent"]
) -> None:
    """Promises 1 and 2: OUTCOME_UNKNOWN, as Redis may have done it; a repeat with the same id returns the hold."""
    sale_id = await stack.open_sale(UNITS, hold_ttl=timedelta(minutes=10))
    proxy = LossyProxy(b"lost-one", end)
    request = reserve_request("lost-one", WANTED, sale_id)

    async with server_behind(stack, proxy) as caller:
        # The server reads the epoch, and Redis loads the script.
        await eventually(lambda: answered(caller, reserve_request("earlier", 1, sale_id)))
        error = await eventually(lambda: error_of_lost_reply(caller, request, proxy))
        await eventually(lambda: proxy.lost)  # Redis has done it, and no repeat comes before it
        again = await eventually(lambda: answered(caller, request))
        async with stack.redis() as redis:
            item = await item_in_redis(redis, sale_id)

    assert (error.code, error.reason, error.retries) == (grpc.StatusCode.UNAVAILABLE, "OUTCOME_UNKNOWN", True)
    assert again.replayed
    assert item == (UNITS - WANTED - 1, WANTED + 1, 0)
    acknowledged = await stack.settle(sale_id, {"earlier": 1, "lost-one": WANTED})
    assert await find_violations(stack, sale_id, acknowledged) == []


async def answered(caller: Caller, request: ReserveRequest) -> ReserveResponse | None:
    """The response to a Reserve; None where its error says to retry."""
    try:
        return await caller.stock.Reserve(request)
    except grpc.aio.AioRpcError as error:
        if call_error(error).retries:
            return None
        raise


async def error_of_lost_reply(caller: Caller, request: ReserveRequest, proxy: LossyProxy) -> CallError | None:
    """The error of a Reserve that went through the proxy; None where Redis was slow to connect and none has."""
    error = await error_of(caller.stock.Reserve(request))
    return error if proxy.marked else None


@asynccontextmanager
async def server_behind(stack: FaultStack, proxy: LossyProxy) -> AsyncIterator[Caller]:
    """A server beside the stack's own, connected to Redis by the proxy."""
    where = stack.running.addresses
    async with (
        proxy.to(where.redis_url) as redis_url,
        running_server_process(redis_url, where.postgres_dsn, HOLDFAST_SHARDS=str(SHARDS)) as server,
        calling(server.address) as caller,
    ):
        yield caller
