"""Redis is flushed, or comes back from a copy of its files that agrees with a ledger that is behind."""

import asyncio
import shutil
from pathlib import Path

import pytest

from tests.crowd import SKU
from tests.fault_stack import FaultStack, shard_of
from tests.faults.unserved_calls import answers, calls_of, serves_nothing_because
from tests.promise_checks import DRAIN_S, find_violations
from tests.topics import Topics
from tests.waiting import eventually

pytestmark = pytest.mark.timeout(300)  # the waits' own deadlines come first, and say more
UNITS, EARLY, LATE = 10, 3, 5
NOT_SERVING = "ERROR_REASON_SHARD_NOT_SERVING"


async def test_a_flushed_redis_serves_no_call_until_it_is_restored(stack: FaultStack) -> None:
    """Promises 7 and 8: every call fails with the reason, `init` opens nothing, and `restore` loads what was lost."""
    sale_id = await stack.open_sale(UNITS)
    acknowledged = await stack.sell(sale_id, EARLY)
    await stack.client.reserve(sale_id, "held", "ann", {SKU: 1})
    await eventually(lambda: stack.is_drained(shard_of(sale_id)), DRAIN_S)

    async with stack.redis() as redis:
        await redis.flushall()
    await serves_nothing_because(stack, sale_id, "NEEDS_RESTORE: ")
    calls = calls_of(sale_id, next(iter(acknowledged)))
    assert await answers(stack, calls) == dict.fromkeys(calls, NOT_SERVING)
    opening = await stack.run("init")
    assert (opening.code, "NEEDS_RESTORE" in opening.stderr) == (1, True), opening.stderr
    assert await answers(stack, calls) == dict.fromkeys(calls, NOT_SERVING)
    restored = await stack.run("restore")

    loaded = f"shard {shard_of(sale_id)} was loaded from the ledger"
    assert (restored.code, loaded in restored.stdout) == (0, True), restored
    acknowledged |= await stack.settle(sale_id, {"held": 1})
    acknowledged |= await stack.sell(sale_id, UNITS - EARLY - 1, first=EARLY)
    assert await find_violations(stack, sale_id, acknowledged) == []


async def test_redis_from_an_older_copy_waits_for_commits_in_kafka(stack: FaultStack, tmp_path: Path) -> None:
    """Promises 2, 7 and 8: this Redis agrees with the ledger, but later acknowledged commits are still in Kafka."""
    sale_id = await stack.open_sale(UNITS)
    shard = shard_of(sale_id)
    acknowledged = await stack.sell(sale_id, EARLY)
    await eventually(lambda: stack.is_drained(shard), DRAIN_S)
    copy = copy_files(stack, tmp_path / "older")
    await stack.take_down("persist")
    acknowledged |= await stack.sell(sale_id, LATE, first=EARLY)
    await eventually(lambda: is_in_kafka(stack, shard), DRAIN_S)

    await restart_on(stack, to=copy)
    await eventually(lambda: is_in_takeover(stack, shard), DRAIN_S)
    assert (await answers(stack, calls_of(sale_id, "order-0")))["reserve"] == NOT_SERVING
    await stack.bring_up("persist")
    await stack.serves()

    acknowledged |= await stack.sell(sale_id, UNITS - EARLY - LATE, first=EARLY + LATE)
    assert await find_violations(stack, sale_id, acknowledged) == []


def copy_files(stack: FaultStack, copy: Path) -> Path:
    """Keep Redis' files as they are now; a command that is written at this moment is left out when they are loaded."""
    return Path(shutil.copytree(append_only_files(stack), copy))


async def restart_on(stack: FaultStack, to: Path) -> None:
    """Kill Redis and start it on other files."""
    await stack.take_down("valkey")
    await asyncio.to_thread(shutil.rmtree, append_only_files(stack))
    await asyncio.to_thread(shutil.copytree, to, append_only_files(stack))
    await stack.bring_up("valkey")


def append_only_files(stack: FaultStack) -> Path:
    return stack.running.server("valkey").data_dir / "appendonlydir"


async def is_in_kafka(stack: FaultStack, shard: int) -> bool:
    """Kafka holds every commit of the shard."""
    head = (await stack.meta(shard))["hash"].encode()
    async with Topics.of(stack.running.addresses.kafka_brokers) as topics:
        return any(commit.hash == head for run in await topics.runs(shard) for commit in run.commits)


async def is_in_takeover(stack: FaultStack, shard: int) -> bool:
    """A take-over waits for the ledger."""
    return "takeover_token" in await stack.meta(shard)
