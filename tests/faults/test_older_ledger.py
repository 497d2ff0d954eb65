"""Postgres is restored from a copy of before a take-over: commits that Redis has trimmed are then in Kafka alone."""

import asyncio
import shutil
from functools import partial
from pathlib import Path

import pytest

from tests.fault_stack import SHARDS, FaultStack, shard_of
from tests.promise_checks import find_violations
from tests.waiting import eventually

pytestmark = pytest.mark.timeout(300)  # the waits' own deadlines come first, and say more
UNITS, EARLY, LATE = 20, 3, 6
CATCHES_UP_S = 90.0


async def test_a_ledger_restored_from_before_a_take_over_catches_up_from_kafka(
    stack: FaultStack, tmp_path: Path
) -> None:
    """Promises 2 and 8: it enters the later epoch at its first commit, and the next take-over begins one above both."""
    sale_id = await stack.open_sale(UNITS)
    shard = shard_of(sale_id)
    acknowledged = await stack.sell(sale_id, EARLY)
    await eventually(lambda: stack.is_drained(shard), CATCHES_UP_S)
    copy = await copy_files(stack, tmp_path)
    before = await stack.watermark(shard)
    await stack.crash("valkey")
    await eventually(lambda: is_taken_over(stack, shard, before.epoch), CATCHES_UP_S)
    acknowledged |= await stack.sell(sale_id, LATE, first=EARLY)
    await eventually(lambda: stack.is_drained(shard), CATCHES_UP_S)
    newest = await stack.watermark(shard)

    await restore(stack, copy)

    await eventually(lambda: has_caught_up(stack, shard, newest.hash), CATCHES_UP_S)
    for other in range(SHARDS):  # the take-over lies after the copy of each; that of an idle one is noticed later
        await eventually(partial(is_of_one_epoch, stack, other), CATCHES_UP_S)
    await stack.serves()
    acknowledged |= await stack.sell(sale_id, 1, first=EARLY + LATE)
    assert await find_violations(stack, sale_id, acknowledged) == []


async def is_taken_over(stack: FaultStack, shard: int, epoch: int) -> bool:
    """Redis serves the shard in a later epoch."""
    meta = await stack.meta(shard)
    return int(meta["epoch"]) > epoch and "takeover_token" not in meta


async def is_of_one_epoch(stack: FaultStack, shard: int) -> bool:
    """Redis serves the shard in the ledger's epoch."""
    meta, mark = await stack.meta(shard), await stack.watermark(shard)
    return int(meta["epoch"]) == mark.epoch and not {"takeover_token", "frozen"} & meta.keys()


async def copy_files(stack: FaultStack, folder: Path) -> Path:
    """Copy the files of Postgres while it is down."""
    await stack.stop("postgres")
    copy = Path(await asyncio.to_thread(shutil.copytree, cluster(stack), folder / "copy"))
    await stack.bring_up("postgres")
    return copy


async def restore(stack: FaultStack, copy: Path) -> None:
    """Start Postgres on an older copy of its files."""
    await stack.stop("postgres")
    await asyncio.to_thread(shutil.rmtree, cluster(stack))
    await asyncio.to_thread(shutil.copytree, copy, cluster(stack))
    await stack.bring_up("postgres")


def cluster(stack: FaultStack) -> Path:
    return stack.running.server("postgres").data_dir / "cluster"


async def has_caught_up(stack: FaultStack, shard: int, newest: str) -> bool:
    """The ledger is at the newest hash again, in any epoch."""
    return (await stack.watermark(shard)).hash == newest
