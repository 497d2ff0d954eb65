"""Calls that are repeated while Redis does not answer in time, as every client of Holdfast repeats them."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc

from tests.inventory_server import SLOW, Caller, call_error, calling
from tests.waiting import POLL_S

ANSWERS_S = 60.0


class UntilAnswered(grpc.aio.UnaryUnaryClientInterceptor):
    """Repeats a call that has one request and one answer; every other error is the caller's."""

    async def intercept_unary_unary(self, continuation: Callable[..., Any], details: Any, request: Any) -> Any:
        give_up_at = time.monotonic() + ANSWERS_S
        while True:
            call = await continuation(details, request)
            if not await is_slow(call) or time.monotonic() > give_up_at:
                return call
            await asyncio.sleep(POLL_S)


async def is_slow(call: Any) -> bool:
    """Whether the call has ended because Redis did not answer in time."""
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return is_of_slow_redis(error)
    return False


def is_of_slow_redis(error: grpc.aio.AioRpcError) -> bool:
    """Whether an error says that Redis did not answer in time, or is one of gRPC itself about the connection."""
    if error.code() is not grpc.StatusCode.UNAVAILABLE:
        return False
    has_reason = any(key == "grpc-status-details-bin" for key, _ in error.trailing_metadata() or ())
    return not has_reason or call_error(error).reason in SLOW


@asynccontextmanager
async def calling_until_answered(address: str) -> AsyncIterator[Caller]:
    """A client with a connection of its own, whose calls with one answer are repeated."""
    async with calling(address, interceptors=[UntilAnswered()]) as caller:
        yield caller
