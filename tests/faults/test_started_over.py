"""Redis and Postgres are emptied and opened again beside the topics of before."""

import asyncio
import os
import shutil
import sys

import pytest

from tests.fault_stack import FaultStack, shard_of
from tests.faults.test_lost_redis import append_only_files
from tests.faults.test_older_ledger import cluster, is_drained
from tests.promise_checks import find_violations
from tests.servers import connected
from tests.stacks import shell_environment
from tests.waiting import eventually

pytestmark = pytest.mark.timeout(300)  # the waits' own deadlines come first, and say more
SERVICES = ("serve", "relay", "persist", "compensate")
ORDERS = 3


async def test_an_emptied_installation_takes_no_orders_of_the_one_before(stack: FaultStack) -> None:
    """`init` opens nothing unless it is told to, and then draws new epochs: what was sold before is an orphan."""
    old_sale = await stack.open_sale(20)
    await stack.sell(old_sale, ORDERS)
    await eventually(lambda: is_drained(stack, shard_of(old_sale)))
    for name in SERVICES:
        await stack.stop(name)
    await empty_stores(stack)

    rejected = await stack.run("init")
    opened = await stack.run("init", "--beside-old-records")
    for name in reversed(SERVICES):
        await stack.bring_up(name)
    await stack.serves()
    new_sale = await stack.open_sale(20)
    while shard_of(new_sale) != shard_of(old_sale):
        new_sale = await stack.open_sale(20)
    acknowledged = await stack.sell(new_sale, ORDERS)

    assert (rejected.code, "--beside-old-records" in rejected.stderr) == (1, True), rejected.stderr
    assert opened.code == 0, opened.stderr
    assert await find_violations(stack, new_sale, acknowledged) == []
    await eventually(lambda: has_orphans(stack, shard_of(old_sale)))
    async with connected(stack.running.addresses.postgres_dsn) as db:
        assert await db.fetchval("select count(*) from sale where sale_id = $1", old_sale) == 0


async def empty_stores(stack: FaultStack) -> None:
    """Start both stores on no files, and make the tables."""
    await stack.take_down("valkey")
    await stack.stop("postgres")
    for folder in (append_only_files(stack), cluster(stack)):
        await asyncio.to_thread(shutil.rmtree, folder)
    await stack.bring_up("postgres")
    await stack.bring_up("valkey")
    environment = {**os.environ, **shell_environment(stack.running)}
    migrating = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "order_persister", "migrate", env=environment
    )
    assert await migrating.wait() == 0


async def has_orphans(stack: FaultStack, shard: int) -> bool:
    """The commits of the earlier ledger are kept, and no shard is frozen."""
    async with connected(stack.running.addresses.postgres_dsn) as db:
        assert await db.fetchval("select count(*) from shard_watermark where frozen_reason is not null") == 0
        orphans = "select count(*) from quarantined_record where shard = $1 and why like 'orphaned%'"
        return int(await db.fetchval(orphans, shard)) > 2 * ORDERS
