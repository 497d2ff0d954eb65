"""`holdfast topics` against a Kafka that has the topics, has them with other partitions, or is down."""

from holdfast_runtime.kafka import COMMITS, KafkaConfig
from inventory_service.adapters.kafka.topics import KafkaTopics
from tests.inventory_server import run_process
from tests.servers import PARTITIONS, StartBroker


async def test_topics_with_a_partition_for_every_shard_pass(broker: str) -> None:
    """Exit code 0, also at the second run."""
    for _ in range(2):
        code, output = await run_process("topics", HOLDFAST_KAFKA_BROKERS=broker, HOLDFAST_SHARDS=str(PARTITIONS))
        assert code == 0, output
        assert sum(COMMITS in line for line in output) == 1


async def test_another_number_of_partitions_is_named_and_left_alone(start_broker: StartBroker) -> None:
    """Exit code 1: some shards would have no partition, and partitions cannot be removed."""
    broker = start_broker(partitions=4).address

    code, output = await run_process("topics", HOLDFAST_KAFKA_BROKERS=broker, HOLDFAST_SHARDS="5")

    assert code == 1
    assert any(COMMITS in line and "partitions=4" in line and "expected=5" in line for line in output), output
    assert (await KafkaTopics(KafkaConfig(broker)).partitions())[COMMITS] == 4


async def test_an_unreachable_kafka_exits_with_2() -> None:
    """Exit code 2, in one line that says what to do."""
    code, output = await run_process("topics")

    assert code == 2
    assert len(output) == 1
    assert "HOLDFAST_KAFKA_BROKERS" in output[0]
