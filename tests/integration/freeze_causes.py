"""What freezes a shard, each done to real servers, and what repairs those causes that can be repaired."""

import time

from inventory_service.domain.shards import ADOPTED, CommitId, Offsets, hash_of
from tests.integration.altered_redis import change_meta, fork, set_back
from tests.integration.selling_shard import SellingShard
from tests.waiting import eventually


async def redis_forgot(shard: SellingShard) -> None:
    """No running process knows that it had more, and it is the same Redis."""
    await set_back(shard.processes, 2, owner=(await shard.processes.status()).identity)


async def redis_forgot_what_a_process_observed(shard: SellingShard) -> None:
    """The next process that asks it stops it."""
    await redis_forgot(shard)
    assert (await shard.processes.status()).frozen_reason


async def redis_forgot_and_sold_on(shard: SellingShard) -> None:
    """It has another commit in the place of the last one, as Redis finds by a report, or the persister by itself."""
    await fork(shard.processes, owner=(await shard.processes.status()).identity)


async def a_twin_sent_another_commit(shard: SellingShard) -> None:
    """In the place of one that the ledger has."""
    await shard.commits.publish(0, [(await shard.last_in_ledger())._replace(hash="0" * 40)])


async def a_twin_sent_another_commit_and_more(shard: SellingShard) -> None:
    """What it made beyond the ledger's last commit its callers may know of."""
    last = await shard.last_in_ledger()
    other = last._replace(hash="0" * 40)
    beyond = last._replace(seq=last.seq + 1, hash=hash_of(other.hash, last.payload))
    await shard.commits.publish(0, [other, beyond])


async def the_shard_was_opened_elsewhere(shard: SellingShard) -> None:
    """And this Redis has a commit that it has not sent."""
    await shard.hold("r-4")
    row = await shard.processes.ledger.row(0)
    assert row is not None
    assert await shard.processes.ledger.fence(row, row.epoch, ADOPTED)


async def an_epoch_began_on_another_ledger(shard: SellingShard) -> None:
    """Its first commit does not follow from what this one holds.

    An epoch is a second since 1970, or the one after the last. The one that begins here is to be another.
    """
    last = await shard.last_in_ledger()
    await eventually(lambda: time.time() > last.epoch + 2)
    await shard.commits.publish(0, [last._replace(epoch=last.epoch + 1, seq=1)])


async def a_commit_was_altered_on_its_way(shard: SellingShard) -> None:
    """The outbox has the true one."""
    await shard.hold("r-4")
    [true] = await shard.outbox()
    time_ms = bytes([true.payload[1] ^ 1])  # a bit of it; the payload still decodes
    await shard.commits.publish(0, [true._replace(payload=true.payload[:1] + time_ms + true.payload[2:])])


async def the_outbox_lost_a_commit(shard: SellingShard) -> None:
    """It was not sent yet, and the one behind it was not either."""
    await shard.hold("r-4", "r-5")
    await shard.drop_from_outbox((await shard.outbox())[0])


async def a_constraint_refuses_releases(shard: SellingShard) -> None:
    """One that an operator made by mistake."""
    await shard.sql("alter table reservation add constraint a_mistake check (state <> 'RELEASED')")
    await shard.release("r-1")


async def the_constraint_is_dropped(shard: SellingShard) -> None:
    await shard.sql("alter table reservation drop constraint a_mistake")


async def the_journal_has_a_commit_too_many(shard: SellingShard) -> None:
    """Its table was restored, and the shard's row was not."""
    await shard.hold("r-4")
    [new] = await shard.outbox()
    await shard.sql(
        f"insert into journal (shard, epoch, seq, hash, payload) values (0, {new.epoch}, {new.seq}, '', '')"
    )


async def that_commit_is_deleted(shard: SellingShard) -> None:
    await shard.sql("delete from journal where hash = ''")


async def a_hand_took_units_from_the_ledger(shard: SellingShard) -> None:
    await shard.sql("update item set available = 0, sold = available")
    await shard.hold("r-4")


async def the_units_are_put_back(shard: SellingShard) -> None:
    await shard.sql("update item set available = sold, sold = 0")


async def redis_sold_what_there_is_not(shard: SellingShard) -> None:
    """A hand gave it a unit; the ledger has seven left, and there is nothing to repair in it."""
    await shard.set_units(available=8)
    await shard.hold("r-4", lamps=8)


async def redis_wrote_what_no_persister_can_read(shard: SellingShard) -> None:
    await shard.hold("r-4")
    await shard.append(b"\xff\xff")


async def kafka_showed_more(shard: SellingShard) -> None:
    """Redis and the ledger agree, and both lack what came before a commit that Kafka has."""
    last = await shard.last_in_ledger()
    beyond = last._replace(seq=last.seq + 2)
    await shard.commits.publish(0, [beyond])
    async with shard.at_work():
        await eventually(lambda: has_seen(shard, beyond.commit_id))
    await change_meta(shard.processes, "owner", "another")


async def has_seen(shard: SellingShard, commit: CommitId) -> bool:
    """The ledger was shown this commit."""
    row = await shard.processes.ledger.row(0)
    return row is not None and row.seen == commit


async def kafka_deleted_unread_records(shard: SellingShard) -> None:
    """Redis was another one meanwhile."""

    async def offsets(shard: int) -> Offsets:
        return Offsets(beginning=1000, end=1000)

    shard.processes.commit_offsets.offsets = offsets  # type: ignore[method-assign]
    await change_meta(shard.processes, "owner", "another")
