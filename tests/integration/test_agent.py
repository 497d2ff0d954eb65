"""The persister as a process between the embedded broker and a real PostgreSQL: persists, tells, waits and dies."""

import signal
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import asyncpg
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from holdfast.inventory.v1.events_pb2 import Compensation, LedgerProgress, ReservationFact
from holdfast.inventory.v1.reservation_pb2 import LedgerState, ReservationState

from order_persister.kafka.agent import COMMITS_TOPIC, GROUP
from order_persister.kafka.tell import COMPENSATIONS_TOPIC, FACTS_TOPIC, PROGRESS_TOPIC
from order_persister.ledger.migrator import migrate
from tests.books import disagreements
from tests.commits import COMPENSATED, CONFIRMED, HELD, TENANT, FakeShard
from tests.integration.persister_process import StartPersister, persisters
from tests.ledgers import open_shards
from tests.servers import StartBroker, StartPostgres, connected
from tests.waiting import eventually

pytestmark = pytest.mark.timeout(180)

SHARDS = 16
JOIN_S = 45.0
RECORDED = LedgerState.LEDGER_STATE_RECORDED


@pytest.fixture
def start_persister(tmp_path: Path) -> Iterator[StartPersister]:
    """Start persisters of this test alone."""
    with persisters(tmp_path) as start:
        yield start


@dataclass(repr=False)
class World:
    """A shard whose commits go into Kafka, and what comes out of the other topics."""

    brokers: str
    dsn: str
    shard: FakeShard
    db: "asyncpg.Connection[asyncpg.Record]"
    producer: AIOKafkaProducer
    heard: AIOKafkaConsumer
    sent: int = 0
    unasked: defaultdict[str, list[bytes]] = field(default_factory=lambda: defaultdict(list))

    async def send(self, first: int | None = None) -> None:
        """Send what the shard did since the last time (or from a commit on), a record for every ten commits."""
        first = self.sent if first is None else first
        for start in range(first, len(self.shard.commits), 10):
            await self.send_value(self.shard.run(start, start + 10))
        self.sent = len(self.shard.commits)

    async def send_value(self, value: bytes) -> None:
        await self.producer.send_and_wait(COMMITS_TOPIC, value, partition=self.shard.shard)

    async def seq(self) -> int:
        return int(await self.db.fetchval("select seq from shard_watermark where shard = $1", self.shard.shard))

    async def is_applied(self) -> bool:
        return await self.seq() == len(self.shard.commits)

    async def is_told(self) -> bool:
        query = "select facts_seq from shard_watermark where shard = $1"
        return bool(await self.db.fetchval(query, self.shard.shard) == len(self.shard.commits))

    async def hear(self, topic: str) -> list[bytes]:
        """Everything on a topic that has come since the last time this was asked of it."""
        for tp, records in (await self.heard.getmany(timeout_ms=200)).items():
            self.unasked[tp.topic] += [record.value for record in records]
        return self.unasked.pop(topic, [])

    async def facts(self) -> list[ReservationFact]:
        """Every fact on the topic, repeats included, up to the last change of the shard."""
        facts: list[ReservationFact] = []

        async def are_all_there() -> bool:
            facts.extend(map(ReservationFact.FromString, await self.hear(FACTS_TOPIC)))
            return bool(facts) and facts[-1].position.seq == self.shard.seq

        await eventually(are_all_there, JOIN_S)
        return facts


@pytest.fixture
async def world(broker: str, database: str) -> AsyncIterator[World]:
    """Sixteen shards, one of which does something; the books are held against each other at the end."""
    async with connected(database) as db:
        await open_shards(db, range(SHARDS))
        producer = AIOKafkaProducer(bootstrap_servers=broker)
        heard = AIOKafkaConsumer(
            PROGRESS_TOPIC, COMPENSATIONS_TOPIC, FACTS_TOPIC, bootstrap_servers=broker, auto_offset_reset="earliest"
        )
        await producer.start()
        await heard.start()
        shard = FakeShard(shard=5)
        shard.open_sale(lamp=5000)
        yield World(broker, database, shard, db, producer, heard)
        await heard.stop()
        await producer.stop()
        assert await disagreements(db) == []


