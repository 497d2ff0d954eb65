"""The take-over: no shard serves before it was compared with the ledger, whatever crashes, restarts or comes twice."""

import asyncio
from typing import Any

from holdfast_embedded.valkey import Valkey

from inventory_service.adapters.redis.keys import shard_keys
from inventory_service.domain.shards import BegunTakeover
from inventory_service.service.relay.catch_up import CatchUp
from inventory_service.service.relay.takeover import Ending
from tests.fences import fenced
from tests.integration.shard_processes import SHARDS, ShardProcesses
from tests.integration.shard_steps import crash, first_steps, is_in_kafka, journal_of, serves_anew
from tests.servers import connected
from tests.waiting import eventually


async def test_a_restarted_redis_serves_again_under_the_next_epoch(processes: ShardProcesses, server: Valkey) -> None:
    """The commits of its outbox reach the ledger first: an acknowledged order is never lost."""
    await processes.commit(count=5)
    await crash(processes, server)
    assert not await processes.serves()

    async with processes.at_work():
        await eventually(processes.serves)

    row = await processes.ledger.row(0)
    assert row is not None
    assert row.epoch > processes.epoch
    assert (row.seq, row.hash) == (0, (await processes.status()).hash)
    assert len(await journal_of(processes)) == 5


async def test_commits_continue_in_the_new_epoch(processes: ShardProcesses, server: Valkey) -> None:
    """The chain runs across epochs, so the ledger can check that no commit is missing."""
    async with processes.at_work():
        await processes.commit(count=2)
        await crash(processes, server)
        await eventually(processes.serves)

        last = await processes.commit(count=3)
        await eventually(processes.is_drained)

    assert (last.epoch, last.seq) == ((await processes.status()).epoch, 3)
    assert last.epoch > processes.epoch
    assert len(await journal_of(processes)) == 5


async def test_a_restarted_redis_waits_for_a_ledger_that_is_behind(processes: ShardProcesses, server: Valkey) -> None:
    """After the fence, the ledger drops commits of the old epoch that it has not applied."""
    await processes.commit(count=5)
    await crash(processes, server)
    async with processes.relaying():
        await eventually(lambda: is_in_takeover(processes))
        await eventually(lambda: is_in_kafka(processes))
        assert (await processes.ledger.row(0)).epoch == processes.epoch  # type: ignore[union-attr]

        async with processes.persister.running():
            await eventually(processes.serves)

    assert len(await journal_of(processes)) == 5


async def test_redis_learns_from_a_take_over_what_the_ledger_knows(processes: ShardProcesses, server: Valkey) -> None:
    """What is settled, below which nothing is compensated any more, and the commit on which the epoch builds."""
    async with processes.persister.running():
        async with processes.relaying():
            await processes.commit(count=5)
            await eventually(processes.is_drained)
        await eventually(lambda: has_read_all(processes))
    async with connected(processes.dsn) as db:
        await db.execute("update shard_watermark set settled_seq = 2 where shard = 0")

        await crash(processes, server)
        async with processes.relaying():
            await eventually(processes.serves)

        began = await db.fetchrow("select * from shard_epoch where shard = 0 order by epoch desc limit 1")
    epoch = (await processes.status()).epoch
    assert began is not None
    assert tuple(began)[:6] == (0, epoch, processes.epoch, 5, (await processes.status()).hash, "ADOPTED")
    fields = ("settled_epoch", "settled_seq", "base_epoch", "base_seq")
    async with processes.connections.acquire() as connection:
        known: Any = await connection.execute("HMGET", shard_keys(0).meta, *fields)
    assert [int(value) for value in known] == [processes.epoch, 2, processes.epoch, 5]


async def test_the_fence_waits_for_the_outbox(processes: ShardProcesses, server: Valkey) -> None:
    """It may not be sent yet: the relay goes on sending during a take-over."""
    await processes.commit(count=5)
    await crash(processes, server)
    takeover = processes.takeover()
    _, begun = await first_steps(takeover, 2)
    draining = asyncio.ensure_future(takeover.catch_up(begun))

    async with processes.at_work(takeover_timeout_s=60):
        assert (await draining).how is CatchUp.DONE

    row = await processes.ledger.row(0)
    assert row is not None
    assert (row.epoch, row.seq) == (processes.epoch, 5)


async def test_concurrent_take_overs_open_the_shard_once(processes: ShardProcesses, server: Valkey) -> None:
    """The fence is a compare-and-set and a token has one owner, so the shard serves under one epoch."""
    await crash(processes, server)

    while not await processes.serves():
        await asyncio.gather(*(processes.takeover().attempt(0) for _ in range(4)))

    status, row = await processes.status(), await processes.ledger.row(0)
    assert row is not None
    assert (status.epoch, status.hash) == (row.epoch, row.hash)
    assert await processes.commit() == (row.epoch, 1)


