"""Work beside other work ends with it, and neither an error nor a cancellation is lost."""

import asyncio

import pytest

from inventory_service.service.relay.tasks import running
from tests.waiting import eventually


async def test_an_error_of_the_work_is_raised() -> None:
    """Else it would have ended in silence."""

    async def fails() -> None:
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        async with running(fails()):
            await asyncio.sleep(0)


async def test_a_cancellation_while_the_work_is_stopped_is_not_swallowed() -> None:
    """The process ends: what is cancelled must not go on."""
    is_stopping, may_stop = asyncio.Event(), asyncio.Event()

    async def stops_slowly() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            is_stopping.set()
            await may_stop.wait()

    async def work() -> None:
        async with running(stops_slowly()):
            await asyncio.sleep(0)

    task = asyncio.ensure_future(work())
    await is_stopping.wait()
    task.cancel()

    await eventually(task.done)
    assert task.cancelled()
    may_stop.set()
