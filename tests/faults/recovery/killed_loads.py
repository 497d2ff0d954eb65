"""Restores a blank Redis after the processes that load it were killed, each when a part of every shard was loaded.

A load stops before a table that is locked here, so it is known how far it is when its process is killed.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from typing import NamedTuple

from tests.fault_stack import FaultStack
from tests.faults.recovery.reopening import Log, serve_again, unserved
from tests.faults.recovery.stores import held_now
from tests.servers import connected
from tests.stacks import start_command
from tests.waiting import eventually

STOPS_S = 60.0
ENDS_S = 30.0
# Two tables that a load reads late, in this order: what is final is loaded before ITEMS, all else before ADJUSTMENTS.
ITEMS, ADJUSTMENTS = "item", "adjustment"
_RELAY_CHECKS = re.compile(r"^relay: .*\bshard_state\b")
_WAITING = "select count(*) from pg_locks where relation = to_regclass($1) and not granted"


class Loading(NamedTuple):
    """How far the load of a shard is."""

    token: str  # of its take-over
    parts: int  # that are loaded


async def restore_through_kills(stack: FaultStack, log: Log, sales: Collection[str]) -> asyncio.subprocess.Process:
    """Kill `holdfast restore` while it loads the shards, then the relay, which begins that anew; then restore them.

    Returns when the shards serve; that `holdfast restore` compares them with the ledger yet, between the calls to them.
    No sale is served before. The persister writes ITEMS too, and has nothing to write while these are locked.
    """
    async with locked(stack, ADJUSTMENTS):
        with stack.halted("relay"):
            await eventually(lambda: has_applied_all(stack))
            async with locked(stack, ITEMS):
                of_restore = await kill_restore(stack)
        await serves_none(stack, sales)
        of_relay = await eventually(lambda: stopped_loads(stack, ADJUSTMENTS), STOPS_S)
        for before, after in zip(of_restore, of_relay, strict=True):
            assert after.token != before.token, "the relay goes on with a load that it did not begin"
            assert after.parts > before.parts
        restore = await start_again_beside_new_relay(stack, log, of_relay)
        await serves_none(stack, sales)
    await serve_again(stack, sales)
    return restore


async def start_again_beside_new_relay(
    stack: FaultStack, log: Log, of_relay: Sequence[Loading]
) -> asyncio.subprocess.Process:
    """Kill the relay, and start `holdfast restore`, which begins to load; the new relay is halted until it has."""
    line = len(log.lines)
    await stack.kill("relay")
    restore = await start_command(stack.running, "restore")
    await eventually(lambda: any(_RELAY_CHECKS.search(one) for one in log.lines[line:]), STOPS_S)
    with stack.halted("relay"):
        await eventually(lambda: are_taken_over(stack, of_relay), STOPS_S)
    return restore


async def are_taken_over(stack: FaultStack, before: Sequence[Loading]) -> bool:
    """Another take-over of each shard has begun."""
    tokens = [(await stack.meta(shard))["takeover_token"] for shard in range(stack.running.shards)]
    return all(token != one.token for token, one in zip(tokens, before, strict=True))


async def kill_restore(stack: FaultStack) -> list[Loading]:
    """Start `holdfast restore`, and kill it once it has stopped before ITEMS; how far it was in each shard."""
    restore = await start_command(stack.running, "restore")
    try:
        return await eventually(lambda: stopped_loads(stack, ITEMS), STOPS_S)
    finally:
        assert restore.returncode is None, f"`holdfast restore` ended with {restore.returncode}"
        restore.kill()
        await asyncio.wait_for(restore.communicate(), ENDS_S)


@asynccontextmanager
async def locked(stack: FaultStack, table: str) -> AsyncIterator[None]:
    """Nothing reads or writes a table of the ledger inside the block: what tries waits for its end."""
    async with connected(stack.dsn) as db, db.transaction():
        await db.execute(f"lock table {table} in access exclusive mode")
        yield


async def has_applied_all(stack: FaultStack) -> bool:
    """The ledger has the last commit of each shard that Kafka has."""
    held = await held_now(stack)
    newest = {shard: (epoch, seq) for shard, epoch, seq in sorted(held.in_kafka)}
    return {(shard, *position) for shard, position in newest.items()} <= held.in_ledger


async def stopped_loads(stack: FaultStack, table: str) -> list[Loading]:
    """The loads of all shards wait for a locked table, and have written parts by then."""
    shards = range(stack.running.shards)
    async with connected(stack.dsn) as db:
        waiting = await db.fetchval(_WAITING, table)
    assert waiting == len(shards), f"{waiting} loads wait for {table}"
    metas = [await stack.meta(shard) for shard in shards]
    assert all(meta["hash"] == "void" and int(meta["parts"]) for meta in metas), metas
    return [Loading(meta["takeover_token"], int(meta["parts"])) for meta in metas]


async def serves_none(stack: FaultStack, sales: Collection[str]) -> None:
    """Assert that calls to all sales fail."""
    why_not = await unserved(stack, sales)
    assert why_not.keys() == set(sales), f"only these are not served: {why_not}"
