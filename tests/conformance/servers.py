"""The servers that answer alike: the one for tests, and the processes of a stack; and what only each itself can do."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, Protocol, cast

import grpc
from google.protobuf.message_factory import GetMessageClass
from holdfast.testing import InventoryServer

from tests.inventory_server import SLOW, Caller, calling
from tests.methods import METHODS
from tests.repeated_calls import ANSWERS_S, calling_until_answered, is_of_slow_redis
from tests.stack_fixture import StackFixture
from tests.stacks import Running
from tests.waiting import POLL_S

SHARDS = 16  # of a stack with the default settings


class ServerUnderTest(Protocol):
    """A server that is called by its address, and what a test does to it besides calls."""

    caller: Caller

    async def pass_time(self, time: timedelta) -> None:
        """Let time pass."""
        ...

    async def refuse_buyer(self, buyer_id: str) -> None:
        """Have the ledger refuse the orders of a buyer, which the stock grants."""
        ...


class Double:
    """`holdfast.testing`."""

    def __init__(self, server: InventoryServer, caller: Caller) -> None:
        self.caller = caller
        self._server = server

    async def pass_time(self, time: timedelta) -> None:
        self._server.advance(time)

    async def refuse_buyer(self, buyer_id: str) -> None:
        self._server.refuse_buyer(buyer_id, "a test")


class Processes:
    """A stack of processes on real servers."""

    def __init__(self, stack: StackFixture) -> None:
        self.caller = stack.caller
        self._stack = stack

    async def pass_time(self, time: timedelta) -> None:
        await asyncio.sleep(time.total_seconds())

    async def refuse_buyer(self, buyer_id: str) -> None:
        await self._stack.refuse_orders_of(buyer_id)


@asynccontextmanager
async def running_double(shards: int) -> AsyncIterator[Double]:
    """A server for tests, and a channel to it."""
    async with InventoryServer(shards=shards) as server, calling(server.address) as caller:
        yield Double(server, caller)


@asynccontextmanager
async def calling_processes(running: Running) -> AsyncIterator[Processes]:
    """A channel to the server process of a stack."""
    async with calling_until_answered(running.stack.addresses.listen) as caller:
        yield Processes(StackFixture(running.stack, caller, running.log))


async def ask(server: ServerUnderTest, method: str, *requests: bytes) -> list[Any]:
    """The answers of a call: one, all of a stream of requests, or the first of a watch; AioRpcError if it fails.

    It is asked again where a Redis was halted for a moment, and answers no request of a stream or a batch.
    """
    give_up_at = time.monotonic() + ANSWERS_S
    while True:
        try:
            answers = await _ask_once(server, method, *requests)
        except grpc.aio.AioRpcError as error:
            if not is_of_slow_redis(error) or time.monotonic() > give_up_at:
                raise
        else:
            is_slow = any(reason.encode() in answer.SerializeToString() for answer in answers for reason in SLOW)
            if not is_slow or time.monotonic() > give_up_at:
                return answers
        await asyncio.sleep(POLL_S)


async def _ask_once(server: ServerUnderTest, method: str, *requests: bytes) -> list[Any]:
    descriptor, channel = METHODS[method], cast("Any", server.caller.channel)
    path, answer = f"/{descriptor.containing_service.full_name}/{method}", GetMessageClass(descriptor.output_type)
    if descriptor.client_streaming:
        return [answer.FromString(one) async for one in channel.stream_stream(path)(iter(requests))]
    if descriptor.server_streaming:
        call = channel.unary_stream(path)(requests[0])
        first: Any = await call.read()
        call.cancel()
        return [] if first is grpc.aio.EOF else [answer.FromString(first)]
    return [answer.FromString(await channel.unary_unary(path)(requests[0], timeout=60.0))]
