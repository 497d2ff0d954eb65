"""A take-over that finds Redis and the ledger different: what it loads by itself, and what it leaves to an operator."""

from collections.abc import AsyncIterator

import pytest
from holdfast.inventory.v1.commit_pb2 import Claim, CommitBody, Event, ReservationChange
from holdfast.inventory.v1.reservation_pb2 import RESERVATION_STATE_HELD

from inventory_service.adapters.redis.keys import shard_keys
from inventory_service.domain.restore import AUTOMATIC, NOTHING, ON_REQUEST, Permission
from inventory_service.domain.shards import LOADED, BegunTakeover, CommitId, hash_of
from inventory_service.service.relay import loader
from inventory_service.service.relay.takeover import ACCEPTED_LOSS, Ending
from tests.integration.shard_processes import ShardProcesses, first_steps
from tests.servers import connected, flush
from tests.waiting import eventually

BEHIND, ALWAYS, ASK = AUTOMATIC["behind"], AUTOMATIC["always"], AUTOMATIC["ask"]
LOSS = Permission(behind=True, blank=True, loss=True, accepted_by="ann@desk")


@pytest.fixture
async def drained(processes: ShardProcesses) -> AsyncIterator[ShardProcesses]:
    """A shard with four commits, all of them in the ledger, and a persister at work."""
    async with processes.at_work():
        await processes.commit(count=4)
        await eventually(processes.is_drained)
    async with processes.persister.running():
        yield processes


async def set_back(processes: ShardProcesses, seq: int) -> None:
    """Make Redis forget the commits above one, as a copy of that moment would; it is not the same Redis any more."""
    async with connected(processes.dsn) as db:
        hash = await db.fetchval("select hash from journal where shard = 0 and seq = $1", seq)
    await change_meta(processes, "seq", seq, "hash", hash, "trim_seq", seq, "trim_hash", hash, "owner", "of-the-copy")


async def change_meta(processes: ShardProcesses, *fields: str | int) -> None:
    async with processes.connections.acquire() as connection:
        await connection.execute("HSET", shard_keys(0).meta, *fields)


async def fork(processes: ShardProcesses) -> CommitId:
    """Make Redis forget the last commit and make another one: a hold of r-1 that the ledger can never take."""
    await set_back(processes, 3)
    status = await processes.status()
    claim = Claim(tenant="default", sale_id="sale-1", reservation_id="r-1", buyer_id="ann")
    claim.lines.add(sku="lamp", quantity=2)
    change = ReservationChange(claim=claim, state=RESERVATION_STATE_HELD, revision=1)
    payload = CommitBody(time_ms=1, events=[Event(reservation=change)]).SerializeToString()
    head = CommitId(status.epoch, 4)
    hash = hash_of(status.hash, payload)
    async with processes.connections.acquire() as connection:
        await connection.execute("DEL", shard_keys(0).outbox)
        await connection.execute("XADD", shard_keys(0).outbox, str(head), "p", payload, "h", hash)
    await change_meta(processes, "seq", 4, "hash", hash)
    return head


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


async def test_what_was_begun_is_finished_by_any_relay(drained: ShardProcesses) -> None:
    """Whoever loaded it died: what Redis had is given up already, so nobody need be asked."""
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


async def test_a_load_that_goes_on_is_left_alone(drained: ShardProcesses, monkeypatch: pytest.MonkeyPatch) -> None:
    """The patience with another process' take-over begins anew with each part, also while the ledger is being read."""
    monkeypatch.setattr(loader, "RENEW_S", 0.05)
    await set_back(drained, 2)
    drained.may_read.clear()

    async with drained.relaying(permission=BEHIND, takeover_timeout_s=1.0):
        await eventually(lambda: is_loading(drained))
        token = (await drained.status()).takeover_token
        async with drained.relaying(permission=BEHIND, takeover_timeout_s=1.0):
            await eventually(lambda: has_written(drained, 40))
            assert (await drained.status()).takeover_token == token
            drained.may_read.set()
            await eventually(drained.serves)


async def is_loading(processes: ShardProcesses) -> bool:
    """A load has begun."""
    return (await processes.status()).void


async def has_written(processes: ShardProcesses, parts: int) -> bool:
    """So many parts are written."""
    return (await processes.status()).parts >= parts


async def is_frozen(processes: ShardProcesses, words: str) -> bool:
    """The shard is frozen, for this among other reasons."""
    return words in (await processes.status()).frozen_reason


async def flush_redis(processes: ShardProcesses) -> None:
    await flush(processes.redis_url)
