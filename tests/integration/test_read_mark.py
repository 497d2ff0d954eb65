"""The ledger's row says what this ledger has read of its partition; the consumer group's offset may be ahead of it."""

from hashlib import sha256

import pytest
from holdfast.inventory.v1.commit_pb2 import Event

from bench.commits import CONFIRMED, HELD, RELEASED, FakeShard
from inventory_service.adapters.ledger.pool import LedgerPool
from inventory_service.adapters.ledger.shards import LedgerShards
from inventory_service.domain.shards import LOADED, AcceptedLoss
from order_persister.domain.chain import KafkaRecord
from order_persister.service.apply import TRANSACTION_BYTES
from tests.integration.one_shard_ledger import OneShardLedger
from tests.integration.persister_fixture import JOIN_S, PersisterFixture
from tests.ledger_consistency import inconsistencies
from tests.persister_process import Persister, StartPersister
from tests.waiting import eventually

TABLES = "sale, item, reservation, reservation_line, ledger_entry, journal, dead_letter, compensation, shard_epoch"
SET_BACK = """
update shard_watermark set epoch = 1, seq = 0, hash = '', settled_epoch = 1, settled_seq = 0, facts_epoch = 1,
       facts_seq = 0, read_offset = 0, read_digest = '' where shard = 5"""
NO_RELEASE = "alter table reservation add constraint a_mistake check (state <> 'RELEASED') not valid"
THAW_AT_ONCE = """
create function thaw() returns trigger language plpgsql as 'begin new.frozen_reason := null; return new; end';
create trigger thaw before update on shard_watermark for each row execute function thaw()"""


async def read(one_shard: OneShardLedger, *records: tuple[int, bytes]) -> tuple[int, bool]:
    """Apply records with these offsets: where the row has read to, and whether the digest is that of the last."""
    [outcome] = await one_shard.ledger.apply([KafkaRecord(0, offset, value) for offset, value in records])
    row = outcome.row
    return row.read_offset, row.read_digest == sha256(records[-1][1]).digest()


async def test_the_row_reads_every_record_in_order(one_shard: OneShardLedger) -> None:
    """Also a repeat, an undecodable record and one beyond a gap: nothing more can be got from reading it again."""
    one_shard.shard.moves(("r-1", HELD))
    one_shard.shard.moves(("r-2", HELD))
    run = one_shard.shard.run

    assert await read(one_shard, (0, run(0, 1))) == (1, True)
    assert await read(one_shard, (1, run(0, 1)), (2, b"\xff\xff\xff")) == (3, True)
    assert await read(one_shard, (3, run(2))) == (4, True)
    assert await read(one_shard, (1, run(0, 1))) == (4, False)


async def test_a_record_beyond_is_applied_and_not_counted_as_read(one_shard: OneShardLedger) -> None:
    """The records before it were read by another ledger, from which this one was set back."""
    one_shard.shard.moves(("r-1", HELD))
    run = one_shard.shard.run

    assert await read(one_shard, (7, run(0, 1))) == (0, False)
    assert await read(one_shard, (0, run(0, 1)), (1, run(1))) == (2, True)


async def test_large_records_are_read_to_their_end(one_shard: OneShardLedger) -> None:
    """A transaction that ends in the middle of a record has not read it."""
    for number in range(6):
        one_shard.shard.moves(*((f"r-{number}-{order}", HELD) for order in range(100)))
    records = [(offset, one_shard.shard.run(offset * 3, offset * 3 + 3)) for offset in range(3)]

    assert await read(one_shard, *records) == (3, True)


async def test_what_the_ledger_could_not_apply_is_seen(one_shard: OneShardLedger) -> None:
    """A take-over asks for it; once the ledger has reached it there is nothing left to ask."""
    for number in range(3):
        one_shard.shard.moves((f"r-{number}", HELD))
    run = one_shard.shard.run

    gap = await one_shard.apply(run(0, 1), run(2, 4))
    filled = await one_shard.apply(run(1, 2))
    complete = await one_shard.apply(run(2))

    assert [outcome.row.seen for outcome in (gap, filled, complete)] == [(1, 4), (1, 4), (0, 0)]


