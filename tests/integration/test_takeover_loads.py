"""A take-over that finds Redis and the ledger different: what it loads by itself, and what it leaves to an operator."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from inventory_service.domain.restore import AUTOMATIC, NOTHING, ON_REQUEST, Permission
from inventory_service.domain.shards import LOADED, BegunTakeover
from inventory_service.service.relay import loader
from inventory_service.service.relay.takeover import ACCEPTED_LOSS, Ending
from tests.integration.altered_redis import change_meta, fork, set_back
from tests.integration.shard_processes import ShardProcesses
from tests.integration.shard_steps import first_steps
from tests.servers import connected, flush
from tests.waiting import eventually

BEHIND, ALWAYS, ASK = AUTOMATIC["behind"], AUTOMATIC["always"], AUTOMATIC["ask"]
PATIENCE_S, RENEW_S = 4.0, 0.05  # the former is more than a busy machine halts a process for
LOSS = Permission(behind=True, blank=True, loss=True, accepted_by="ann@desk")


@pytest.fixture
async def drained(processes: ShardProcesses) -> AsyncIterator[ShardProcesses]:
    """A shard with four commits, all of them in the ledger, and a persister at work."""
    async with processes.at_work():
        await processes.commit(count=4)
        await eventually(processes.is_drained)
    async with processes.persister.running():
        yield processes


async def how_begun(processes: ShardProcesses) -> tuple[str, bool, str | None]:
    """How the newest epoch began, whether commits were known to be lost, and who accepted that."""
    async with connected(processes.dsn) as db:
        row = await db.fetchrow(
            "select how, known_lost, accepted_by from shard_epoch where shard = 0 order by epoch desc"
        )
    assert row is not None
    return tuple(row)


async def test_a_redis_that_is_behind_is_loaded_by_itself(drained: ShardProcesses) -> None:
    """What it forgot is in the ledger, so nothing is lost by loading it."""
    await set_back(drained, 2)

    attempt = await drained.takeover().attempt(0, BEHIND)

    status, row = await drained.status(), await drained.ledger.row(0)
    assert row is not None
    assert (attempt.ending, status.serving, status.hash) == (Ending.LOADED, True, row.hash)
    assert await how_begun(drained) == (LOADED, False, None)


async def test_a_redis_at_the_start_of_an_epoch_is_behind_too(drained: ShardProcesses) -> None:
    """No commit of that epoch was in the copy, but the ledger knows on which commit the epoch builds."""
    base = await drained.status()
    await change_meta(drained, "owner", "another")
    assert (await drained.takeover().attempt(0)).ending is Ending.ADOPTED
    epoch = (await drained.status()).epoch
    async with drained.relaying():
        await drained.commit(count=2)
        await eventually(drained.is_drained)
    await change_meta(drained, "seq", 0, "hash", base.hash, "trim_seq", 0, "trim_hash", base.hash, "owner", "another")
    assert epoch > base.epoch

    assert (await drained.takeover().attempt(0, BEHIND)).ending is Ending.LOADED


@pytest.mark.parametrize("permission", [ASK, BEHIND], ids=["ask", "behind"])
async def test_a_blank_redis_waits_for_an_operator(drained: ShardProcesses, permission: Permission) -> None:
    """It may be the wrong address or the wrong files, and the right ones may hold more."""
    await flush_redis(drained)

    async with drained.relaying(permission=permission):
        await eventually(lambda: is_frozen(drained, "`holdfast restore --shard 0` loads it"))

    assert (await drained.takeover().attempt(0, ON_REQUEST)).ending is Ending.LOADED
    assert await drained.serves()


async def test_a_blank_redis_is_loaded_if_that_is_set(drained: ShardProcesses) -> None:
    """HOLDFAST_RESTORE=always is for those who would only ever say yes."""
    await flush_redis(drained)

    async with drained.relaying(permission=ALWAYS):
        await eventually(drained.serves)


async def test_nothing_is_loaded_that_an_operator_is_to_be_asked_for(drained: ShardProcesses) -> None:
    """With HOLDFAST_RESTORE=ask also a Redis that is behind waits."""
    await set_back(drained, 2)

    attempt = await drained.takeover().attempt(0, ASK)

    assert attempt.ending is Ending.NEEDS_RESTORE
    assert await is_frozen(drained, "`holdfast restore --shard 0` opens it")


async def test_a_loss_has_to_be_accepted_and_is_listed(drained: ShardProcesses) -> None:
    """Promise 8: Redis holds a commit that the ledger cannot take, and callers heard of it."""
    head = await fork(drained)
    assert (await drained.takeover().attempt(0, ON_REQUEST)).ending is Ending.NEEDS_RESTORE
    assert await is_frozen(drained, "gives it up with --accept-loss")

    attempt = await drained.takeover().attempt(0, LOSS)

    assert (attempt.ending, attempt.orphans) == (Ending.LOADED, 1)
    assert await how_begun(drained) == (LOADED, True, "ann@desk")
    async with connected(drained.dsn) as db:
        orphan = await db.fetchrow("select epoch, seq, index, reservation_id, buyer_id, state, why from orphan")
    assert orphan is not None
    assert tuple(orphan) == (*head, 0, "r-1", "ann", "HELD", ACCEPTED_LOSS)


async def test_an_equal_shard_is_loaded_only_by_force(drained: ShardProcesses) -> None:
    """Its contents differ although its commits are the ledger's: an audit found it."""
    before = await drained.status()
    assert (await drained.takeover().attempt(0, ON_REQUEST)).ending is Ending.SERVING

    attempt = await drained.takeover().attempt(0, ON_REQUEST._replace(force=True))

    status = await drained.status()
    assert (attempt.ending, status.serving, status.hash) == (Ending.LOADED, True, before.hash)


