"""Kafka's AdminClient for tests: creates and deletes topics, changes their settings, and checks for nodes in sync."""

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
from holdfast_embedded.process import wait_until

PROBE_S = 1.0
CHANGE_S = 60.0
LARGEST_RECORD = 8 * 1024 * 1024
# librdkafka logs each failed connection on standard error, and by default retries at intervals of up to 10 s.
CLIENT = {"log_level": "0", "reconnect.backoff.max.ms": "200"}


class KafkaAdmin:
    """Each method returns when its change is visible in the cluster; AssertionError if it is not in time."""

    def __init__(self, address: str) -> None:
        self._client = AdminClient({"bootstrap.servers": address, **CLIENT})

    def serves(self, node: int) -> bool:
        """Whether a node is registered and in sync, so that another may be lost, and every partition has a leader."""
        metadata = self._metadata()
        if metadata is None or node not in metadata.brokers:
            return False
        return all(_has_leaders(topic) and _is_in_sync(topic, node) for topic in metadata.topics.values())

    def create_topics(self, names: Sequence[str], partitions: int, copies: int = 1, **settings: str) -> None:
        """Create those that do not exist; return when each of their partitions has a leader."""
        config = {"max.message.bytes": str(LARGEST_RECORD), **settings}
        topics = self._client.list_topics(timeout=CHANGE_S).topics
        missing = [NewTopic(name, partitions, copies, config=config) for name in names if name not in topics]
        if missing:
            for created in self._client.create_topics(missing, operation_timeout=CHANGE_S).values():
                created.result(CHANGE_S)
        assert wait_until(lambda: self._all_have_leaders(names), CHANGE_S), f"no leaders of {names}"

    def delete_topics(self, names: Sequence[str]) -> None:
        """Delete topics; return when they are gone."""
        for deleted in self._client.delete_topics(list(names), operation_timeout=CHANGE_S).values():
            deleted.result(CHANGE_S)
        assert wait_until(lambda: self._are_gone(names), CHANGE_S), f"{names} are still there"

    def set_topic(self, name: str, settings: Mapping[str, str]) -> None:
        """Change settings of one topic."""
        changes = [
            ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET) for key, value in settings.items()
        ]
        resource = ConfigResource("topic", name, incremental_configs=changes)
        for changed in self._client.incremental_alter_configs([resource]).values():
            changed.result(CHANGE_S)

    def _all_have_leaders(self, names: Sequence[str]) -> bool:
        topics = self._topics()
        return topics is not None and all(topics.get(name) for name in names)

    def _are_gone(self, names: Sequence[str]) -> bool:
        topics = self._topics()
        return topics is not None and not set(names) & topics.keys()

    def _topics(self) -> Mapping[str, bool] | None:
        """Return every topic, and whether all its partitions have a leader; None if Kafka does not answer."""
        metadata = self._metadata()
        return None if metadata is None else {name: _has_leaders(topic) for name, topic in metadata.topics.items()}

    def _metadata(self) -> ClusterMetadata | None:
        try:
            return self._client.list_topics(timeout=PROBE_S)
        except KafkaException:
            return None


def _has_leaders(topic: TopicMetadata) -> bool:
    partitions = topic.partitions.values()
    return bool(partitions) and all(partition.leader >= 0 for partition in partitions)


def _is_in_sync(topic: TopicMetadata, node: int) -> bool:
    copies = [partition for partition in topic.partitions.values() if node in partition.replicas]
    return all(node in partition.isrs for partition in copies)
