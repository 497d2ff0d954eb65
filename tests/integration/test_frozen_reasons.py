"""Each reason for which a shard is frozen: what causes it, what the relay logs, and what opens the shard again."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import NamedTuple

import pytest

from inventory_service.domain.restore import ON_REQUEST
from inventory_service.domain.shards import ADOPTED, CommitId, Offsets
from tests.integration.altered_redis import change_meta, fork, set_back
from tests.integration.restored import Restored
from tests.integration.selling_shard import SellingShard
from tests.integration.shard_steps import serves_anew
from tests.shared_kafka import Kafka
from tests.waiting import eventually

LOSS = ON_REQUEST._replace(loss=True, accepted_by="ann@desk")
ASKS = "`holdfast restore --shard 0` says what is lost, and gives it up with --accept-loss"
Step = Callable[[SellingShard], Awaitable[None]]


@pytest.fixture
async def shard(valkey: str, database: str, kafka: Kafka) -> AsyncIterator[SellingShard]:
    shard = SellingShard(valkey, database, kafka)
    await shard.open()
    yield shard
    await shard.close()


async def redis_forgot(shard: SellingShard) -> None:
    """No running process knows that it had more, and it is the same Redis."""
    await set_back(shard.processes, 2, owner=(await shard.processes.status()).identity)


async def redis_forgot_what_a_process_observed(shard: SellingShard) -> None:
    """Whoever asks it next stops it."""
    await redis_forgot(shard)
    assert (await shard.processes.status()).frozen_reason


async def redis_forgot_and_sold_on(shard: SellingShard) -> None:
    """It has another commit in the place of the last one, as Redis finds by a report, or the persister by itself."""
    await fork(shard.processes, owner=(await shard.processes.status()).identity)


async def a_twin_sent_another_commit(shard: SellingShard) -> None:
    """In the place of one that the ledger has."""
    await shard.commits.publish(0, [(await shard.last_in_ledger())._replace(hash="0" * 40)])


async def the_shard_was_opened_elsewhere(shard: SellingShard) -> None:
    """And this Redis has a commit that it has not sent."""
    await shard.hold("r-4")
    row = await shard.processes.ledger.row(0)
    assert row is not None
    assert await shard.processes.ledger.fence(row, row.epoch, ADOPTED)


async def an_epoch_began_on_another_ledger(shard: SellingShard) -> None:
    """Its first commit does not follow from what this one holds."""
    last = await shard.last_in_ledger()
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


async def kafka_deleted_what_nobody_read(shard: SellingShard) -> None:
    """Redis was another one meanwhile."""

    async def offsets(shard: int) -> Offsets:
        return Offsets(beginning=1000, end=1000)

    shard.processes.commit_offsets.offsets = offsets  # type: ignore[method-assign]
    await change_meta(shard.processes, "owner", "another")


class Case(NamedTuple):
    """What freezes the shard, the words of its reason, and what opens it: nothing, a repair, or an accepted loss."""

    cause: Step
    reason: str
    repair: Step | None = None
    orphans: int | None = None  # changes that are given up and can be listed; None: no loss has to be accepted


CASES = (
    Case(redis_forgot, "HEAD_BEHIND_LEDGER: "),
    Case(redis_forgot_what_a_process_observed, "WENT_BACK: "),
    Case(redis_forgot_and_sold_on, "HASH_DIFFERS: ", orphans=1),
    Case(a_twin_sent_another_commit, "HASH_DIFFERS: commit 4 came again"),
    Case(the_shard_was_opened_elsewhere, "NEWER_EPOCH: the ledger reported", orphans=1),
    Case(an_epoch_began_on_another_ledger, "NEWER_EPOCH: commit 1 of epoch", orphans=0),
    Case(a_commit_was_altered_on_its_way, "CHAIN_BROKEN: the hash of commit 5"),
    Case(the_outbox_lost_a_commit, "is neither in the outbox nor in the ledger", orphans=1),
    Case(a_constraint_refuses_releases, "GIVE_BACK_REFUSED: ", repair=the_constraint_is_dropped),
    Case(a_constraint_refuses_releases, "GIVE_BACK_REFUSED: ", orphans=1),
    Case(the_journal_has_a_commit_too_many, "LEDGER_BROKEN: ", repair=that_commit_is_deleted),
    Case(a_hand_took_units_from_the_ledger, "NEGATIVE_BALANCE: ", repair=the_units_are_put_back),
    Case(redis_wrote_what_no_persister_can_read, "UNREADABLE: ", orphans=0),
    Case(kafka_showed_more, "NEEDS_RESTORE: Kafka has shown the ledger commit", orphans=0),
    Case(kafka_deleted_what_nobody_read, "NEEDS_RESTORE: Kafka has deleted records from offset", orphans=0),
)


def name_of(case: Case) -> str:
    """The cause, and what opens the shard."""
    opens = "by itself" if case.orphans is None else "a loss is accepted"
    return f"{case.cause.__name__} - {case.repair.__name__ if case.repair else opens}"


@pytest.mark.parametrize("case", CASES, ids=name_of)
async def test_a_frozen_shard_serves_again_as_its_reason_says(shard: SellingShard, case: Case) -> None:
    """Promises 4 and 8: it sells on, the ledger takes what it sells, and the audit finds no difference."""
    await case.cause(shard)

    async with shard.at_work():
        await eventually(lambda: shard.logged(case.reason))
        if case.repair is not None:
            await case.repair(shard)
        elif case.orphans is not None:
            await accept_loss(shard, case.orphans)
        await eventually(lambda: serves_anew(shard.processes))
        await shard.hold("late")
        await eventually(shard.processes.is_drained)

    assert await shard.differences() == []


async def accept_loss(shard: SellingShard, orphans: int) -> None:
    """As the reason says; without its consent the command says the same."""
    await eventually(lambda: shard.logged(ASKS))
    refused = await Restored(shard.processes).run(only=0)
    assert (refused.code, ASKS in refused[0]) == (1, True), refused

    restored = await Restored(shard.processes).run(LOSS, only=0)

    assert restored.code == 0, restored
    assert await shard.orphans() == orphans


async def test_contents_that_an_audit_finds_to_differ_are_loaded_by_force(shard: SellingShard) -> None:
    """Both ends at the same commit, so no take-over notices; units in Redis would be sold that there are not."""
    await shard.set_units(available=9)
    assert await shard.differences() != []

    async with shard.at_work():
        restored = await Restored(shard.processes).run(ON_REQUEST._replace(force=True), only=0)

        assert (restored.code, restored.lines) == (0, ["shard 0 was loaded from the ledger"])
        await shard.hold("late")
        await eventually(shard.processes.is_drained)
    assert await shard.differences() == []
