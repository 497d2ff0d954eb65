"""The persister as a process that is killed, or whose Kafka is stopped or wiped: nothing is lost or doubled."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from bench.commits import HELD, FakeShard
from holdfast_runtime.kafka import COMMITS, PERSISTER_GROUP
from tests.integration.persister_fixture import JOIN_S, SHARDS, PersisterFixture, is_value
from tests.ledgers import open_shards
from tests.persister_process import StartPersister
from tests.servers import StartBroker, connected
from tests.waiting import eventually

pytestmark = pytest.mark.timeout(180)


async def test_a_persister_killed_at_any_moment_loses_and_doubles_nothing(
    fixture: PersisterFixture, start_persister: StartPersister
) -> None:
    """SIGKILL after the transaction: the next persister drops the repeat, and publishes what is unpublished."""
    for number in range(1000):
        fixture.shard.moves((f"r-{number}", HELD))
    persister = start_persister(fixture.kafka, fixture.dsn)
    await fixture.send()
    seen = 0
    for _ in range(3):
        seen = await eventually(partial(watermark_above, fixture, seen), JOIN_S)
        persister.process.kill()
        persister.process.wait()
        persister = start_persister(fixture.kafka, fixture.dsn)
        fixture.shard.moves((f"after-{seen}", HELD))
        await fixture.send()

    await eventually(fixture.is_published, JOIN_S)

    last = (1, 0)  # the sale, of which there is no fact
    for fact in await fixture.facts():
        position = (fact.position.seq, fact.position.index)
        assert position <= last or position == (last[0] + 1, 0), "a fact was left out"
        last = max(last, position)
    assert await fixture.db.fetchval("select count(*) from reservation") == 1003


async def watermark_above(fixture: PersisterFixture, seen: int) -> int:
    """The watermark, once it is above what was seen."""
    seq = await fixture.seq()
    return seq if seq > seen else 0


async def test_a_second_persister_takes_over_from_a_killed_one(
    fixture: PersisterFixture, start_persister: StartPersister
) -> None:
    """Kafka reassigns its partitions after the session timeout."""
    persisters = [start_persister(fixture.kafka, fixture.dsn) for _ in range(2)]
    fixture.shard.moves(("r-1", HELD))
    await fixture.send()
    await eventually(fixture.is_published, JOIN_S)

    persisters[0].process.kill()
    for number in range(2, 20):
        fixture.shard.moves((f"r-{number}", HELD))
    await fixture.send()

    await eventually(fixture.is_published, JOIN_S)


async def test_a_wiped_topic_is_read_from_its_beginning(
    start_broker: StartBroker, database: str, start_persister: StartPersister
) -> None:
    """Faust drops records below the offset that it last read; the outbox still has them all."""
    server = start_broker()
    async with connected(database) as db, AIOKafkaProducer(bootstrap_servers=server.address) as producer:
        await open_shards(db, range(SHARDS))
        shard = FakeShard(shard=5)
        shard.open_sale(lamp=100)
        for number in range(99):
            shard.moves((f"r-{number}", HELD))
        start_persister(server.address, database)
        for position in range(100):
            await producer.send_and_wait(COMMITS, shard.run(position, position + 1), partition=5)
        seq = "select seq from shard_watermark where shard = 5"
        await eventually(lambda: is_value(db, seq, 100), JOIN_S)

        server.reset_topics()
        shard.moves(("last", HELD))
        for _ in range(20):  # too few to reach the old offset, which would hide that the rest was dropped
            await producer.send_and_wait(COMMITS, shard.run(100), partition=5)

        await eventually(lambda: is_value(db, seq, 101), JOIN_S)
        await eventually(lambda: is_read_to_the_end(server.address), JOIN_S)


async def test_an_empty_topic_that_was_wiped_counts_as_read(
    start_broker: StartBroker, database: str, start_persister: StartPersister
) -> None:
    """A take-over waits for the end of the topic: an offset committed for the old one must not block it."""
    server, shard = start_broker(), FakeShard(shard=5)
    shard.open_sale(lamp=1)
    async with connected(database) as db, AIOKafkaProducer(bootstrap_servers=server.address) as producer:
        await open_shards(db, range(SHARDS))
        start_persister(server.address, database)
        await producer.send_and_wait(COMMITS, shard.run(0), partition=5)
        await eventually(lambda: acknowledged(server.address, 1), JOIN_S)

        server.reset_topics()

        await eventually(lambda: acknowledged(server.address, 0), JOIN_S)


async def is_read_to_the_end(brokers: str) -> bool:
    """The group's committed offset is the end of the topic as it is now."""
    async with group_consumer(brokers) as (consumer, partition):
        return bool(await consumer.committed(partition) == (await consumer.end_offsets([partition]))[partition] > 0)


async def acknowledged(brokers: str, offset: int) -> bool:
    """The group's committed offset is this one. Apache Kafka deletes it with its topic, which counts as 0."""
    async with group_consumer(brokers) as (consumer, partition):
        return (await consumer.committed(partition) or 0) == offset


@asynccontextmanager
async def group_consumer(brokers: str) -> AsyncIterator[tuple[AIOKafkaConsumer, TopicPartition]]:
    """A consumer that reads the offsets of the persisters' group without joining it."""
    consumer = AIOKafkaConsumer(bootstrap_servers=brokers, group_id=PERSISTER_GROUP, enable_auto_commit=False)
    await consumer.start()
    try:
        yield consumer, TopicPartition(COMMITS, 5)
    finally:
        await consumer.stop()


async def test_a_kafka_outage_delays_commits_and_facts_and_loses_none(
    start_broker: StartBroker, database: str, start_persister: StartPersister
) -> None:
    """Also when a fact was about to be published."""
    server, shard = start_broker(), FakeShard(shard=5)
    shard.open_sale(lamp=10)
    shard.moves(("r-1", HELD))
    shard.moves(("r-2", HELD))
    async with connected(database) as db, AIOKafkaProducer(bootstrap_servers=server.address) as producer:
        await open_shards(db, range(SHARDS))
        persister = start_persister(server.address, database)
        await producer.send_and_wait(COMMITS, shard.run(0, 2), partition=5)
        published_seq = "select facts_seq from shard_watermark where shard = 5"
        await eventually(lambda: is_value(db, published_seq, 2), JOIN_S)

        server.down()
        await db.execute("update shard_watermark set facts_seq = 1 where shard = 5")  # the fact of r-1 is unpublished
        await eventually(lambda: persister.has_logged("server_unavailable", server="Kafka"), JOIN_S)
        server.up()
        await producer.send_and_wait(COMMITS, shard.run(2), partition=5)

        await eventually(lambda: is_value(db, published_seq, 3), JOIN_S)
