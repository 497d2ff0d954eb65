"""A transaction that is given up: no connection with one that is open goes back to the pool."""

import asyncio
import gc
from typing import Any, cast

import pytest

from holdfast_runtime.postgres import Connection, LazyPool, transaction


class Silent:
    """A connection and its transaction, whose server begins and then does not answer."""

    def __init__(self) -> None:
        self.rolls_back = asyncio.Event()
        self.is_terminated = False

    def transaction(self, **_options: Any) -> "Silent":
        return self

    async def start(self) -> None:
        """Begin."""

    async def rollback(self) -> None:
        self.rolls_back.set()
        await asyncio.Event().wait()

    def terminate(self) -> None:
        self.is_terminated = True


async def run(connection: Silent) -> None:
    async with transaction(cast(Connection, connection)):
        await asyncio.Event().wait()


@pytest.mark.parametrize("leaves_too", [False, True])
async def test_a_silent_server_loses_the_connection_of_a_block_that_is_cancelled(leaves_too: bool) -> None:
    """Also if the block is cancelled once more while it rolls back, as by a limit and then by its caller."""
    connection = Silent()
    block = asyncio.ensure_future(run(connection))
    await asyncio.sleep(0)
    block.cancel()
    await connection.rolls_back.wait()
    if leaves_too:
        block.cancel()

    with pytest.raises(asyncio.CancelledError):
        await block

    assert connection.is_terminated


class SilentPool:
    """A pool whose connection cannot be reset in time; like asyncpg's it goes on with that if its caller leaves."""

    def __init__(self) -> None:
        self.releases = asyncio.Event()
        self.time_is_up = asyncio.Event()

    async def acquire(self, **_options: Any) -> object:
        return object()

    async def release(self, _connection: object, **_options: Any) -> None:
        await asyncio.shield(self._reset())

    async def _reset(self) -> None:
        self.releases.set()
        await self.time_is_up.wait()
        raise TimeoutError


async def test_a_connection_that_is_not_released_in_time_is_no_error_in_the_log() -> None:
    """Though nothing waits for its release any more."""
    logged: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, about: logged.append(about))
    pool, silent = LazyPool("postgresql://127.0.0.1:1/none", 1, 1.0), SilentPool()
    pool._pool = cast(Any, silent)

    async def ask() -> None:
        async with pool.acquire():
            await asyncio.Event().wait()

    asking = asyncio.ensure_future(ask())
    await asyncio.sleep(0.01)
    asking.cancel()
    await silent.releases.wait()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    silent.time_is_up.set()
    for _ in range(5):
        await asyncio.sleep(0)
    gc.collect()

    assert logged == []
