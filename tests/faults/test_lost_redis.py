"""Redis comes back empty, or from an older copy of its files: units that it believes to have are sold already."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.faults.knocking import answers, calls_of, stays_shut
from tests.faults.proof import lost_orders
from tests.faults.topics import Topics
from tests.faults.world import World, shard_of
from tests.waiting import eventually

pytestmark = pytest.mark.timeout(300)  # the waits' own deadlines come first, and say more
UNITS, EARLY, LATE = 10, 3, 5
NOT_SERVING = "ERROR_REASON_SHARD_NOT_SERVING"


@pytest.mark.parametrize("how", ["flushed", "started on an empty folder"])
async def test_a_blank_redis_is_unavailable_and_not_full(shared: World, tmp_path: Path, how: str) -> None:
    """Promise 7: every call is refused, the reason is told, and `init` does not open what was open before."""
    sale_id = await shared.open_sale(UNITS)
    promises = await shared.sell(sale_id, EARLY)
    await eventually(lambda: is_drained(shared, sale_id))

    async with newest_files_put_back(shared, tmp_path):
        if how == "flushed":
            async with shared.redis() as redis:
                await redis.flushall()
        else:
            await set_back(shared, to=None)

        await stays_shut(shared, sale_id, "NEEDS_RESTORE: ")
        calls = calls_of(sale_id, next(iter(promises)))
        assert await answers(shared, calls) == dict.fromkeys(calls, NOT_SERVING)
        opening = await shared.run("init")
        assert (opening.code, "NEEDS_RESTORE" in opening.complained) == (1, True), opening.complained
        assert await answers(shared, calls) == dict.fromkeys(calls, NOT_SERVING)
    assert await lost_orders(shared, sale_id, promises) == []


async def test_an_older_copy_never_sells_a_unit_again(shared: World, tmp_path: Path) -> None:
    """Promises 1 and 7: the ledger knows of orders that this Redis does not, so the shard is frozen and says why."""
    sale_id = await shared.open_sale(UNITS)
    promises = await shared.sell(sale_id, EARLY)
    await eventually(lambda: is_drained(shared, sale_id))
    copy = copy_files(shared, tmp_path / "older")
    promises |= await shared.sell(sale_id, LATE, first=EARLY)
    await eventually(lambda: is_drained(shared, sale_id))

    async with newest_files_put_back(shared, tmp_path):
        await set_back(shared, to=copy)

        await stays_shut(shared, sale_id, "NEEDS_RESTORE: ")
    assert await lost_orders(shared, sale_id, promises) == []


async def test_an_older_copy_waits_for_what_kafka_alone_knows(shared: World, tmp_path: Path) -> None:
    """Promises 2 and 7: this Redis agrees with the ledger, but what was acknowledged since is on its way there."""
    sale_id = await shared.open_sale(UNITS)
    shard = shard_of(sale_id)
    promises = await shared.sell(sale_id, EARLY)
    await eventually(lambda: is_drained(shared, sale_id))
    copy = copy_files(shared, tmp_path / "older")
    await shared.take_down("persist")
    promises |= await shared.sell(sale_id, LATE, first=EARLY)
    await eventually(lambda: is_in_kafka(shared, shard))

    async with newest_files_put_back(shared, tmp_path):
        await set_back(shared, to=copy)
        await eventually(lambda: is_claimed(shared, shard))
        assert (await answers(shared, calls_of(sale_id, "order-0")))["reserve"] == NOT_SERVING
        await shared.bring_up("persist")

        await stays_shut(shared, sale_id, "NEEDS_RESTORE: ")
    assert await lost_orders(shared, sale_id, promises) == []


def copy_files(world: World, copy: Path) -> Path:
    """Keep Redis' files as they are now; a command that is written at this moment is left out when they are loaded."""
    return Path(shutil.copytree(append_only_files(world), copy))


@asynccontextmanager
async def newest_files_put_back(world: World, folder: Path) -> AsyncIterator[None]:
    """Start Redis at the end on its files as they are now, with which it has every order and serves again."""
    newest = copy_files(world, folder / "newest")
    try:
        yield
    finally:
        await set_back(world, to=newest)
        await world.serves()


async def set_back(world: World, to: Path | None) -> None:
    """Kill Redis and start it on other files, or on none."""
    await world.take_down("valkey")
    await asyncio.to_thread(shutil.rmtree, append_only_files(world))
    if to is not None:
        await asyncio.to_thread(shutil.copytree, to, append_only_files(world))
    await world.bring_up("valkey")


def append_only_files(world: World) -> Path:
    return world.stack.server("valkey").data_dir / "appendonlydir"


async def is_drained(world: World, sale_id: str) -> bool:
    """The ledger holds every commit of the sale's shard."""
    shard = shard_of(sale_id)
    meta, mark = await world.meta(shard), await world.watermark(shard)
    return (meta["hash"], await world.outbox_length(shard)) == (mark.hash, 0)


async def is_in_kafka(world: World, shard: int) -> bool:
    """Kafka holds every commit of the shard."""
    head = (await world.meta(shard))["hash"].encode()
    async with Topics.of(world.stack.addresses.kafka_brokers) as topics:
        return any(commit.hash == head for run in await topics.runs(shard) for commit in run.commits)


async def is_claimed(world: World, shard: int) -> bool:
    """A take-over waits for the ledger."""
    return "claim" in await world.meta(shard)
