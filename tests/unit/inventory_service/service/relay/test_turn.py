"""When a process takes a shard over beside others: take-overs that go on are left alone, loads wait outside of one."""

import asyncio
from contextlib import AbstractAsyncContextManager
from typing import cast

from inventory_service.domain.restore import ON_REQUEST, Permission
from inventory_service.domain.shard_ports import Shards
from inventory_service.domain.shards import ShardStatus
from inventory_service.service.relay.load_slots import LoadSlots
from inventory_service.service.relay.takeover import Attempt, Ending, ShardTakeover
from inventory_service.service.relay.turn import TAKEOVER_TIMEOUT_S, ShardTurn
from tests.waiting import eventually

FORCE = ON_REQUEST._replace(force=True)
CLOSED = ShardStatus(0, "redis", 1, 1, 0, "", 0, "one before", "", "", 0)


class FakeTakeover:
    """Its attempts load the shard if a slot is free."""

    def __init__(self) -> None:
        self.slots = LoadSlots()
        self.attempts = 0

    async def attempt(self, shard: int, permission: Permission) -> Attempt:
        self.attempts += 1
        async with self.slots.take(shard) as has_slot:
            return Attempt(Ending.LOADED if has_slot else Ending.LOADER_BUSY)

    def loader_slot(self, shard: int) -> AbstractAsyncContextManager[None]:
        return self.slots.wait(shard)

    def started(self, shard: int, token: str) -> bool:
        return token == "own"


class Beside:
    """A process beside another one that takes shard 0 over."""

    def __init__(self) -> None:
        self.now = 100.0
        self.found = CLOSED
        self.takeover = FakeTakeover()
        self.turn = ShardTurn(0, cast(Shards, self), cast(ShardTakeover, self.takeover), lambda: self.now)

    async def status(self, shard: int) -> ShardStatus:
        return self.found

    async def is_loaded(self, permission: Permission = ON_REQUEST) -> bool:
        return await self.turn.attempt(self.found, permission) == Attempt(Ending.LOADED)


async def test_a_load_that_is_renewed_is_left_alone() -> None:
    """Whether it writes parts or reads the ledger; a while after the last sign of it, its process has died."""
    beside = Beside()
    beside.found = CLOSED._replace(takeover_token="other")
    for change in (
        {"renewals": 1},
        {"renewals": 2},
        {"renewals": 3},
        {"parts": 1},
        {"parts": 2},
        {"takeover_token": "third"},
    ):
        beside.now += TAKEOVER_TIMEOUT_S - 1
        beside.found = beside.found._replace(**change)
        assert not await beside.is_loaded()
    assert beside.takeover.attempts == 0

    beside.now += TAKEOVER_TIMEOUT_S

    assert await beside.is_loaded()


async def test_neither_force_nor_an_attempt_of_its_own_waits() -> None:
    """What is loaded by force was asked for by an operator, who sees what goes on."""
    beside = Beside()
    beside.found = CLOSED._replace(takeover_token="own")
    assert await beside.is_loaded()

    beside.found = CLOSED._replace(takeover_token="other")

    assert not await beside.is_loaded()
    assert await beside.is_loaded(FORCE)


async def test_a_shard_waits_for_its_turn_outside_of_a_take_over() -> None:
    """Its token would stand without a sign of life meanwhile, and other processes would take it for abandoned."""
    beside = Beside()
    async with beside.takeover.slots.wait(1), beside.takeover.slots.wait(2):
        loading = asyncio.ensure_future(beside.is_loaded())
        await eventually(lambda: beside.turn.waits_for_slot)
        assert beside.takeover.attempts == 1

    assert await loading
    assert (beside.takeover.attempts, beside.turn.waits_for_slot) == (2, False)


async def test_what_another_process_loads_meanwhile_is_not_stolen() -> None:
    """It found the shard while this one waited."""
    beside = Beside()
    async with beside.takeover.slots.wait(1), beside.takeover.slots.wait(2):
        loading = asyncio.ensure_future(beside.is_loaded())
        await eventually(lambda: beside.turn.waits_for_slot)
        beside.found = CLOSED._replace(takeover_token="other", renewals=1)

    assert not await loading
    assert beside.takeover.attempts == 1
