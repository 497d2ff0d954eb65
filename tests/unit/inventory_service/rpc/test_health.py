"""The health service tells each watcher of its name, and none of them delays another."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from inventory_service.rpc.health import NOT_SERVING, SERVING, HealthServicer
from tests.waiting import eventually

UNKNOWN = HealthCheckResponse.SERVICE_UNKNOWN


class Watcher:
    """The context of a watch: what it was sent, while it reads."""

    def __init__(self, *, reads: bool = True) -> None:
        self.got: list[int] = []
        self._reads = reads

    async def write(self, response: HealthCheckResponse) -> None:
        if not self._reads:
            await asyncio.Event().wait()
        self.got.append(response.status)

    async def abort(self, code: grpc.StatusCode, _sentence: str) -> None:
        raise LookupError(code)


@asynccontextmanager
async def watching(health: HealthServicer, name: str, **options: bool) -> AsyncIterator[Watcher]:
    watcher: Any = Watcher(**options)
    task = asyncio.create_task(health.Watch(HealthCheckRequest(service=name), watcher))
    yield watcher
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_name_is_checked_and_all_are_listed() -> None:
    """A name that there is not is NOT_FOUND, as the protocol has it."""
    health, context = HealthServicer(), Watcher()
    health.set("", SERVING)
    health.set("liveness", NOT_SERVING)
    any_context: Any = context

    assert (await health.Check(HealthCheckRequest(), any_context)).status == SERVING
    with pytest.raises(LookupError, match="NOT_FOUND"):
        await health.Check(HealthCheckRequest(service="other"), any_context)
    listed = await health.List(None, any_context)
    assert {name: answer.status for name, answer in listed.statuses.items()} == {"": SERVING, "liveness": NOT_SERVING}


async def test_a_watcher_is_told_at_once_and_of_each_change() -> None:
    """A name may be watched before it is known; what did not change is not sent again."""
    health = HealthServicer()
    health.set("", SERVING)

    async with watching(health, "") as overall, watching(health, "later") as later:
        await eventually(lambda: (overall.got, later.got) == ([SERVING], [UNKNOWN]))
        health.set("", SERVING)
        health.set("later", SERVING)
        await eventually(lambda: later.got == [UNKNOWN, SERVING])
        health.set("", NOT_SERVING)
        await eventually(lambda: overall.got == [SERVING, NOT_SERVING])
    assert not health._changes


async def test_a_watcher_that_reads_nothing_delays_nobody() -> None:
    """Neither another watcher nor the server, which sets the status once a second."""
    health = HealthServicer()
    health.set("", SERVING)

    async with watching(health, "", reads=False), watching(health, "") as other:
        await eventually(lambda: other.got == [SERVING])
        health.set("", NOT_SERVING)
        await eventually(lambda: other.got == [SERVING, NOT_SERVING])