async def test_a_frozen_row_reads_nothing_and_sees_everything(one_shard: OneShardLedger) -> None:
    """What was rejected, and what came after, is read again once the cause is repaired."""
    await one_shard.db.execute(NO_RELEASE)
    one_shard.shard.moves(("r-1", HELD))
    one_shard.shard.moves(("r-1", RELEASED))
    one_shard.shard.moves(("r-2", HELD))
    run = one_shard.shard.run

    assert await read(one_shard, (0, run(0, 2)), (1, run(2, 3))) == (1, False)
    assert await read(one_shard, (2, run(3))) == (1, False)

    assert await one_shard.db.fetchval("select (seen_epoch, seen_seq) from shard_watermark") == (1, 4)
    await one_shard.db.execute("alter table reservation drop constraint a_mistake")
    await one_shard.db.execute("update shard_watermark set frozen_reason = null")
    assert await read(one_shard, (1, run(2, 3)), (2, run(3))) == (3, True)
    assert (await one_shard.apply(run())).row.seen == (0, 0)


async def test_a_row_that_is_thawed_at_once_has_not_read_what_it_rejected(one_shard: OneShardLedger) -> None:
    """A take-over may thaw it while the rest of the same record is still being applied."""
    await one_shard.db.execute(NO_RELEASE)
    await one_shard.db.execute(THAW_AT_ONCE)
    one_shard.shard.moves(("r-1", HELD))
    one_shard.shard.moves(("r-1", RELEASED))
    one_shard.shard.moves(("r-2", HELD))

    assert await read(one_shard, (0, one_shard.shard.run())) == (0, False)

    await one_shard.db.execute("drop function thaw() cascade")
    await one_shard.db.execute("alter table reservation drop constraint a_mistake")


async def test_a_record_that_contradicts_the_ledger_is_read(one_shard: OneShardLedger) -> None:
    """Once thawed the ledger would only meet it again, before the original that the relay has sent behind it."""
    one_shard.shard.moves(("r-1", HELD))
    true = one_shard.shard.run(1)
    altered = true.replace(one_shard.shard.commits[1].hash.encode(), b"0" * 40)

    assert await read(one_shard, (0, one_shard.shard.run(0, 1)), (1, altered)) == (2, True)
    assert (await one_shard.apply(true)).row.frozen_reason.startswith("CHAIN_BROKEN: ")
    assert await read(one_shard, (2, true)) == (2, False)


async def test_what_only_a_later_version_knows_is_not_read(one_shard: OneShardLedger) -> None:
    """That version begins there when it has replaced this one."""
    one_shard.shard.commit(Event())
    one_shard.shard.moves(("r-1", HELD))
    run = one_shard.shard.run

    assert await read(one_shard, (0, run(0, 1)), (1, run(1, 2)), (2, run(2))) == (1, False)


async def test_a_large_record_with_what_only_a_later_version_knows_is_not_read(one_shard: OneShardLedger) -> None:
    """Another transaction than that which met the unknown event reaches the record's end."""
    one_shard.shard.commit(Event())
    for number in range(60):
        one_shard.shard.moves(*((f"r-{number}-{order}", HELD) for order in range(100)))
    record = one_shard.shard.run()
    assert len(record) > TRANSACTION_BYTES

    assert await read(one_shard, (0, record)) == (0, False)


@pytest.mark.parametrize("persister", ["lives", "starts afterwards"])
async def test_a_ledger_that_was_set_back_across_a_take_over_reads_everything_again(
    fixture: PersisterFixture, start_persister: StartPersister, persister: str
) -> None:
    """The first commit of the later epoch follows from the last of the earlier one, so the epoch began there."""
    process = await persisted(fixture, start_persister)
    await fixture.db.execute("update shard_watermark set epoch = 2, seq = 0 where shard = 5")
    fixture.shard.next_epoch()
    fixture.shard.moves(("r-1", CONFIRMED))
    await fixture.send()
    await eventually(lambda: stands_at(fixture, fixture.shard), JOIN_S)
    if persister == "starts afterwards":
        process.process.kill()
        process.process.wait()

    await fixture.db.execute(f"truncate {TABLES}")
    await fixture.db.execute(SET_BACK)
    if persister == "starts afterwards":
        start_persister(fixture.kafka, fixture.dsn)

    await eventually(lambda: stands_at(fixture, fixture.shard), JOIN_S)
    assert await fixture.db.fetchval("select state from reservation where reservation_id = 'r-1'") == "CONFIRMED"
    entered = await fixture.db.fetch("select epoch, base_epoch, base_seq from shard_epoch")
    assert [tuple(row) for row in entered] == [(2, 1, 3)]
    assert await inconsistencies(fixture.db) == []