async def test_commits_become_rows_facts_and_progress(world: World, start_persister: StartPersister) -> None:
    """The journey's last hop: each change is one fact, in order, and the last fact and report are what the rows say."""
    start_persister(world.brokers, world.dsn)
    for number in range(30):
        world.shard.moves((f"r-{number}", HELD), (f"s-{number}", CONFIRMED))
    await world.send()

    await eventually(world.is_told, JOIN_S)

    facts = await world.facts()
    assert [(fact.position.seq, fact.position.index) for fact in facts] == [
        (seq, index) for seq in range(2, 32) for index in (0, 1)
    ]
    assert {fact.reservation.ledger_state for fact in facts} == {RECORDED}
    assert {(fact.reservation.reservation_id, fact.reservation.state) for fact in facts} == {
        (row["reservation_id"], ReservationState.Value(f"RESERVATION_STATE_{row['state']}"))
        for row in await world.db.fetch("select reservation_id, state from reservation")
    }
    reports = map(LedgerProgress.FromString, await world.hear(PROGRESS_TOPIC))
    last = [report for report in reports if report.shard == world.shard.shard][-1]
    assert (last.epoch, last.seq, last.hash.decode()) == (1, world.shard.seq, world.shard.hash)


async def test_progress_is_told_without_a_batch(world: World, start_persister: StartPersister) -> None:
    """Every ten seconds when idle, and soon what a take-over has changed: a relay may have missed the last report."""
    start_persister(world.brokers, world.dsn)
    heard: Counter[tuple[int, int]] = Counter()

    async def collect() -> None:
        for value in await world.hear(PROGRESS_TOPIC):
            progress = LedgerProgress.FromString(value)
            heard[progress.shard, progress.epoch] += 1

    async def all_shards() -> bool:
        await collect()
        return len(heard) == SHARDS

    async def the_new_epoch() -> bool:
        await collect()
        return heard[3, 2] > 0

    async def again() -> bool:
        await collect()
        return heard[4, 1] > 1

    await eventually(all_shards, JOIN_S)
    await world.db.execute("update shard_watermark set epoch = 2, settled_epoch = 2, facts_epoch = 2 where shard = 3")
    await eventually(the_new_epoch, 5)
    await eventually(again, 15)


async def test_a_gap_is_asked_for(world: World, start_persister: StartPersister) -> None:
    """The wish hastens what the relay would do by itself."""
    start_persister(world.brokers, world.dsn)
    world.shard.moves(("r-1", HELD))
    await world.send_value(world.shard.run(1))
    wishes: list[LedgerProgress] = []

    async def a_wish() -> bool:
        progress = map(LedgerProgress.FromString, await world.hear(PROGRESS_TOPIC))
        wishes.extend(one for one in progress if one.resend_from_seq)
        return bool(wishes)

    await eventually(a_wish, JOIN_S)
    await world.send()

    assert (wishes[0].shard, wishes[0].seq, wishes[0].resend_from_seq) == (5, 0, 1)
    await eventually(world.is_told, JOIN_S)


async def test_a_compensation_is_sent_again_until_the_order_has_ended(
    world: World, start_persister: StartPersister
) -> None:
    """Kafka's confirmation is not the compensator's; only the ledger knows that the units are back."""
    await world.db.execute("insert into blocked_buyer (tenant, buyer_id, reason) values ($1, 'crook', 'fraud')", TENANT)
    world.shard.moves(("r-1", HELD), buyer="crook")
    await world.send()
    start_persister(world.brokers, world.dsn)
    heard: list[Compensation] = []

    async def twice() -> bool:
        heard.extend(map(Compensation.FromString, await world.hear(COMPENSATIONS_TOPIC)))
        return len(heard) >= 2

    await eventually(twice, JOIN_S)
    world.shard.moves(("r-1", COMPENSATED))
    await world.send()
    await eventually(world.is_told, JOIN_S)

    assert {(one.compensation_id, one.reservation_id, one.created.seq, one.reason, one.detail) for one in heard} == {
        ("5-1-2-0", "r-1", 2, 1, "the buyer is blocked: fraud")
    }
    assert await world.db.fetchval("select count(*) from compensation where not done") == 0