@pytest.mark.parametrize("blank", [True, False], ids=["blank", "behind"])
async def test_a_redis_without_room_for_what_the_ledger_has_stays_as_it_is(
    drained: ShardProcesses, blank: bool
) -> None:
    """Nothing is begun, neither in Redis nor an epoch of the ledger, until an operator raises its `maxmemory`."""
    await insert_hold(drained)
    if blank:
        await flush_redis(drained)
    else:
        await set_back(drained, 2)
    before = await drained.ledger.row(0)
    async with limited_memory(drained):
        attempt = await drained.takeover().attempt(0, ON_REQUEST)

    assert attempt.ending is Ending.NEEDS_RESTORE
    assert await is_frozen(drained, "and 1 reservations and 1 buyers need about 0.0 MiB more: raise its maxmemory")
    assert not await is_loading(drained)
    assert await drained.ledger.row(0) == before
    assert (await drained.takeover().attempt(0, ON_REQUEST)).ending is Ending.LOADED


async def insert_hold(processes: ShardProcesses) -> None:
    """A sale with one hold in the ledger."""
    async with processes.connected() as db:
        await db.execute(
            """insert into sale (tenant, sale_id, title, start_time, hold_ttl_ms, max_hold_ttl_ms, buyer_limit,
               create_time, update_time, shard, etag_epoch, etag_seq, etag_index, body, attempts_per_minute,
               return_window_ms) values ('default', 's', '', now(), 1, 1, 0, now(), now(), 0, 1, 1, 0, '', 0, 0)"""
        )
        await db.execute(
            """insert into reservation (tenant, sale_id, reservation_id, buyer_id, state, revision, create_time,
               update_time, expire_time, shard, created_epoch, created_seq, created_index, epoch, seq, index,
               ledger_state, note, asked_hold_ms, reference)
               values ('default', 's', 'r-1', 'ann', 'HELD', 1, now(), now(), now(), 0, 1, 1, 0, 1, 1, 0,
                       'RECORDED', '', 0, '')"""
        )
        await db.execute("insert into reservation_line values ('default', 's', 'r-1', 'lamp', 1, 0, 0, 1)")


@asynccontextmanager
async def limited_memory(processes: ShardProcesses) -> AsyncIterator[None]:
    """Redis uses more than its `maxmemory` inside the block; no key is evicted for it."""
    async with processes.connections.acquire() as connection:
        await connection.execute("CONFIG", "SET", "maxmemory", 1)
    try:
        yield
    finally:
        async with processes.connections.acquire() as connection:
            await connection.execute("CONFIG", "SET", "maxmemory", 0)


async def test_what_was_begun_is_finished_by_any_relay(drained: ShardProcesses) -> None:
    """The relay that loaded it died: what Redis had is given up already, so no operator is asked."""
    await set_back(drained, 2)
    row, begun = await first_steps(drained.takeover(), 2)
    assert isinstance(begun, BegunTakeover)
    fenced = await drained.ledger.fence(row, begun.epoch, LOADED)
    assert fenced is not None
    target = drained.load_target()
    await target.begin_load(begun, 0)
    await target.write_part(begun, 1, [])

    async with drained.relaying(permission=NOTHING):
        await eventually(drained.serves)


@pytest.mark.parametrize("slow", ["may_count", "may_read"], ids=["before it begins", "before its first part"])
async def test_a_load_that_goes_on_is_left_alone(
    drained: ShardProcesses, monkeypatch: pytest.MonkeyPatch, slow: str
) -> None:
    """The ledger is slow. The patience with another process' take-over begins anew with each renewal."""
    monkeypatch.setattr(loader, "RENEW_S", RENEW_S)
    await set_back(drained, 2)
    ledger: asyncio.Event = getattr(drained, slow)
    ledger.clear()

    async with drained.relaying(permission=BEHIND, takeover_timeout_s=PATIENCE_S):
        await eventually(lambda: is_renewed(drained, 1))
        token = (await drained.status()).takeover_token
        async with drained.relaying(permission=BEHIND, takeover_timeout_s=PATIENCE_S):
            await eventually(lambda: is_renewed(drained, round(1.2 * PATIENCE_S / RENEW_S)))
            assert (await drained.status()).takeover_token == token
            ledger.set()
            await eventually(drained.serves)


async def is_loading(processes: ShardProcesses) -> bool:
    """A load has begun."""
    return (await processes.status()).void


async def is_renewed(processes: ShardProcesses, times: int) -> bool:
    """The take-over was renewed so often."""
    return (await processes.status()).renewals >= times


async def is_frozen(processes: ShardProcesses, words: str) -> bool:
    """The shard is frozen, for this among other reasons."""
    return words in (await processes.status()).frozen_reason


async def flush_redis(processes: ShardProcesses) -> None:
    await flush(processes.redis_url)
