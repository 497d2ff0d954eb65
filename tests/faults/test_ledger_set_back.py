"""Postgres comes back from an older copy: the ledger has forgotten what Redis has trimmed, and Kafka still has it."""

import asyncio
import shutil
from pathlib import Path

import pytest

from tests.faults.proof import find_faults
from tests.faults.world import World, shard_of
from tests.waiting import eventually

pytestmark = pytest.mark.timeout(300)  # the waits' own deadlines come first, and say more
UNITS, EARLY, LATE = 20, 3, 6
MENDED_S = 90.0


@pytest.mark.parametrize("persister", ["lives", "starts afterwards"])
async def test_a_ledger_that_went_back_is_brought_up_to_date_from_kafka(
    shared: World, tmp_path: Path, persister: str
) -> None:
    """Promise 2: no acknowledged order is lost, no unit sold twice, and the shard opens by itself."""
    sale_id = await shared.open_sale(UNITS)
    shard = shard_of(sale_id)
    promises = await shared.sell(sale_id, EARLY)
    await eventually(lambda: is_drained(shared, shard))
    copy = await copied(shared, tmp_path)
    promises |= await shared.sell(sale_id, LATE, first=EARLY)
    await eventually(lambda: is_drained(shared, shard))
    newest = await shared.watermark(shard)

    if persister == "starts afterwards":
        await shared.take_down("persist")
    await set_back(shared, copy)
    if persister == "starts afterwards":
        assert (await shared.watermark(shard)).seq < newest.seq
        await shared.bring_up("persist")

    await eventually(lambda: has_caught_up(shared, shard, newest.hash), MENDED_S)
    await shared.serves()
    promises |= await shared.sell(sale_id, 1, first=EARLY + LATE)
    assert await find_faults(shared, sale_id, promises) == []


async def copied(world: World, folder: Path) -> Path:
    """Copy the files of Postgres while it is down."""
    await world.stop("postgres")
    copy = Path(await asyncio.to_thread(shutil.copytree, cluster(world), folder / "copy"))
    await world.bring_up("postgres")
    return copy


async def set_back(world: World, copy: Path) -> None:
    """Start Postgres on an older copy of its files."""
    await world.stop("postgres")
    await asyncio.to_thread(shutil.rmtree, cluster(world))
    await asyncio.to_thread(shutil.copytree, copy, cluster(world))
    await world.bring_up("postgres")


def cluster(world: World) -> Path:
    return world.stack.server("postgres").data_dir / "cluster"


async def is_drained(world: World, shard: int) -> bool:
    """The ledger holds every commit of the shard, and Redis has trimmed them."""
    meta, mark = await world.meta(shard), await world.watermark(shard)
    return (meta["hash"], await world.outbox_length(shard)) == (mark.hash, 0)


async def has_caught_up(world: World, shard: int, newest: str) -> bool:
    """The ledger stands where it stood, in whatever epoch."""
    return (await world.watermark(shard)).hash == newest
