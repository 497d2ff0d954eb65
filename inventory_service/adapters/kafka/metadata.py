"""Keep aiokafka from having Kafka make a topic that is not there.

It asks for topics by name whenever it looks around, lets Kafka make what is missing, and has no setting for it. A topic
that was deleted would be back at once with Kafka's own number of partitions, before anybody could make it properly.
"""

from functools import partial

import aiokafka.client
from aiokafka.protocol.metadata import MetadataRequest


def disable_topic_auto_creation() -> None:
    """Let every client of this process only ask; again does no harm."""
    aiokafka.client.MetadataRequest = partial(MetadataRequest, allow_auto_topic_creation=False)
