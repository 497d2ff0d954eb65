"""The ledger on a real PostgreSQL: every commit once and in order, and no outage mistaken for a refusal."""

import asyncio

from holdfast.inventory.v1.commit_pb2 import Event
from prometheus_client import CollectorRegistry

from bench.commits import (
    CONFIRMED,
    HELD,
    RELEASED,
    FakeShard,
    MadeCommit,
    record,
)
from holdfast_runtime.retry import Outages, Retrier
from order_persister.adapters.ledger.migrator import migrate, migrations
from order_persister.adapters.ledger.postgres import Database
from order_persister.adapters.ledger.queries import ledger_queries
from order_persister.adapters.ledger.unpublished import Unpublished
from order_persister.domain.chain import KafkaRecord
from tests.integration.one_shard_ledger import OneShardLedger
from tests.ledger_consistency import inconsistencies
from tests.ledgers import ledger_in, open_shards, waits
from tests.servers import StartPostgres, connected
from tests.waiting import LONG_S, eventually


async def test_rows_balances_journal_and_watermark_are_written_together(one_shard: OneShardLedger) -> None:
    """Rows, balances, transfers and the watermark move together."""
    one_shard.shard.moves(("r-1", HELD), ("r-2", HELD), ("r-3", CONFIRMED), lamp=2)
    one_shard.shard.moves(("r-1", CONFIRMED), ("r-2", RELEASED))

    outcome = await one_shard.apply_new()

    assert (outcome.row.seq, outcome.row.hash, outcome.row.settled_seq) == (3, one_shard.shard.hash, 3)
    assert await one_shard.db.fetchval("select time_ms from shard_watermark") == one_shard.shard.time_ms
    assert await one_shard.item() == {"available": 1996, "sold": 4}
    assert await one_shard.reservation("r-1") == ("CONFIRMED", "RECORDED", None)
    journal = await one_shard.db.fetch("select payload, hash from journal order by seq")
    assert [(row["payload"], row["hash"]) for row in journal] == [(c.payload, c.hash) for c in one_shard.shard.commits]


async def test_repeats_and_overlaps_change_nothing(one_shard: OneShardLedger) -> None:
    """Promise 3: commits that come twice, in any batches, are applied once; the outcome is returned again."""
    for number in range(6):
        one_shard.shard.moves((f"r-{number}", HELD))
    run = one_shard.shard.run
    first = await one_shard.apply(run(0, 4))

    again = await one_shard.apply(run(0, 4), run(1, 3), run(0, 4))
    straddled = await one_shard.apply(run(2))

    assert (again.row.position, again.row.hash) == (first.row.position, first.row.hash)
    assert straddled.row.seq == 7
    assert await one_shard.item() == {"available": 1994, "held": 6}


async def test_a_gap_is_not_applied_and_its_resend_is_requested(one_shard: OneShardLedger) -> None:
    """A missing commit is never skipped; the request names the first missing one."""
    for number in range(4):
        one_shard.shard.moves((f"r-{number}", HELD))
    await one_shard.apply(one_shard.shard.run(0, 2))

    gap = await one_shard.apply(one_shard.shard.run(3))
    resent = await one_shard.apply(one_shard.shard.run(2))

    assert (gap.row.seq, gap.resend_from_seq) == (2, 3)
    assert (resent.row.seq, resent.resend_from_seq) == (5, 0)


async def test_new_commits_of_an_older_epoch_are_quarantined(one_shard: OneShardLedger) -> None:
    """An acknowledged order that the ledger will never apply must not vanish silently; a repeat may."""
    one_shard.shard.moves(("r-1", HELD))
    await one_shard.apply(one_shard.shard.run(0, 1))
    await one_shard.db.execute("update shard_watermark set epoch = 2, seq = 0")

    for _ in range(2):
        outcome = await one_shard.apply(one_shard.shard.run())

    assert (outcome.row.epoch, outcome.row.seq, outcome.row.frozen_reason) == (2, 0, "")
    quarantined = await one_shard.db.fetch("select payload, epoch, seq from quarantined_record")
    assert [tuple(row) for row in quarantined] == [(one_shard.shard.commits[1].payload, 1, 2)]


async def test_a_new_epoch_continues_the_hash_chain(one_shard: OneShardLedger) -> None:
    """The hash chain continues across a take-over."""
    await one_shard.apply_new()
    await one_shard.db.execute("update shard_watermark set epoch = 2, seq = 0")
    one_shard.shard.next_epoch()
    one_shard.shard.moves(("r-1", HELD))

    outcome = await one_shard.apply_new()

    assert (outcome.row.epoch, outcome.row.seq, outcome.row.frozen_reason) == (2, 1, "")
    assert (outcome.row.settled_epoch, outcome.row.settled_seq) == (2, 1)


