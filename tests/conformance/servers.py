"""The servers that answer alike: the one for tests, and the processes of a stack; and what only each itself can do."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, Protocol, cast

import grpc
from google.protobuf.message_factory import GetMessageClass
from holdfast.testing import InventoryServer

from tests.inventory_server import Caller, calling
from tests.methods import METHODS
from tests.stack_fixture import StackFixture
from tests.stacks import Running

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
    async with calling(running.stack.addresses.listen) as caller:
        yield Processes(StackFixture(running.stack, caller, running.log))


async def ask(server: ServerUnderTest, method: str, *requests: bytes) -> list[Any]:
    """The answers of a call: one, all of a stream of requests, or the first of a watch; AioRpcError if it fails."""
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
