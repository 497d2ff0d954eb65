"""Give orders to a Kafka as an operator does: topics made and deleted, settings changed, who serves."""

from collections.abc import Mapping, Sequence

from confluent_kafka import KafkaException
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ClusterMetadata,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    TopicMetadata,
)
from holdfast_embedded.child import wait_until

PROBE_S = 1.0
ORDER_S = 60.0
LARGEST_RECORD = 8 * 1024 * 1024
# Of brokers that are not there yet librdkafka complains on standard error, and it tries again less and less often.
CLIENT = {"log_level": "0", "reconnect.backoff.max.ms": "200"}


class KafkaAdmin:
    """Blocks until each order is carried out; AssertionError if it is not in time."""

    def __init__(self, address: str) -> None:
        self._client = AdminClient({"bootstrap.servers": address, **CLIENT})

    def serves(self, node: int) -> bool:
        """Whether a node is there and has caught up, so that another may be lost; and no topic waits for a leader."""
        seen = self._look()
        if seen is None or node not in seen.brokers:
            return False
        return all(_is_led(topic) and _has_caught_up(topic, node) for topic in seen.topics.values())

    def make_topics(self, names: Sequence[str], partitions: int, copies: int = 1, **settings: str) -> None:
        """Make those that are not there; returns when each of their partitions can be written to."""
        config = {"max.message.bytes": str(LARGEST_RECORD), **settings}
        there = self._topics()
        assert there is not None, "Kafka does not answer"
        missing = [NewTopic(name, partitions, copies, config=config) for name in names if name not in there]
        if missing:
            for made in self._client.create_topics(missing, operation_timeout=ORDER_S).values():
                made.result(ORDER_S)
        assert wait_until(lambda: self._are_led(names), ORDER_S), f"no leaders of {names}"

    def delete_topics(self, names: Sequence[str]) -> None:
        """Delete topics; returns when they are gone."""
        for deleted in self._client.delete_topics(list(names), operation_timeout=ORDER_S).values():
            deleted.result(ORDER_S)
        assert wait_until(lambda: self._are_gone(names), ORDER_S), f"{names} are still there"

    def set_topic(self, name: str, settings: Mapping[str, str]) -> None:
        """Change settings of one topic."""
        changes = [
            ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET) for key, value in settings.items()
        ]
        resource = ConfigResource("topic", name, incremental_configs=changes)
        for changed in self._client.incremental_alter_configs([resource]).values():
            changed.result(ORDER_S)

    def _are_led(self, names: Sequence[str]) -> bool:
        there = self._topics()
        return there is not None and all(there.get(name) for name in names)

    def _are_gone(self, names: Sequence[str]) -> bool:
        there = self._topics()
        return there is not None and not set(names) & there.keys()

    def _topics(self) -> Mapping[str, bool] | None:
        """Every topic, and whether all its partitions have a leader; None if Kafka does not answer."""
        seen = self._look()
        return None if seen is None else {name: _is_led(topic) for name, topic in seen.topics.items()}

    def _look(self) -> ClusterMetadata | None:
        try:
            return self._client.list_topics(timeout=PROBE_S)
        except KafkaException:
            return None


def _is_led(topic: TopicMetadata) -> bool:
    partitions = topic.partitions.values()
    return bool(partitions) and all(partition.leader >= 0 for partition in partitions)


def _has_caught_up(topic: TopicMetadata, node: int) -> bool:
    copies = [partition for partition in topic.partitions.values() if node in partition.replicas]
    return all(node in partition.isrs for partition in copies)
