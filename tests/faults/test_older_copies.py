"""Postgres and Redis both come back from copies of one moment: what was sold since is in Kafka alone."""

import asyncio
import shutil
from pathlib import Path

import pytest

from tests.fault_stack import FaultStack, shard_of
from tests.faults.test_lost_redis import append_only_files
from tests.faults.test_lost_redis import copy_files as copy_redis
from tests.faults.test_older_ledger import CATCHES_UP_S, cluster, has_caught_up, is_drained
from tests.promise_checks import find_violations
from tests.waiting import eventually

pytestmark = pytest.mark.timeout(300)  # the waits' own deadlines come first, and say more
UNITS, EARLY, LATE = 20, 3, 6


@pytest.mark.parametrize("persister", ["lives", "starts afterwards"])
async def test_copies_that_agree_with_each_other_are_not_believed(
    stack: FaultStack, tmp_path: Path, persister: str
) -> None:
    """Promises 1, 2, 7 and 8: the consumer group has read everything, and the restored ledger has not."""
    sale_id = await stack.open_sale(UNITS)
    shard = shard_of(sale_id)
    acknowledged = await stack.sell(sale_id, EARLY)
    await eventually(lambda: is_drained(stack, shard))
    redis, postgres = copy_redis(stack, tmp_path / "redis"), await copy_postgres(stack, tmp_path)
    acknowledged |= await stack.sell(sale_id, LATE, first=EARLY)
    await eventually(lambda: is_drained(stack, shard))
    newest = await stack.watermark(shard)

    if persister == "starts afterwards":
        await stack.take_down("persist")
    await restore_both(stack, redis, postgres)
    if persister == "starts afterwards":
        await eventually(lambda: is_being_taken_over(stack, shard))
        await stack.bring_up("persist")
    await eventually(lambda: has_caught_up(stack, shard, newest.hash), CATCHES_UP_S)
    await stack.serves()

    acknowledged |= await stack.sell(sale_id, 1, first=EARLY + LATE)
    assert await find_violations(stack, sale_id, acknowledged) == []


async def copy_postgres(stack: FaultStack, folder: Path) -> Path:
    """Copy the files of Postgres while it is down."""
    await stack.stop("postgres")
    copy = Path(await asyncio.to_thread(shutil.copytree, cluster(stack), folder / "postgres"))
    await stack.bring_up("postgres")
    return copy


async def restore_both(stack: FaultStack, redis: Path, postgres: Path) -> None:
    """Start both servers on older copies of their files; neither is up while the other has its newer ones."""
    await stack.take_down("valkey")
    await stack.stop("postgres")
    for copy, folder in ((redis, append_only_files(stack)), (postgres, cluster(stack))):
        await asyncio.to_thread(shutil.rmtree, folder)
        await asyncio.to_thread(shutil.copytree, copy, folder)
    await stack.bring_up("postgres")
    await stack.bring_up("valkey")


async def is_being_taken_over(stack: FaultStack, shard: int) -> bool:
    """A take-over waits for the ledger."""
    return "takeover_token" in await stack.meta(shard)
