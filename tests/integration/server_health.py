"""Server processes whose health is known, and their metrics."""

import asyncio
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

from tests.inventory_server import Caller, ServerProcess, calling, open_shards, running_server_process
from tests.waiting import LONG_S, eventually

CallsHealth: Any = HealthStub  # their types are those of a channel that is not asyncio's
SERVING, NOT_SERVING = HealthCheckResponse.SERVING, HealthCheckResponse.NOT_SERVING


@asynccontextmanager
async def serving(redis_url: str, dsn: str, **settings: str) -> AsyncIterator[ServerProcess]:
    """A server process with open shards whose health is SERVING; its first probe of Redis may have failed."""
    await open_shards(redis_url)
    async with running_server_process(redis_url, dsn, **settings) as server, calling(server.address) as caller:
        await eventually(lambda: is_serving(caller))
        yield server


async def health(caller: Caller, service: str = "") -> int:
    """The server's health status."""
    answer = await CallsHealth(caller.channel).Check(HealthCheckRequest(service=service))
    return int(answer.status)


async def is_serving(caller: Caller) -> bool:
    return await health(caller) == SERVING


async def page_of(server: ServerProcess) -> str:
    """Its metrics."""
    return await asyncio.to_thread(lambda: urllib.request.urlopen(server.metrics_url, timeout=LONG_S).read().decode())


async def is_on_page(server: ServerProcess, line: str) -> bool:
    """The metrics page has this line."""
    return line in await page_of(server)
