"""The take-over: no shard serves before it was compared with the ledger, whatever crashes, restarts or comes twice."""

import asyncio
import shutil
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from holdfast_embedded.valkey import Valkey

from inventory_service.adapters.redis.keys import shard_keys
from inventory_service.domain.shards import ADOPTED, BegunTakeover, CommitId, Offsets
from inventory_service.service.relay import shard_monitor
from inventory_service.service.relay.catch_up import CatchUp
from inventory_service.service.relay.takeover import Ending
from tests.fences import fenced
from tests.integration.shard_processes import (
    SHARDS,
    ShardProcesses,
    crash,
    first_steps,
    restart_from_copy,
    serves_anew,
)
from tests.servers import StartValkey, connected
from tests.shared_kafka import Kafka
from tests.waiting import LONG_S, eventually


@pytest.fixture
def server(start_valkey: StartValkey) -> Valkey:
    """A Valkey to kill and restart, also on other files."""
    return start_valkey()


@pytest.fixture
async def processes(server: Valkey, database: str, kafka: Kafka) -> AsyncIterator[ShardProcesses]:
    processes = ShardProcesses(server.address, database, kafka)
    await processes.open()
    yield processes
    await processes.close()


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
    assert await journal_length(processes) == 5


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
    assert await journal_length(processes) == 5


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

    assert await journal_length(processes) == 5


@pytest.mark.parametrize("behind", [False, True], ids=["the ledger has it all", "Kafka alone has it"])
async def test_redis_files_of_an_older_epoch_never_serve(
    processes: ShardProcesses, server: Valkey, tmp_path: Path, behind: bool
) -> None:
    """It would sell units again that later commits sold; those may still be in Kafka when it comes back."""
    async with processes.at_work():
        await processes.commit(count=3)
        await eventually(processes.is_drained)
    shutil.copytree(server.data_dir, tmp_path / "copy")
    await crash(processes, server)
    async with processes.at_work():
        await eventually(processes.serves)
    await commit_after_copy(processes, behind)

    await restart_from_copy(processes, server, tmp_path / "copy")

    async with processes.at_work():
        await eventually(lambda: frozen(processes, "NEEDS_RESTORE: "))
        assert not await processes.serves()
    assert await journal_length(processes) == 5


