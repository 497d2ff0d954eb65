"""Builds `topics`, which creates and checks Kafka's topics."""

from typing import Annotated

import structlog
import typer

from holdfast_runtime.kafka import kafka_config
from holdfast_runtime.kafka_probe import kafka_dependency
from holdfast_runtime.process import Command, JsonOption
from holdfast_runtime.settings import KAFKA, LOGGING
from holdfast_runtime.signals import run_unless_signalled
from inventory_service.adapters.kafka.server_config import KafkaServerConfig
from inventory_service.adapters.kafka.topics import KafkaTopics
from inventory_service.service import topics
from inventory_service.settings import Settings
from inventory_service.wiring.server_checks import check_kafka, required_topics

log = structlog.get_logger()


async def create_topics(
    settings: Settings,
    replication: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=100,
            metavar="N",
            help="Replicas of each new topic (default: one on each broker, at most three).",
        ),
    ] = None,
    as_json: Annotated[bool, JsonOption()] = False,
) -> int:
    """Create Kafka's missing topics, and check all."""
    config = kafka_config(settings)
    dependencies = topics.Dependencies(
        KafkaTopics(config),
        KafkaServerConfig(config).brokers,
        lambda: check_kafka(settings),
        log,
        print if as_json else None,
    )
    names = [required.topic for required in required_topics(settings)]
    return await run_unless_signalled(topics.run(dependencies, names, settings.shards, replication))


COMMAND = Command(
    name="topics",
    purpose="create Kafka's missing topics, and check all",
    dependencies=(kafka_dependency,),
    settings=(*KAFKA, "kafka_session_timeout_s", "shards", "start_wait_s", *LOGGING),
    run=create_topics,
    kind=Settings,
    verifies=True,
)