async def test_two_persisters_at_once_apply_each_commit_once(one_shard: OneShardLedger, database: str) -> None:
    """After a rebalance the old one may still be applying a batch."""
    for number in range(200):
        one_shard.shard.moves((f"r-{number}", HELD))
    other = Database(database)
    records = [KafkaRecord(0, offset, one_shard.shard.run(offset * 10, offset * 10 + 20)) for offset in range(20)]

    await asyncio.gather(*(ledger.apply([one]) for one in records for ledger in (one_shard.ledger, ledger_in(other))))
    outcome = await one_shard.apply(one_shard.shard.run())

    assert outcome.row.seq == 201
    assert await one_shard.item() == {"available": 1800, "held": 200}
    await other.close()


async def test_a_record_that_does_not_decode_is_quarantined_and_requested_again(one_shard: OneShardLedger) -> None:
    """It is a gap: nothing is compensated, and the resend fills it."""
    broken = await one_shard.apply(b"\xff\xff\xff")
    resent = await one_shard.apply_new()

    assert (broken.row.seq, broken.resend_from_seq) == (0, 1)
    assert resent.row.seq == 1
    quarantined = await one_shard.db.fetch("select payload, epoch, seq from quarantined_record")
    assert [tuple(row) for row in quarantined] == [(b"\xff\xff\xff", None, None)]


async def test_an_unknown_event_waits_for_a_newer_persister(one_shard: OneShardLedger) -> None:
    """It is no gap to ask for, nothing to freeze for, and nothing to compensate."""
    one_shard.shard.commit(Event())
    one_shard.shard.moves(("r-1", HELD))

    outcome = await one_shard.apply_new()

    assert (outcome.row.seq, outcome.row.frozen_reason, outcome.resend_from_seq) == (1, "", 0)


async def test_a_run_out_of_range_is_quarantined(one_shard: OneShardLedger) -> None:
    """Its positions exceed the ledger's integers, so it cannot come from a relay."""
    nowhere = record(0, [MadeCommit(0, 2**63 - 1, b"", ""), MadeCommit(0, 2**63 - 1, b"", "")])

    broken = await one_shard.apply(nowhere)
    resent = await one_shard.apply_new()

    assert (broken.row.seq, broken.row.frozen_reason, broken.resend_from_seq) == (0, "", 1)
    assert (resent.row.seq, resent.row.frozen_reason) == (1, "")
    assert await one_shard.db.fetchval("select payload from quarantined_record") == nowhere


async def test_apply_waits_for_postgres(start_postgres: StartPostgres) -> None:
    """Promise 5: an outage of any length delays a commit and refuses no order."""
    server = start_postgres()
    await migrate(server.address)
    async with connected(server.address) as db:
        await open_shards(db, [0])
    database = Database(server.address)
    registry, shard = CollectorRegistry(), FakeShard()
    ledger = ledger_in(database, registry)
    shard.open_sale(lamp=10)
    await ledger.apply([KafkaRecord(0, 0, shard.run())])
    server.stop()
    shard.moves(("r-1", HELD))

    applying = asyncio.ensure_future(ledger.apply([KafkaRecord(0, 1, shard.run())]))
    await eventually(lambda: waits(registry, "postgres") > 1)
    assert not applying.done()
    server.start()
    [outcome] = await asyncio.wait_for(applying, LONG_S)

    assert outcome.row.seq == 2
    async with connected(server.address) as db:
        assert await db.fetchval("select count(*) from dead_letter") == 0
        assert await inconsistencies(db) == []
    await database.close()


async def test_apply_is_retried_after_a_lost_connection(one_shard: OneShardLedger, database: str) -> None:
    """The transaction is rolled back and done again."""
    one_shard.shard.moves(("r-1", HELD))
    async with connected(database) as other:
        async with other.transaction():
            await other.execute("select * from shard_watermark for update")
            applying = asyncio.ensure_future(one_shard.apply_new())
            waiting = "select pid from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"
            pid = await eventually(lambda: one_shard.db.fetchval(waiting))
            await one_shard.db.execute("select pg_terminate_backend($1)", pid)
        outcome = await applying

    assert outcome.row.seq == 2
    assert await one_shard.dead_letters() == []


async def test_a_persister_waits_for_the_tables_of_its_version(database: str) -> None:
    """Started before `migrate`, it would use columns that do not exist; it starts once they do."""
    store, registry, newest = Database(database), CollectorRegistry(), migrations()[-1]
    async with connected(database) as db:
        await db.execute("delete from migration where number = $1", newest.number)
        unpublished = Unpublished(store, ledger_queries(), Retrier(Outages(registry)))
        waiting = asyncio.ensure_future(unpublished.wait_until_migrated())
        await eventually(lambda: waits(registry, "postgres") > 0)
        assert not waiting.done()

        await db.execute("insert into migration (number, name) values ($1, $2)", newest.number, newest.name)

    await asyncio.wait_for(waiting, LONG_S)
    await store.close()
