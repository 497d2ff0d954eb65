"""A query that is cancelled stays cancelled, also where its connection cannot be used again."""

import asyncio

import pytest

from inventory_service.adapters.ledger.pool import LedgerPool


@pytest.mark.parametrize("again_after_s", [0.0, 0.001], ids=["at once", "after 1 ms"])
async def test_a_task_that_is_cancelled_twice_ends(database: str, again_after_s: float) -> None:
    """As at the end of a process: its checks of the ledger would go on, and so would the process."""
    ledger = LedgerPool(database, pool_size=1)
    async with ledger.connection() as db:  # so that the next ones find a connection
        await db.execute("select 1")

    async def ask() -> None:
        async with ledger.connection() as db:
            asking.set()
            await db.execute("select pg_sleep(60)")

    asking = asyncio.Event()
    task = asyncio.create_task(ask())
    await asking.wait()
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.sleep(again_after_s)
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    async with ledger.connection() as db:
        assert await db.fetchval("select 7") == 7
    await ledger.close()