async def test_a_persister_killed_at_any_moment_loses_and_doubles_nothing(
    world: World, start_persister: StartPersister
) -> None:
    """SIGKILL between the transaction and what follows it: the next one drops the repeat and tells what is untold."""
    for number in range(1000):
        world.shard.moves((f"r-{number}", HELD))
    persister = start_persister(world.brokers, world.dsn)
    await world.send()
    seen = 0
    for _ in range(3):
        seen = await eventually(partial(moved_past, world, seen), JOIN_S)
        persister.process.kill()
        persister.process.wait()
        persister = start_persister(world.brokers, world.dsn)
        world.shard.moves((f"after-{seen}", HELD))
        await world.send()

    await eventually(world.is_told, JOIN_S)

    last = (1, 0)  # the sale, of which there is no fact
    for fact in await world.facts():
        position = (fact.position.seq, fact.position.index)
        assert position <= last or position == (last[0] + 1, 0), "a fact was left out"
        last = max(last, position)
    assert await world.db.fetchval("select count(*) from reservation") == 1003


async def moved_past(world: World, seen: int) -> int:
    """The watermark, once it is above what was seen."""
    seq = await world.seq()
    return seq if seq > seen else 0


async def test_a_second_persister_takes_over_from_a_killed_one(world: World, start_persister: StartPersister) -> None:
    """Kafka gives its partitions away after the session timeout."""
    rivals = [start_persister(world.brokers, world.dsn) for _ in range(2)]
    world.shard.moves(("r-1", HELD))
    await world.send()
    await eventually(world.is_told, JOIN_S)

    rivals[0].process.kill()
    for number in range(2, 20):
        world.shard.moves((f"r-{number}", HELD))
    await world.send()

    await eventually(world.is_told, JOIN_S)


async def test_a_wiped_topic_is_read_from_its_beginning(
    start_broker: StartBroker, database: str, start_persister: StartPersister
) -> None:
    """Faust drops records below the offset that it last read; the outbox still has them all."""
    server = start_broker()
    async with connected(database) as db:
        await open_shards(db, range(SHARDS))
        producer = AIOKafkaProducer(bootstrap_servers=server.address)
        await producer.start()
        shard = FakeShard(shard=5)
        shard.open_sale(lamp=100)
        for number in range(99):
            shard.moves((f"r-{number}", HELD))
        start_persister(server.address, database)
        for position in range(100):
            await producer.send_and_wait(COMMITS_TOPIC, shard.run(position, position + 1), partition=5)
        seq = "select seq from shard_watermark where shard = 5"
        await eventually(lambda: is_value(db, seq, 100), JOIN_S)

        server.wipe()
        shard.moves(("last", HELD))
        for _ in range(20):  # too few to reach the old offset, which would hide that the rest was dropped
            await producer.send_and_wait(COMMITS_TOPIC, shard.run(100), partition=5)

        await eventually(lambda: is_value(db, seq, 101), JOIN_S)
        await eventually(lambda: is_read_to_the_end(server.address), JOIN_S)
        await producer.stop()


async def test_an_empty_topic_that_was_wiped_counts_as_read(
    start_broker: StartBroker, database: str, start_persister: StartPersister
) -> None:
    """A take-over waits for the end of the topic: an acknowledgement of the old one must not stand in its way."""
    server, shard = start_broker(), FakeShard(shard=5)
    shard.open_sale(lamp=1)
    async with connected(database) as db:
        await open_shards(db, range(SHARDS))
        producer = AIOKafkaProducer(bootstrap_servers=server.address)
        await producer.start()
        start_persister(server.address, database)
        await producer.send_and_wait(COMMITS_TOPIC, shard.run(0), partition=5)
        await eventually(lambda: acknowledged(server.address, 1), JOIN_S)

        server.wipe()

        await eventually(lambda: acknowledged(server.address, 0), JOIN_S)
        await producer.stop()


