"""A load that is cut off, doubled or overtaken at any step: the next one begins anew, and nothing is half-loaded."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from holdfast_embedded.valkey import Valkey

from inventory_service.adapters.redis.load import RedisLoadTarget
from inventory_service.domain.keys import SaleKey
from inventory_service.domain.moves import Move, MoveKind
from inventory_service.domain.reservation import Line
from inventory_service.domain.reserve import Reserve
from inventory_service.domain.sale import CreateSale, NewItem
from inventory_service.domain.shard_load import SalePart
from inventory_service.domain.shards import BegunTakeover, RedisUnavailable
from tests.contract.shards import CLOCK_KEY
from tests.integration.loaded_shard import LoadedShard
from tests.servers import StartValkey, connected
from tests.waiting import eventually

SALES = 3
STEPS = 7  # begin, clear, four parts (what is final, settings, holds, buyers), finish
Stored = dict[str, dict[bytes, Any]]


async def sold(url: str, dsn: str) -> LoadedShard:
    """A shard with holds, and with reservations that have ended, in the ledger as in Redis."""
    shard = await LoadedShard.opened(url, dsn)
    for number in range(SALES):
        key = SaleKey("default", f"sale-{number}")
        await shard.create_sale(CreateSale(key, "Lamps", None, None, 600_000, 600_000, 0, (NewItem("lamp", 20),)))
        holds = [Reserve(key, f"r-{one}", f"b-{one}", (Line("lamp", 1),), None) for one in range(9)]
        await shard.stock.reserve_many(0, holds)
        await shard.stock.move_many(0, [Move(key, f"r-{one}", MoveKind.CONFIRM) for one in range(3)])
    await shard.drain()
    return shard


@pytest.fixture
async def shard(shared_valkey: str, database: str) -> AsyncIterator[LoadedShard]:
    shard = await sold(shared_valkey, database)
    yield shard
    await shard.close()


async def serves(shard: LoadedShard) -> bool:
    """The shard serves."""
    return (await shard.shards.status(0)).serving


@pytest.mark.parametrize("steps", range(STEPS))
async def test_a_loader_that_is_killed_is_followed_by_another(shard: LoadedShard, steps: int) -> None:
    """It leaves a token, a fence, and a shard that is as it was or void: never one that serves."""
    before = await shard.stored()
    await shard.lose(blank=False)
    program = (sys.executable, "-m", "tests.integration.killed_loader", shard.url, shard.dsn, str(steps))
    killed = await asyncio.create_subprocess_exec(*program)
    assert await asyncio.wait_for(killed.wait(), 60) == -signal.SIGKILL
    assert not await serves(shard)

    begun, fenced = await shard.begin_takeover("next")
    assert await shard.load_in(begun, fenced)

    assert await shard.stored() == before
    assert await serves(shard)


async def test_of_two_loaders_the_later_one_loads(shard: LoadedShard) -> None:
    """The clearing comes after the token, so nothing of the earlier one stays."""
    before = await shard.stored()
    await shard.lose(blank=True)
    first, first_fence = await shard.begin_takeover("first")
    held_back = HeldBackTarget(shard, parts=2)
    loading = asyncio.ensure_future(shard.load_in(first, first_fence, held_back))
    await held_back.reached.wait()

    second, second_fence = await shard.begin_takeover("second")
    assert await shard.load_in(second, second_fence)
    held_back.go_on.set()

    assert not await loading
    assert await shard.stored() == before
    assert await serves(shard)


async def test_a_ledger_that_is_set_back_during_a_load_is_noticed(shard: LoadedShard) -> None:
    """What was read is of one moment, and that is over: the shard is loaded anew from what the ledger has now."""
    await shard.lose(blank=True)
    row = await shard.row()
    begun, fenced = await shard.begin_takeover("first")
    held_back = HeldBackTarget(shard, parts=2)
    loading = asyncio.ensure_future(shard.load_in(begun, fenced, held_back))
    await held_back.reached.wait()
    async with connected(shard.dsn) as db:
        await db.execute("update shard_watermark set epoch = $1, seq = $2", *row.commit_id)
    held_back.go_on.set()

    assert not await loading
    assert (await shard.shards.status(0)).void


async def test_a_redis_that_restarts_during_a_load_is_loaded_anew(start_valkey: StartValkey, database: str) -> None:
    """Its identity is another, so no part of the earlier load is taken; what it has on disk is void."""
    server = start_valkey()
    shard = await sold(server.address, database)
    before = await shard.stored()
    await shard.lose(blank=True)
    begun, fenced = await shard.begin_takeover("first")
    held_back = HeldBackTarget(shard, parts=3)
    loading = asyncio.ensure_future(shard.load_in(begun, fenced, held_back))
    await held_back.reached.wait()
    await restart(server, shard)
    held_back.go_on.set()

    assert not await loading_ended_well(loading)
    assert (await shard.shards.status(0)).void
    begun, fenced = await shard.begin_takeover("next")
    assert await shard.load_in(begun, fenced)

    assert await shard.stored() == before
    await shard.close()


async def loading_ended_well(loading: "asyncio.Future[bool]") -> bool:
    try:
        return await loading
    except RedisUnavailable:  # its connection was closed by the restart
        return False


async def restart(server: Valkey, shard: LoadedShard) -> None:
    """Kill Redis and start it on its files."""
    server.kill()
    server.start()

    async def answers() -> bool:
        """Redis answers."""
        try:
            return bool(await shard.ask("EXISTS", CLOCK_KEY))
        except RedisUnavailable:
            return False

    await eventually(answers)


class HeldBackTarget(RedisLoadTarget):
    """Stops before a part until it is let go on."""

    def __init__(self, shard: LoadedShard, parts: int) -> None:
        super().__init__(shard.target_scripts)
        self._parts = parts
        self.reached, self.go_on = asyncio.Event(), asyncio.Event()

    async def write_part(self, takeover: BegunTakeover, number: int, sales: Sequence[SalePart]) -> bool:
        if number == self._parts:
            self.reached.set()
            await self.go_on.wait()
        return await super().write_part(takeover, number, sales)
