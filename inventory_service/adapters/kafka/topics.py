"""Counts and makes topics."""

from collections.abc import Mapping

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import TopicAlreadyExistsError, for_code

from inventory_service.adapters.kafka.access import KafkaAccess
from inventory_service.adapters.kafka.clients import REQUEST_MS, kafka_errors
from inventory_service.adapters.kafka.names import LARGEST_RECORD
from inventory_service.domain.shards import TopicSpec


class KafkaTopics:
    """The topics themselves."""

    def __init__(self, access: KafkaAccess) -> None:
        self._access = access

    async def partitions(self) -> Mapping[str, int]:
        """Partitions of every topic there is. All topics are asked for, for asking for one by name may make it."""
        client = AIOKafkaClient(**self._access.options(), request_timeout_ms=REQUEST_MS)
        try:
            with kafka_errors():
                await client.bootstrap()
                cluster = await client.fetch_all_metadata()
            return {topic: len(cluster.partitions_for_topic(topic) or ()) for topic in cluster.topics()}
        finally:
            await client.close()

    async def create(self, plan: TopicSpec) -> None:
        """Make one topic that takes our largest records; somebody else may be making it too, which is fine."""
        admin = AIOKafkaAdminClient(**self._access.options(), request_timeout_ms=REQUEST_MS)
        settings = {**plan.settings, "max.message.bytes": str(LARGEST_RECORD)}
        topic = NewTopic(plan.name, plan.partitions, plan.replication, topic_configs=settings)
        with kafka_errors():
            try:
                await admin.start()
                answer = await admin.create_topics([topic])
                for _, code, *_ in answer.topic_errors:
                    if code and for_code(code) is not TopicAlreadyExistsError:
                        raise for_code(code)(f"while making {plan.name}")
            finally:
                await admin.close()
