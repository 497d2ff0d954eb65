"""What a take-over never believes: older files of Redis, a ledger that was shown more, records that Kafka deleted."""

import shutil
import time
from pathlib import Path

import pytest
from holdfast_embedded.valkey import Valkey

from inventory_service.domain.shards import ADOPTED, CommitId, Offsets
from inventory_service.service.relay import shard_monitor
from tests.integration.shard_processes import SHARDS, ShardProcesses
from tests.integration.shard_steps import crash, frozen, is_sent, journal_of, restart_from_copy, serves_anew
from tests.servers import connected
from tests.waiting import LONG_S, eventually


async def copy_of_three_commits(processes: ShardProcesses, server: Valkey, folder: Path) -> None:
    """Make three commits, and copy the files of Redis once the ledger has them."""
    async with processes.at_work():
        await processes.commit(count=3)
        await eventually(processes.is_drained)
    shutil.copytree(server.data_dir, folder)


@pytest.mark.parametrize("behind", [False, True], ids=["the ledger has it all", "Kafka alone has it"])
async def test_redis_files_of_an_older_epoch_never_serve(
    processes: ShardProcesses, server: Valkey, tmp_path: Path, behind: bool
) -> None:
    """It would sell units again that later commits sold; those may still be in Kafka when it comes back."""
    await copy_of_three_commits(processes, server, tmp_path / "copy")
    await crash(processes, server)
    async with processes.at_work():
        await eventually(processes.serves)
    await commit_after_copy(processes, behind)

    await restart_from_copy(processes, server, tmp_path / "copy")

    async with processes.at_work():
        await eventually(lambda: frozen(processes, "NEEDS_RESTORE: "))
        assert not await processes.serves()
    assert len(await journal_of(processes)) == 5


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


@pytest.mark.parametrize("how", ["beyond a gap", "frozen"])
async def test_a_ledger_that_was_shown_more_than_it_could_take_opens_no_older_redis(
    processes: ShardProcesses, server: Valkey, tmp_path: Path, how: str
) -> None:
    """Both end at the same commit, and Kafka has shown the ledger that more were acknowledged."""
    await copy_of_three_commits(processes, server, tmp_path / "copy")
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
    assert len(await journal_of(processes)) == 3


async def has_seen(processes: ShardProcesses, commit_id: CommitId) -> bool:
    """The ledger has been shown this commit, and could not apply it."""
    row = await processes.ledger.row(0)
    return row is not None and row.seen == commit_id > row.commit_id


async def test_a_ledger_that_was_frozen_reads_on_before_redis_is_compared_with_it(
    processes: ShardProcesses, server: Valkey, tmp_path: Path
) -> None:
    """Kafka alone has what the ledger did not take, and the cause may have been repaired since."""
    await copy_of_three_commits(processes, server, tmp_path / "copy")
    async with connected(processes.dsn) as db:
        await db.execute("update shard_watermark set frozen_reason = 'LEDGER_BROKEN: a test' where shard = 0")
    async with processes.relaying():
        await processes.commit(count=2)
        await eventually(lambda: is_sent(processes, 2))

    await restart_from_copy(processes, server, tmp_path / "copy")

    async with processes.at_work():
        await eventually(lambda: frozen(processes, "NEEDS_RESTORE: "))
    assert len(await journal_of(processes)) == 5


async def test_records_that_kafka_deleted_unread_open_no_older_redis(
    processes: ShardProcesses, server: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What they were is in no store, so Redis and the ledger may both lack them."""
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
