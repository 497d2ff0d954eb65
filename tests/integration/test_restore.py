"""`holdfast restore`: what it opens, what it asks for, what it says, and how it ends."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from inventory_service.domain.restore import ON_REQUEST
from inventory_service.domain.shards import RedisUnavailable, ShardStatus
from inventory_service.service import restore
from tests.integration.altered_redis import change_meta, fork, set_back
from tests.integration.restored import Restored, insert_sales
from tests.integration.shard_processes import ShardProcesses
from tests.servers import flush
from tests.waiting import eventually

LOSS = ON_REQUEST._replace(loss=True, accepted_by="ann@desk")


@pytest.fixture
async def drained(processes: ShardProcesses) -> AsyncIterator[ShardProcesses]:
    """Two shards, one with four commits, all of them in the ledger, and a persister at work."""
    async with processes.at_work():
        await processes.commit(count=4)
        await eventually(processes.is_drained)
    await insert_sales(processes)
    async with processes.persister.running():
        yield processes


async def test_it_loads_a_blank_redis_and_opens_what_the_ledger_has_nothing_of(drained: ShardProcesses) -> None:
    """Nothing that is known is lost; afterwards it has nothing to do."""
    await flush(drained.redis_url)

    restored = await Restored(drained).run()

    assert restored.code == 0
    assert restored.lines == ["shard 0 was loaded from the ledger", "shard 1 was opened as it is"]
    assert (await Restored(drained).run()).lines == ["shard 0 serves", "shard 1 serves"]


async def test_a_dry_run_says_the_same_and_does_nothing(drained: ShardProcesses) -> None:
    """An operator sees first what is meant to happen."""
    await set_back(drained, 2)
    before = await drained.status()

    restored = await Restored(drained).run(dry_run=True)

    assert (restored.code, restored.lines[0]) == (0, "shard 0 would be loaded from the ledger: Redis is BEHIND")
    assert await drained.status() == before


@pytest.mark.parametrize("dry_run", [False, True])
async def test_a_loss_is_never_accepted_unasked(drained: ShardProcesses, dry_run: bool) -> None:
    """The line says what would be lost, and how to accept it."""
    await fork(drained)

    restored = await Restored(drained).run(dry_run=dry_run)

    assert restored.code == 1
    assert restored.lines[0].startswith("shard 0 is not opened: ")
    assert restored.lines[0].endswith("gives it up with --accept-loss")
    assert not await drained.serves()


async def test_an_accepted_loss_is_counted(drained: ShardProcesses) -> None:
    """What was dropped is listed, for people to make good."""
    await fork(drained)

    restored = await Restored(drained).run(LOSS)

    line = "shard 0 was loaded from the ledger: 1 dropped changes are listed by `holdfast orphans`"
    assert (restored.code, restored.lines[0]) == (0, line)


async def test_one_shard_alone_is_loaded_by_force(drained: ShardProcesses) -> None:
    """It serves and its contents differ: the others are left alone."""
    restored = await Restored(drained).run(ON_REQUEST._replace(force=True), only=0, as_json=True)

    result: Any = json.loads(restored[0])
    assert (restored.code, result["serving"]) == (0, True)
    assert [(shard["shard"], shard["state"]) for shard in result["shards"]] == [(0, restore.State.LOADED.value)]


async def test_what_neither_store_has_is_not_for_it(processes: ShardProcesses) -> None:
    """Nothing is lost, so nothing is restored: the installation is new."""
    async with processes.connected() as db:
        await db.execute("delete from shard_epoch; delete from shard_watermark")
    await flush(processes.redis_url)

    restored = await Restored(processes).run(only=0)

    assert restored.code == 1
    assert restored.lines[0].endswith("run `holdfast init`")


async def test_without_a_persister_it_ends_and_says_where_it_stands(
    processes: ShardProcesses, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kafka may have what the ledger lacks; the command may be run again."""
    monkeypatch.setattr(restore, "STALL_S", 0.5)
    async with processes.relaying():
        await processes.commit(count=2)
        await eventually(lambda: is_sent(processes, 2))
    await change_meta(processes, "owner", "another")

    restored = await Restored(processes).run(only=0)

    assert restored.code == 2
    assert "has read its records up to 0; check that `holdfast persist`" in restored.lines[0]


async def test_a_server_that_goes_away_is_named(drained: ShardProcesses, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit code 2: nothing is known, and the command may be run again."""

    async def unavailable(shard: int) -> ShardStatus:
        raise RedisUnavailable("connection refused")

    monkeypatch.setattr(drained.shards, "status", unavailable)

    restored = await Restored(drained).run(only=0)

    assert restored.code == 2
    assert "Redis does not answer: connection refused; start it, and run `holdfast restore` again" in restored.lines[0]


async def test_a_load_that_differs_ends_with_one(drained: ShardProcesses) -> None:
    """The books of the ledger contradict themselves: loading them again does not help."""
    async with drained.connected() as db:
        await db.execute(
            "insert into item (tenant, sale_id, sku, total, available, held, sold, buyer_limit)"
            " select tenant, sale_id, 'lamp', 1, 1, 0, 0, 0 from sale limit 1"
        )
    await set_back(drained, 2)

    restored = await Restored(drained).run(only=0)

    assert restored.code == 1
    assert restored.lines[0].startswith("shard 0 serves, and differs from the ledger: ")


def is_sent(processes: ShardProcesses, commits: int) -> bool:
    """So many commits are in the outbox, and Kafka has them all."""
    backlog = processes.gauges.shown.get(0)
    return backlog is not None and (backlog.sends, backlog.outbox, backlog.unsent) == (True, commits, 0)
