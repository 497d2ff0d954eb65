"""Two installations on one Kafka: HOLDFAST_KAFKA_PREFIX separates their topics and groups."""

from contextlib import aclosing

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from holdfast.inventory.v1.events_pb2 import Compensation, ReservationFact
from holdfast.inventory.v1.reservation_pb2 import Position
from holdfast_embedded.broker import topics_with

from bench.commits import HELD, FakeShard
from holdfast_runtime.kafka import COMMITS, COMPENSATIONS, ORDERS, PERSISTER_GROUP, KafkaConfig
from inventory_service.adapters.kafka.commit_offsets import KafkaCommitOffsets
from inventory_service.adapters.kafka.commits import KafkaCommits
from inventory_service.adapters.kafka.compensations import KafkaCompensations
from inventory_service.domain.shards import Commit
from tests.integration.persister_fixture import JOIN_S
from tests.inventory_server import run_process
from tests.ledgers import open_shards
from tests.persister_process import StartPersister
from tests.servers import PARTITIONS, StartBroker, connected
from tests.waiting import eventually

PREFIX = "staging."


@pytest.fixture
def shared_broker(start_broker: StartBroker) -> str:
    """A broker with the topics of two installations, one of which has a prefix: its bootstrap address."""
    server = start_broker()
    server.create_topics(*topics_with(PREFIX))
    return server.address


async def test_a_persister_reads_and_publishes_under_its_prefix(
    shared_broker: str, database: str, start_persister: StartPersister
) -> None:
    """Commits, facts and the group's offsets are those of its own installation."""
    shard = FakeShard(shard=5)
    shard.open_sale(lamp=5)
    shard.moves(("r-1", HELD))
    async with connected(database) as db:
        await open_shards(db, range(PARTITIONS))
    start_persister(shared_broker, database, HOLDFAST_KAFKA_PREFIX=PREFIX)

    async with AIOKafkaProducer(bootstrap_servers=shared_broker) as producer:
        await producer.send_and_wait(PREFIX + COMMITS, shard.run(), partition=5)

    [fact] = await eventually(lambda: values(shared_broker, PREFIX + ORDERS), JOIN_S)
    assert ReservationFact.FromString(fact).reservation.reservation_id == "r-1"
    assert await values(shared_broker, ORDERS) == []
    assert await eventually(lambda: acknowledged(shared_broker, PREFIX + PERSISTER_GROUP), JOIN_S) == 1
    assert await acknowledged(shared_broker, PERSISTER_GROUP) is None


async def test_commits_are_sent_under_the_prefix(shared_broker: str) -> None:
    """The offsets that a take-over waits for are of the same topic."""
    config = KafkaConfig(shared_broker, prefix=PREFIX)
    commits, commit_offsets = KafkaCommits(config), KafkaCommitOffsets(config)

    await commits.publish(5, [Commit(1, 1, b"payload", "0" * 64)])

    assert await commit_offsets.offsets(5) == (0, 1)
    assert len(await values(shared_broker, PREFIX + COMMITS)) == 1
    assert await values(shared_broker, COMMITS) == []
    await commits.close()
    await commit_offsets.close()


async def test_compensations_are_read_under_the_prefix(shared_broker: str) -> None:
    """Another installation's compensation would give back units that are sold here."""
    async with AIOKafkaProducer(bootstrap_servers=shared_broker) as producer:
        for topic, name in ((COMPENSATIONS, "other"), (PREFIX + COMPENSATIONS, "r-1")):
            value = Compensation(tenant="default", sale_id="lamp-sale", reservation_id=name, created=Position(epoch=1))
            await producer.send_and_wait(topic, value.SerializeToString(), partition=0)

    consumer = KafkaCompensations(KafkaConfig(shared_broker, prefix=PREFIX), session_timeout_s=2)
    async with aclosing(consumer.compensations(lambda: None)) as compensations:
        first = await anext(compensations)

    assert first is not None
    assert first.reservation_id == "r-1"


async def test_topics_are_checked_under_the_prefix(start_broker: StartBroker) -> None:
    """`holdfast topics` does not take another installation's topics for its own."""
    server = start_broker(partitions=4)  # too few for the shards that are asked for
    settings = {"HOLDFAST_KAFKA_BROKERS": server.address, "HOLDFAST_SHARDS": "5", "HOLDFAST_KAFKA_PREFIX": PREFIX}
    server.create_topics(*topics_with(PREFIX))

    code, output = await run_process("topics", **settings)

    assert code == 1
    assert any(PREFIX + COMMITS in line and "partitions=4" in line for line in output), output
    assert not any(f" name={COMMITS}" in line for line in output), output


async def values(brokers: str, topic: str, partition: int = 5) -> list[bytes]:
    """Everything that a partition holds."""
    async with AIOKafkaConsumer(bootstrap_servers=brokers, auto_offset_reset="earliest") as consumer:
        place = TopicPartition(topic, partition)
        consumer.assign([place])
        end = (await consumer.end_offsets([place]))[place]
        found: list[bytes] = []
        while len(found) < end:
            found += [record.value for record in (await consumer.getmany(place, timeout_ms=200)).get(place, [])]
        return found


async def acknowledged(brokers: str, group: str) -> int | None:
    """The committed offset of a group in the commits topic with its prefix."""
    topic = group.removesuffix(PERSISTER_GROUP) + COMMITS
    consumer = AIOKafkaConsumer(bootstrap_servers=brokers, group_id=group, enable_auto_commit=False)
    await consumer.start()
    try:
        offset: int | None = await consumer.committed(TopicPartition(topic, 5))
        return offset
    finally:
        await consumer.stop()
