"""The refusals of a server that drains: they go out after GOAWAY, and are not held for long."""

import asyncio
from typing import Any

from tests.unit.inventory_service.rpc.wrapped_calls import Calls
from tests.waiting import LONG_S


async def done(_request: Any, _context: Any) -> str:
    return "done"


async def test_a_refusal_is_held_until_connections_have_got_goaway() -> None:
    """Its caller then has no connection here to send the next call on."""
    served = Calls()
    refusals = served.middleware.refusals
    refusals.hold()
    await served.middleware.drain(within_s=0.0)

    call = asyncio.ensure_future(served.outcome("Reserve", done))
    await refusals.quiet(within_s=60.0)

    assert not call.done()
    refusals.release()
    assert await call == "SERVER_DRAINING"


async def test_calls_that_never_cease_do_not_put_goaway_off() -> None:
    """Nor does a drain that has less time."""
    served = Calls()
    await served.middleware.drain(within_s=0.0)

    async def call_on() -> None:
        while True:
            await served.outcome("Reserve", done)
            await asyncio.sleep(0)

    calling = asyncio.ensure_future(call_on())
    async with asyncio.timeout(LONG_S):
        await served.middleware.refusals.quiet(within_s=60.0)
        await served.middleware.refusals.quiet(within_s=0.0)
    calling.cancel()