async def test_the_right_files_serve_soon_after_older_ones(
    processes: ShardProcesses, server: Valkey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The attempts that failed meanwhile have made the delay until the next one long."""
    monkeypatch.setattr(shard_monitor, "FIRST_RETRY_S", 10 * LONG_S)
    monkeypatch.setattr(shard_monitor, "MAX_RETRY_S", 10 * LONG_S)
    await processes.commit(count=1)
    older, right = tmp_path / "older", tmp_path / "right"
    shutil.copytree(server.data_dir, older)
    async with processes.at_work():
        await processes.commit(count=2)
        await eventually(processes.is_drained)
        shutil.copytree(server.data_dir, right)
        await restart_from_copy(processes, server, older)
        await eventually(lambda: frozen(processes, "NEEDS_RESTORE: "))

        await restart_from_copy(processes, server, right)

        await eventually(processes.serves)


async def commit_after_copy(processes: ShardProcesses, behind: bool) -> None:
    """Make commits that the copy does not have; they reach the ledger, or Kafka alone."""
    async with processes.relaying():
        await processes.commit(count=2)
        if not behind:
            async with processes.persister.running():
                await eventually(processes.is_drained)
        else:
            await eventually(lambda: is_sent(processes, 2))


def is_sent(processes: ShardProcesses, commits: int) -> bool:
    """So many are in the outbox, and Kafka has them all."""
    backlog = processes.gauges.shown[0]
    return (backlog.sends, backlog.outbox, backlog.unsent) == (True, commits, 0)


@pytest.mark.parametrize("how", ["beyond a gap", "frozen"])
async def test_a_ledger_that_was_shown_more_than_it_could_take_opens_no_older_redis(
    processes: ShardProcesses, server: Valkey, tmp_path: Path, how: str
) -> None:
    """Both end at the same commit, and Kafka has shown the ledger that more were acknowledged."""
    async with processes.at_work():
        await processes.commit(count=3)
        await eventually(processes.is_drained)
    shutil.copytree(server.data_dir, tmp_path / "copy")
    if how == "frozen":
        processes.persister.refuse = {4}
    else:
        processes.persister.lose, processes.persister.requests_resend = {4}, False
    async with processes.persister.running(), processes.relaying(stall_timeout_s=60.0):
        last = await processes.commit(count=1 if how == "frozen" else 2)
        await eventually(lambda: has_seen(processes, last))
    processes.persister.refuse = set()

    await restart_from_copy(processes, server, tmp_path / "copy")

    async with processes.relaying():
        await eventually(lambda: frozen(processes, f"NEEDS_RESTORE: Kafka has shown the ledger commit {last}"))
        assert not await processes.serves()
    assert await journal_length(processes) == 3


async def test_a_ledger_that_was_frozen_reads_on_before_redis_is_compared_with_it(
    processes: ShardProcesses, server: Valkey, tmp_path: Path
) -> None:
    """Kafka alone has what the ledger did not take, and the cause may have been repaired since."""
    async with processes.at_work():
        await processes.commit(count=3)
        await eventually(processes.is_drained)
    shutil.copytree(server.data_dir, tmp_path / "copy")
    async with connected(processes.dsn) as db:
        await db.execute("update shard_watermark set frozen_reason = 'LEDGER_BROKEN: a test' where shard = 0")
    async with processes.relaying():
        await processes.commit(count=2)
        await eventually(lambda: is_sent(processes, 2))

    await restart_from_copy(processes, server, tmp_path / "copy")

    async with processes.at_work():
        await eventually(lambda: frozen(processes, "NEEDS_RESTORE: "))
    assert await journal_length(processes) == 5


async def test_redis_learns_from_a_take_over_what_the_ledger_knows(processes: ShardProcesses, server: Valkey) -> None:
    """What is settled, below which nothing is compensated any more, and the commit on which the epoch builds."""
    async with processes.persister.running(), processes.relaying():
        await processes.commit(count=5)
        await eventually(processes.is_drained)
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


async def test_a_ledger_that_lost_the_last_fence_draws_an_epoch_above_it(
    processes: ShardProcesses, server: Valkey
) -> None:
    """Both are at the same commit, and no newer backup of the ledger exists."""
    async with processes.at_work():
        await processes.commit(count=3)
        await eventually(processes.is_drained)
        async with connected(processes.dsn) as db:
            before = await db.fetchrow("select epoch, seq from shard_watermark where shard = 0")
            assert before is not None
            await crash(processes, server)
            await eventually(lambda: serves_anew(processes))
            lost = (await processes.status()).epoch

            await db.execute("update shard_watermark set epoch = $1, seq = $2 where shard = 0", *before)
            await db.execute("delete from shard_epoch where epoch = $1", lost)

        await eventually(lambda: serves_above(processes, lost))


async def serves_above(processes: ShardProcesses, epoch: int) -> bool:
    """The shard was taken over once more."""
    status = await processes.status()
    return status.serving and status.epoch > epoch


async def test_records_that_kafka_deleted_unread_open_no_older_redis(
    processes: ShardProcesses, server: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing tells what they were, so nobody knows whether Redis and the ledger lack the same."""
    delete_unread(processes, monkeypatch)
    await crash(processes, server)

    async with processes.at_work():
        await eventually(lambda: frozen(processes, "NEEDS_RESTORE: Kafka has deleted records from offset 0 on"))


async def test_records_that_kafka_deleted_unread_are_skipped_while_redis_serves(
    processes: ShardProcesses, server: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ledger holds all that this Redis had made by then, so it lacks none; a later take-over is as usual."""
    monkeypatch.setattr(shard_monitor, "COMPARE_INTERVAL_S", 0.1)
    delete_unread(processes, monkeypatch)

    async with processes.relaying():
        await eventually(lambda: has_read(processes, 7))
        await crash(processes, server)
        await eventually(lambda: serves_anew(processes))


def delete_unread(processes: ShardProcesses, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kafka says that it has deleted the first seven records, which the embedded broker cannot do."""

    async def offsets(shard: int) -> Offsets:
        return Offsets(beginning=7, end=7)

    monkeypatch.setattr(processes.commit_offsets, "offsets", offsets)


async def has_read(processes: ShardProcesses, offset: int) -> bool:
    """The ledger counts the records below this offset as read."""
    row = await processes.ledger.row(0)
    return row is not None and row.read_offset == offset


async def has_seen(processes: ShardProcesses, commit_id: CommitId) -> bool:
    """The ledger has been shown this commit, and could not apply it."""
    row = await processes.ledger.row(0)
    return row is not None and row.seen == commit_id > row.commit_id


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


async def test_an_epoch_is_never_granted_twice(processes: ShardProcesses) -> None:
    """Even without a commit in it: the Redis that got the epoch may still run. Nor after the ledger was set back."""
    row = await processes.ledger.row(0)
    assert row is not None

    fences = [await processes.ledger.fence(row, above=0, how=ADOPTED)]
    fences.append(await processes.ledger.fence(row, above=0, how=ADOPTED))
    async with connected(processes.dsn) as db:
        await db.execute("delete from shard_watermark where shard = 0")
    fences.append(await processes.ledger.open(0, SHARDS, read_offset=0, above=0))
    for above in (0, row.epoch + 1_000_000):
        last = fences[-1]
        assert last is not None
        fences.append(await processes.ledger.fence(last.row, above=above, how=ADOPTED))

    epochs = [each.row.epoch if each else None for each in fences]
    assert epochs[1] is None
    assert epochs[4] == row.epoch + 1_000_001
    assert time.time() - 60 < row.epoch < (epochs[0] or 0) <= time.time() + 60


async def test_a_redis_of_a_newer_epoch_is_not_taken_over(processes: ShardProcesses) -> None:
    """The row that the take-over read is old, or the ledger was set back; its fence would fail."""
    assert await processes.shards.begin_takeover(0, "t", 0, ledger_frozen=False) == "NEWER_EPOCH"


async def test_a_serving_shard_is_taken_over_only_if_the_ledger_is_frozen(processes: ShardProcesses) -> None:
    """Otherwise a take-over that comes late would stop a shard that another has just opened."""
    assert await processes.shards.begin_takeover(0, "t", processes.epoch, ledger_frozen=False) == "SERVING"
    assert await processes.serves()

    assert isinstance(await processes.shards.begin_takeover(0, "t", processes.epoch, ledger_frozen=True), BegunTakeover)
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
        begun = await processes.shards.begin_takeover(0, "t", processes.epoch, ledger_frozen=False)
        assert isinstance(begun, BegunTakeover)
        assert await processes.shards.freeze(0, processes.epoch, reason, "t")

    assert (await processes.status()).frozen_reason == "HASH_DIFFERS: once; NEEDS_RESTORE: at 1-4"


async def is_in_kafka(processes: ShardProcesses) -> bool:
    """Kafka holds a record of the shard."""
    return (await processes.commit_offsets.offsets(0)).end > 0


async def is_in_takeover(processes: ShardProcesses) -> bool:
    """A take-over has set its token in the shard."""
    return bool((await processes.status()).takeover_token)


async def frozen(processes: ShardProcesses, words: str) -> bool:
    """The shard is frozen, for this among other reasons."""
    return words in (await processes.status()).frozen_reason


async def journal_length(processes: ShardProcesses) -> int:
    async with connected(processes.dsn) as db:
        return int(await db.fetchval("select count(*) from journal where shard = 0"))
