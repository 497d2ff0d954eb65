"""`holdfast topics` against a Kafka that has the topics, has them otherwise, or is away."""

from holdfast_runtime.kafka import COMMITS, KafkaConfig
from inventory_service.adapters.kafka.topics import KafkaTopics
from tests.inventory_server import run_to_its_end
from tests.servers import PARTITIONS, StartBroker


async def test_topics_with_a_partition_for_every_shard_are_in_order(broker: str) -> None:
    """Exit code 0, as often as it is asked."""
    for _ in range(2):
        code, said = await run_to_its_end("topics", HOLDFAST_KAFKA_BROKERS=broker, HOLDFAST_SHARDS=str(PARTITIONS))
        assert code == 0, said
        assert sum(COMMITS in line for line in said) == 1


async def test_another_number_of_partitions_is_named_and_left_alone(start_broker: StartBroker) -> None:
    """Exit code 1: records of some shards would have no place, and partitions are never taken away."""
    broker = start_broker(partitions=4).address

    code, said = await run_to_its_end("topics", HOLDFAST_KAFKA_BROKERS=broker, HOLDFAST_SHARDS="5")

    assert code == 1
    assert any(COMMITS in line and "partitions=4" in line and "expected=5" in line for line in said), said
    assert (await KafkaTopics(KafkaConfig(broker)).partitions())[COMMITS] == 4


async def test_a_kafka_that_is_away_could_not_be_asked() -> None:
    """Exit code 2, in one line that says what to do."""
    code, said = await run_to_its_end("topics")

    assert code == 2
    assert len(said) == 1
    assert "HOLDFAST_KAFKA_BROKERS" in said[0]