async def test_a_take_over_that_dies_at_any_step_is_completed_by_another_relay(
    processes: ShardProcesses, server: Valkey
) -> None:
    """It leaves a token, a fenced ledger or both; the next take-over begins at the first step."""
    async with processes.persister.running():
        for steps in range(1, 5):
            await crash(processes, server)
            await first_steps(processes.takeover(), steps)
            assert not await processes.serves()

            async with processes.relaying():
                await eventually(processes.serves)
                await processes.commit()
                await eventually(processes.is_drained)


async def test_a_delayed_take_over_changes_nothing(processes: ShardProcesses, server: Valkey) -> None:
    """It was overtaken: neither its fence nor its adoption may touch what another serves."""
    await crash(processes, server)
    delayed = processes.takeover()
    row, before = await first_steps(delayed, 2)
    assert (await processes.takeover().attempt(0)).ending is Ending.ADOPTED
    serving = await processes.status()

    assert await delayed.fence(before, row) is None
    assert not await delayed.adopt(before, fenced(before, row.epoch + 1, SHARDS))

    assert await processes.status() == serving


async def test_a_redis_that_restarts_during_a_take_over_is_not_adopted(
    processes: ShardProcesses, server: Valkey
) -> None:
    """It may have come back from an older copy between the two."""
    await crash(processes, server)
    takeover = processes.takeover()
    row, before = await first_steps(takeover, 2)
    opened = await takeover.fence(before, row)
    assert opened is not None

    await crash(processes, server)

    assert not await takeover.adopt(before, opened)
    assert (await takeover.catch_up(before)).how is CatchUp.REPLACED


async def test_a_redis_of_a_newer_epoch_is_not_taken_over(processes: ShardProcesses) -> None:
    """The row that the take-over read is old, or the ledger was set back; its fence would fail."""
    assert await processes.shards.begin_takeover(0, "t", 0, also_serving=False) == "NEWER_EPOCH"


async def test_a_serving_shard_is_taken_over_only_if_the_ledger_is_frozen(processes: ShardProcesses) -> None:
    """Otherwise a take-over that comes late would stop a shard that another has just opened."""
    assert await processes.shards.begin_takeover(0, "t", processes.epoch, also_serving=False) == "SERVING"
    assert await processes.serves()

    assert isinstance(await processes.shards.begin_takeover(0, "t", processes.epoch, also_serving=True), BegunTakeover)
    assert not await processes.serves()


async def test_a_frozen_shard_that_agrees_is_opened_again(processes: ShardProcesses) -> None:
    """The fence clears the reason in the ledger, and the adoption that in Redis."""
    async with processes.at_work():
        await processes.commit(count=2)
        await eventually(processes.is_drained)
        async with connected(processes.dsn) as db:
            await db.execute("update shard_watermark set frozen_reason = 'UNREADABLE: a test' where shard = 0")

        await eventually(lambda: serves_anew(processes))

    row = await processes.ledger.row(0)
    assert row is not None
    assert not row.frozen_reason


async def test_the_first_reason_of_a_frozen_shard_stays(processes: ShardProcesses) -> None:
    """It is the cause. Take-overs append one reason of their own, which a later one replaces."""
    await processes.shards.freeze(0, processes.epoch, "HASH_DIFFERS: once")
    await processes.shards.freeze(0, processes.epoch, "LEDGER_WENT_BACK: later")
    assert (await processes.status()).frozen_reason == "HASH_DIFFERS: once"

    for reason in ("NEEDS_RESTORE: at 1-3", "NEEDS_RESTORE: at 1-4"):
        begun = await processes.shards.begin_takeover(0, "t", processes.epoch, also_serving=False)
        assert isinstance(begun, BegunTakeover)
        assert await processes.shards.freeze(0, processes.epoch, reason, "t")

    assert (await processes.status()).frozen_reason == "HASH_DIFFERS: once; NEEDS_RESTORE: at 1-4"


async def has_read_all(processes: ShardProcesses) -> bool:
    """The ledger has read what Kafka has, also what a relay sent twice."""
    row, offsets = await processes.ledger.row(0), await processes.commit_offsets.offsets(0)
    return row is not None and row.read_offset == offsets.end


async def is_in_takeover(processes: ShardProcesses) -> bool:
    """A take-over has set its token in the shard."""
    return bool((await processes.status()).takeover_token)