async def is_read_to_the_end(brokers: str) -> bool:
    """The group has acknowledged all records of the topic as it is now, and nothing beyond."""
    async with asked(brokers) as (consumer, partition):
        return bool(await consumer.committed(partition) == (await consumer.end_offsets([partition]))[partition] > 0)


async def acknowledged(brokers: str, offset: int) -> bool:
    """The group's next record is this one."""
    async with asked(brokers) as (consumer, partition):
        return bool(await consumer.committed(partition) == offset)


@asynccontextmanager
async def asked(brokers: str) -> AsyncIterator[tuple[AIOKafkaConsumer, TopicPartition]]:
    """Ask for what the persisters' group has acknowledged, without taking part."""
    consumer = AIOKafkaConsumer(bootstrap_servers=brokers, group_id=GROUP, enable_auto_commit=False)
    await consumer.start()
    try:
        yield consumer, TopicPartition(COMMITS_TOPIC, 5)
    finally:
        await consumer.stop()


async def is_value(db: "asyncpg.Connection[asyncpg.Record]", query: str, value: object) -> bool:
    return bool(await db.fetchval(query) == value)


async def test_kafka_away_for_a_while_costs_nothing_but_time(
    start_broker: StartBroker, database: str, start_persister: StartPersister
) -> None:
    """Also when something was to be told just then."""
    server, shard = start_broker(), FakeShard(shard=5)
    shard.open_sale(lamp=10)
    shard.moves(("r-1", HELD))
    shard.moves(("r-2", HELD))
    async with connected(database) as db:
        await open_shards(db, range(SHARDS))
        producer = AIOKafkaProducer(bootstrap_servers=server.address)
        await producer.start()
        persister = start_persister(server.address, database)
        await producer.send_and_wait(COMMITS_TOPIC, shard.run(0, 2), partition=5)
        mark = "select facts_seq from shard_watermark where shard = 5"
        await eventually(lambda: is_value(db, mark, 2), JOIN_S)

        server.down()
        await db.execute("update shard_watermark set facts_seq = 1 where shard = 5")  # the fact of r-1 is to be told
        await eventually(lambda: persister.has_said("waiting", on="kafka"), JOIN_S)
        server.up()
        await producer.send_and_wait(COMMITS_TOPIC, shard.run(2), partition=5)

        await eventually(lambda: is_value(db, mark, 3), JOIN_S)
        await producer.stop()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_it_ends_cleanly_when_asked(
    world: World, start_persister: StartPersister, number: signal.Signals
) -> None:
    """Within seconds, with exit code 0, whether it was at work or not yet."""
    persister = start_persister(world.brokers, world.dsn)
    await world.send()
    await eventually(world.is_applied, JOIN_S)

    persister.process.send_signal(number)

    assert persister.process.wait(10) == 0


async def test_it_ends_while_postgres_is_away(
    broker: str, start_postgres: StartPostgres, start_persister: StartPersister
) -> None:
    """A batch in hand waits for Postgres for ever; whoever ends the process does not."""
    server = start_postgres()
    await migrate(server.address)
    shard = FakeShard()
    shard.open_sale(lamp=1)
    shard.moves(("r-1", HELD))
    producer = AIOKafkaProducer(bootstrap_servers=broker)
    await producer.start()
    async with connected(server.address) as db:
        await open_shards(db, [0])
        persister = start_persister(broker, server.address)
        await producer.send_and_wait(COMMITS_TOPIC, shard.run(0, 1), partition=0)
        await eventually(lambda: is_value(db, "select seq from shard_watermark", 1), JOIN_S)
    server.stop()
    await producer.send_and_wait(COMMITS_TOPIC, shard.run(1), partition=0)
    await eventually(lambda: persister.has_said("waiting", on="postgres"))

    persister.process.terminate()

    assert persister.process.wait(10) == 0
    await producer.stop()
