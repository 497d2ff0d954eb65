"""Each reason for which a shard is frozen: what causes it, what the relay logs, and what opens the shard again."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import NamedTuple

import pytest
from holdfast.inventory.v1 import commit_pb2
from holdfast.inventory.v1.commit_pb2 import CommitBody

from inventory_service.domain.restore import AUTOMATIC, ON_REQUEST
from inventory_service.service.relay.takeover import AFTER_REPAIR
from inventory_service.settings import Settings
from inventory_service.wiring.server_checks import check_redis
from order_persister.domain import chain
from tests.integration import freeze_causes as causes
from tests.integration.restored import Restored
from tests.integration.selling_shard import SellingShard
from tests.integration.shard_processes import SHARDS
from tests.integration.shard_steps import serves_anew
from tests.shared_kafka import Kafka
from tests.waiting import eventually

LOSS = ON_REQUEST._replace(loss=True, accepted_by="ann@desk")
ASKS = "`holdfast restore --shard 0` says what is lost, and gives it up with --accept-loss"
LATER_BYTES = b"\xff\xff"  # before a commit, which only a later version reads
Step = Callable[[SellingShard], Awaitable[None]]


@pytest.fixture
async def shard(valkey: str, database: str, kafka: Kafka) -> AsyncIterator[SellingShard]:
    shard = SellingShard(valkey, database, kafka)
    await shard.open()
    yield shard
    await shard.close()


class Case(NamedTuple):
    """What freezes the shard, the words of its reason, and what opens it: nothing, a repair, or an accepted loss."""

    cause: Step
    reason: str
    repair: Step | None = None  # where a loss is accepted, it comes afterwards, for the audit names what is left
    orphans: int | None = None  # changes that are given up and can be listed; None: no loss has to be accepted
    in_kafka: int = 0  # further ones, which Kafka alone has: listed once its partition is read again


CASES = (
    Case(causes.redis_forgot, "HEAD_BEHIND_LEDGER: "),
    Case(causes.redis_forgot_what_a_process_observed, "WENT_BACK: "),
    Case(causes.redis_forgot_and_sold_on, "HASH_DIFFERS: ", orphans=1),
    Case(causes.a_twin_sent_another_commit, "HASH_DIFFERS: commit 4 came again"),
    Case(causes.a_twin_sent_another_commit_and_more, "HASH_DIFFERS: commit 4 came again", orphans=0, in_kafka=2),
    Case(causes.the_shard_was_opened_elsewhere, "NEWER_EPOCH: the ledger reported", orphans=1),
    Case(causes.an_epoch_began_on_another_ledger, "NEWER_EPOCH: commit 1 of epoch", orphans=0, in_kafka=1),
    Case(causes.a_commit_was_altered_on_its_way, "CHAIN_BROKEN: the hash of commit 5"),
    Case(causes.the_outbox_lost_a_commit, "is neither in the outbox nor in the ledger", orphans=1),
    Case(causes.a_constraint_refuses_releases, "GIVE_BACK_REFUSED: ", repair=causes.the_constraint_is_dropped),
    Case(causes.a_constraint_refuses_releases, "GIVE_BACK_REFUSED: ", orphans=1),
    Case(causes.the_journal_has_a_commit_too_many, "LEDGER_BROKEN: ", repair=causes.that_commit_is_deleted),
    Case(causes.the_journal_has_a_commit_too_many, "LEDGER_BROKEN: ", repair=causes.that_commit_is_deleted, orphans=1),
    Case(causes.a_hand_took_units_from_the_ledger, "NEGATIVE_BALANCE: ", repair=causes.the_units_are_put_back),
    Case(causes.redis_sold_what_there_is_not, "NEGATIVE_BALANCE: ", orphans=1),
    Case(causes.redis_wrote_what_no_persister_can_read, "UNREADABLE: ", orphans=0),
    Case(causes.kafka_showed_more, "NEEDS_RESTORE: Kafka has shown the ledger commit", orphans=0, in_kafka=1),
    Case(causes.kafka_deleted_unread_records, "NEEDS_RESTORE: Kafka has deleted records from offset", orphans=0),
)


def name_of(case: Case) -> str:
    """The cause, and what opens the shard."""
    if case.orphans is not None:
        return f"{case.cause.__name__} - a loss is accepted"
    return f"{case.cause.__name__} - {case.repair.__name__ if case.repair else 'by itself'}"


@pytest.mark.parametrize("case", CASES, ids=name_of)
async def test_a_frozen_shard_serves_again_as_its_reason_says(shard: SellingShard, case: Case) -> None:
    """Promises 4 and 8: it sells on, the ledger takes what it sells, and the audit finds no difference."""
    await case.cause(shard)

    async with shard.at_work():
        await eventually(lambda: shard.logged(case.reason))
        if case.orphans is not None:
            await accept_loss(shard, case.orphans, left_over=case.repair is not None)
        elif case.repair is not None:
            await eventually(lambda: is_told(shard, case.reason, AFTER_REPAIR, ASKS))
            await case.repair(shard)
        await sells_on(shard)
        await eventually(lambda: are_listed(shard, (case.orphans or 0) + case.in_kafka))

    if case.orphans is not None and case.repair is not None:
        await case.repair(shard)
    assert await shard.differences() == []


async def accept_loss(shard: SellingShard, orphans: int, left_over: bool) -> None:
    """As the reason says; without its consent the command says the same. Its audit names what is left to repair."""
    await eventually(lambda: shard.logged(ASKS))
    await eventually(lambda: is_told(shard, ASKS))
    refused = await Restored(shard.processes).run(only=0)
    assert (refused.code, ASKS in refused[0]) == (1, True), refused

    restored = await Restored(shard.processes).run(LOSS, only=0)

    differs = "shard 0 serves, and differs from the ledger: journal of shard 0: commit" in restored[0]
    assert (restored.code, differs) == (int(left_over), left_over), restored
    assert await shard.orphans() == orphans


async def sells_on(shard: SellingShard) -> None:
    """It serves in a new epoch, and the ledger takes what it sells."""
    await eventually(lambda: serves_anew(shard.processes))
    await shard.hold("late")
    await eventually(shard.processes.is_drained)


async def is_told(shard: SellingShard, *words: str) -> bool:
    """The doctor names the shard, and the command that it names says what opens it."""
    reason = (await shard.processes.status()).frozen_reason
    results = await check_redis(Settings(redis_url=shard.processes.redis_url, shards=SHARDS))
    [found] = [result for result in results if result.setting == "frozen shards"]
    assert found.value == f"shard 0: {reason.partition(':')[0]}"
    assert "`holdfast restore --dry-run`" in found.change
    told = await Restored(shard.processes).run(dry_run=True, only=0)
    assert all(each in told[0] for each in words), told
    return True


async def are_listed(shard: SellingShard, orphans: int) -> bool:
    """So many changes are listed that the ledger never takes."""
    return await shard.orphans() == orphans


async def test_a_shard_that_is_behind_waits_for_the_command_where_relays_load_nothing(shard: SellingShard) -> None:
    """With HOLDFAST_RESTORE=ask a person says when; nothing is lost, so nothing has to be accepted."""
    await causes.redis_forgot(shard)

    async with shard.at_work(AUTOMATIC["ask"]):
        await eventually(lambda: shard.logged("HEAD_BEHIND_LEDGER: "))
        await eventually(lambda: shard.logged("`holdfast restore --shard 0` opens it"))
        await eventually(lambda: is_told(shard, "shard 0 would be loaded from the ledger"))
        restored = await Restored(shard.processes).run(only=0)
        assert (restored.code, restored.lines) == (0, ["shard 0 was loaded from the ledger"])
        await sells_on(shard)

    assert await shard.differences() == []


class LaterCommitBody:
    """Decodes what a later version does."""

    @staticmethod
    def FromString(payload: bytes) -> commit_pb2.CommitBody:
        return CommitBody.FromString(payload.removeprefix(LATER_BYTES))


async def test_a_later_version_opens_a_shard_that_this_one_cannot_read(
    shard: SellingShard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As UNREADABLE says; nothing is given up."""
    await shard.hold("r-4")
    [commit] = await shard.outbox()
    await shard.rewrite_head(LATER_BYTES + commit.payload)

    async with shard.at_work():
        await eventually(lambda: shard.logged("UNREADABLE: "))
        await eventually(lambda: is_told(shard, "start the newest persister", AFTER_REPAIR, ASKS))
        for module in (chain, commit_pb2):
            monkeypatch.setattr(module, "CommitBody", LaterCommitBody)
        await sells_on(shard)

    assert await shard.orphans() == 0
    assert await shard.differences() == []


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