async def test_a_thawed_row_reads_what_it_did_not_take(
    fixture: PersisterFixture, start_persister: StartPersister
) -> None:
    """The group has acknowledged it, and Redis, which may be lost, need not send it again."""
    await persisted(fixture, start_persister)
    await fixture.db.execute(NO_RELEASE)
    fixture.shard.moves(("r-1", RELEASED))
    fixture.shard.moves(("r-3", HELD))
    await fixture.send()
    frozen = "select frozen_reason is not null from shard_watermark where shard = 5"
    await eventually(lambda: fixture.db.fetchval(frozen), JOIN_S)

    await fixture.db.execute("alter table reservation drop constraint a_mistake")
    await fixture.db.execute("update shard_watermark set frozen_reason = null")

    await eventually(lambda: stands_at(fixture, fixture.shard), JOIN_S)


async def test_what_kafka_alone_has_is_listed_once_its_loss_is_accepted(
    fixture: PersisterFixture, start_persister: StartPersister
) -> None:
    """It lies beyond a gap that nothing fills any more, and was read before the loss was known to be one."""
    await persisted(fixture, start_persister)
    fixture.shard.moves(("r-3", HELD))
    fixture.shard.moves(("r-4", HELD))
    await fixture.send_value(fixture.shard.run(4))
    seen = "select seen_seq from shard_watermark where shard = 5"
    await eventually(lambda: fixture.db.fetchval(f"select ({seen}) = 5"), JOIN_S)
    pool = LedgerPool(fixture.dsn)
    ledger = LedgerShards(pool)
    row = await ledger.row(5)
    assert row is not None
    assert await ledger.fence(row, 1, LOADED) is None

    assert await ledger.fence(row, 1, LOADED, AcceptedLoss("ann", read_from=0)) is not None

    listed = "select reservation_id from orphan where shard = 5"
    await eventually(lambda: fixture.db.fetchval(f"select exists({listed})"), JOIN_S)
    assert [row["reservation_id"] for row in await fixture.db.fetch(listed)] == ["r-4"]
    await pool.close()


async def test_a_topic_made_anew_is_read_from_its_start(
    fixture: PersisterFixture, start_persister: StartPersister
) -> None:
    """The row has read another topic of that name, to another record or beyond the end: its offset says nothing."""
    await persisted(fixture, start_persister)
    for number, read_offset in enumerate((1, 1000)):
        elsewhere = "update shard_watermark set read_offset = $1, read_digest = $2 where shard = 5"
        await fixture.db.execute(elsewhere, read_offset, b"\0" * 32)

        await eventually(lambda: stands_at(fixture, fixture.shard), JOIN_S)
        fixture.shard.moves((f"after-{number}", HELD))
        await fixture.send()
        await eventually(lambda: stands_at(fixture, fixture.shard), JOIN_S)


async def persisted(fixture: PersisterFixture, start_persister: StartPersister) -> Persister:
    """A persister that has applied three commits, one a record, and whose group has acknowledged them."""
    process = start_persister(fixture.kafka, fixture.dsn)
    fixture.shard.moves(("r-1", HELD))
    fixture.shard.moves(("r-2", HELD))
    for number in range(3):
        await fixture.send_value(fixture.shard.run(number, number + 1))
    fixture.sent = len(fixture.shard.commits)
    await eventually(lambda: stands_at(fixture, fixture.shard), JOIN_S)
    return process


async def stands_at(fixture: PersisterFixture, shard: FakeShard) -> bool:
    """The ledger has applied every commit and read every record."""
    row = await fixture.db.fetchrow("select * from shard_watermark where shard = 5")
    assert row is not None
    assert not row["frozen_reason"], row["frozen_reason"]
    end = await fixture.end()
    return (row["epoch"], row["seq"], row["hash"], row["read_offset"]) == (shard.epoch, shard.seq, shard.hash, end)
