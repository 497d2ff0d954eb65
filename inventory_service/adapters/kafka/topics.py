"""Lists and creates topics."""

from collections.abc import Mapping

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import TopicAlreadyExistsError, for_code

from holdfast_runtime.kafka import LARGEST_RECORD, KafkaConfig
from inventory_service.adapters.kafka.clients import REQUEST_TIMEOUT_MS, kafka_errors
from inventory_service.domain.shards import TopicSpec


class KafkaTopics:
    """Kafka's topics, through its admin API."""

    def __init__(self, config: KafkaConfig) -> None:
        self._config = config

    async def partitions(self) -> Mapping[str, int]:
        """The number of partitions of every topic. Asks for all, because metadata of one by name may create it."""
        client = AIOKafkaClient(**self._config.options(), request_timeout_ms=REQUEST_TIMEOUT_MS)
        try:
            with kafka_errors():
                await client.bootstrap()
                cluster = await client.fetch_all_metadata()
            return {topic: len(cluster.partitions_for_topic(topic) or ()) for topic in cluster.topics()}
        finally:
            await client.close()

    async def create(self, spec: TopicSpec) -> None:
        """Create one topic that allows the largest records; one that exists is fine, since others may create it."""
        admin = AIOKafkaAdminClient(**self._config.options(), request_timeout_ms=REQUEST_TIMEOUT_MS)
        settings = {**spec.settings, "max.message.bytes": str(LARGEST_RECORD)}
        topic = NewTopic(spec.name, spec.partitions, spec.replication, topic_configs=settings)
        with kafka_errors():
            try:
                await admin.start()
                answer = await admin.create_topics([topic])
                for _, code, *_ in answer.topic_errors:
                    if code and for_code(code) is not TopicAlreadyExistsError:
                        raise for_code(code)(f"while creating {spec.name}")
            finally:
                await admin.close()
