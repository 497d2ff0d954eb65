"""The persister as a process between a broker and PostgreSQL: rows, facts, progress reports and its end."""

import asyncio
import signal
from collections import Counter
from functools import partial

import pytest
from aiokafka import AIOKafkaProducer
from holdfast.inventory.v1.events_pb2 import Compensation, LedgerProgress, SaleFact
from holdfast.inventory.v1.reservation_pb2 import LedgerState, ReservationState

from bench.commits import COMPENSATED, CONFIRMED, HELD, SALE, FakeShard
from holdfast_runtime.kafka import COMMITS, COMPENSATIONS, PROGRESS, SALES
from order_persister.adapters.ledger.migrator import migrate
from tests.integration.persister_fixture import JOIN_S, SHARDS, PersisterFixture, is_value
from tests.ledgers import block_buyer, open_shards
from tests.persister_process import StartPersister
from tests.servers import StartPostgres, connected
from tests.shared_kafka import Kafka
from tests.waiting import eventually

pytestmark = pytest.mark.timeout(180)

NEW_EPOCH = "update shard_watermark set epoch = $1, settled_epoch = $1, facts_epoch = $1 where shard = 3"
RECORDED = LedgerState.LEDGER_STATE_RECORDED


async def test_commits_become_rows_facts_and_progress(
    fixture: PersisterFixture, start_persister: StartPersister
) -> None:
    """The journey's last hop: each change is one fact, in order, and the last fact and report match the rows.

    Changes of sales have a topic of their own.
    """
    start_persister(fixture.kafka, fixture.dsn)
    for number in range(30):
        fixture.shard.moves((f"r-{number}", HELD), (f"s-{number}", CONFIRMED))
    await fixture.send()

    await eventually(fixture.is_published, JOIN_S)

    facts = await fixture.facts()
    assert [(fact.position.seq, fact.position.index) for fact in facts] == [
        (seq, index) for seq in range(2, 32) for index in (0, 1)
    ]
    assert {fact.reservation.ledger_state for fact in facts} == {RECORDED}
    assert {(fact.reservation.reservation_id, fact.reservation.state) for fact in facts} == {
        (row["reservation_id"], ReservationState.Value(f"RESERVATION_STATE_{row['state']}"))
        for row in await fixture.db.fetch("select reservation_id, state from reservation")
    }
    [made] = map(SaleFact.FromString, await fixture.receive(SALES))
    assert (made.sale_id, made.made.items[0].total, made.position.seq) == (SALE, 5000, 1)
    reports: list[LedgerProgress] = []

    async def the_last_report() -> bool:
        reports.extend(map(LedgerProgress.FromString, await fixture.receive(PROGRESS)))
        last = [report for report in reports if report.shard == fixture.shard.shard][-1:]
        return [(one.epoch, one.seq, one.hash.decode()) for one in last] == [(1, fixture.shard.seq, fixture.shard.hash)]

    await eventually(the_last_report, JOIN_S)


async def test_progress_is_published_without_a_batch(
    fixture: PersisterFixture, start_persister: StartPersister
) -> None:
    """For every shard at the start, and soon what a take-over has changed.

    Four changes in turn are all reported within the time of at most three idle reports, which come every ten seconds.
    """
    start_persister(fixture.kafka, fixture.dsn)
    received: Counter[tuple[int, int]] = Counter()

    async def collect() -> None:
        for value in await fixture.receive(PROGRESS):
            progress = LedgerProgress.FromString(value)
            received[progress.shard, progress.epoch] += 1

    async def all_shards() -> bool:
        await collect()
        return len(received) == SHARDS

    async def is_reported(epoch: int) -> bool:
        await collect()
        return received[3, epoch] > 0

    await eventually(all_shards, JOIN_S)
    async with asyncio.timeout(25):
        for epoch in range(2, 6):
            await fixture.db.execute(NEW_EPOCH, epoch)
            await eventually(partial(is_reported, epoch), JOIN_S)


async def test_a_resend_is_requested_for_a_gap(fixture: PersisterFixture, start_persister: StartPersister) -> None:
    """The request is faster than the relay's own timeout."""
    start_persister(fixture.kafka, fixture.dsn)
    fixture.shard.moves(("r-1", HELD))
    await fixture.send_value(fixture.shard.run(1))
    requests: list[LedgerProgress] = []

    async def is_requested() -> bool:
        progress = map(LedgerProgress.FromString, await fixture.receive(PROGRESS))
        requests.extend(one for one in progress if one.resend_from_seq)
        return bool(requests)

    await eventually(is_requested, JOIN_S)
    await fixture.send()

    assert (requests[0].shard, requests[0].seq, requests[0].resend_from_seq) == (5, 0, 1)
    await eventually(fixture.is_published, JOIN_S)


async def test_a_compensation_is_sent_again_until_the_order_has_ended(
    fixture: PersisterFixture, start_persister: StartPersister
) -> None:
    """Kafka's confirmation is not the compensator's; only the ledger knows that the units are back."""
    await block_buyer(fixture.db, "crook")
    fixture.shard.moves(("r-1", HELD), buyer="crook")
    await fixture.send()
    start_persister(fixture.kafka, fixture.dsn)
    received: list[Compensation] = []

    async def twice() -> bool:
        received.extend(map(Compensation.FromString, await fixture.receive(COMPENSATIONS)))
        return len(received) >= 2

    await eventually(twice, JOIN_S)
    fixture.shard.moves(("r-1", COMPENSATED))
    await fixture.send()
    await eventually(fixture.is_published, JOIN_S)

    assert {(one.compensation_id, one.reservation_id, one.created.seq, one.reason, one.detail) for one in received} == {
        ("5-1-2-0", "r-1", 2, 1, "the buyer is blocked: fraud")
    }
    assert await fixture.db.fetchval("select count(*) from compensation where not done") == 0


async def test_ctrl_c_ends_the_persister_with_exit_code_0(
    fixture: PersisterFixture, start_persister: StartPersister
) -> None:
    """With exit code 0, as at SIGTERM below, and before the supervisor kills it."""
    persister = start_persister(fixture.kafka, fixture.dsn)
    await fixture.send()
    await eventually(fixture.is_applied, JOIN_S)

    persister.process.send_signal(signal.SIGINT)

    assert persister.exit_code() == 0


async def test_sigterm_ends_the_persister_while_postgres_is_down(
    kafka: Kafka, start_postgres: StartPostgres, start_persister: StartPersister
) -> None:
    """A batch waits for Postgres without end; SIGTERM ends the process all the same, with exit code 0."""
    server = start_postgres()
    await migrate(server.address)
    shard = FakeShard()
    shard.open_sale(lamp=1)
    shard.moves(("r-1", HELD))
    producer = AIOKafkaProducer(bootstrap_servers=kafka.address)
    await producer.start()
    async with connected(server.address) as db:
        await open_shards(db, [0])
        persister = start_persister(kafka, server.address)
        await producer.send_and_wait(kafka.named(COMMITS), shard.run(0, 1), partition=0)
        await eventually(lambda: is_value(db, "select seq from shard_watermark", 1), JOIN_S)
    server.stop()
    await producer.send_and_wait(kafka.named(COMMITS), shard.run(1), partition=0)
    await eventually(lambda: persister.has_logged("server_unavailable", server="Postgres"), JOIN_S)

    persister.process.terminate()

    assert persister.exit_code() == 0
    await producer.stop()
