"""A transaction that is given up: no connection with one that is open goes back to the pool."""

import asyncio
from typing import Any, cast

import pytest

from holdfast_runtime.postgres import Connection, transaction


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
