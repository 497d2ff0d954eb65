"""Builds `topics`, which makes Kafka's topics and checks them."""

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


async def make_topics(
    settings: Settings,
    replication: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=100,
            metavar="N",
            help="Copies of each partition when made (default: one on each broker, three at most).",
        ),
    ] = None,
    as_json: Annotated[bool, JsonOption()] = False,
) -> int:
    """Make Kafka's topics, or check them."""
    config = kafka_config(settings)
    parts = topics.Parts(
        KafkaTopics(config),
        KafkaServerConfig(config).brokers,
        lambda: check_kafka(settings),
        log,
        print if as_json else None,
    )
    names = [need.topic for need in required_topics(settings)]
    return await run_unless_signalled(topics.run(parts, names, settings.shards, replication))


COMMAND = Command(
    name="topics",
    purpose="make Kafka's topics, or check them",
    dependencies=(kafka_dependency,),
    settings=(*KAFKA, "kafka_session_timeout_s", "shards", "start_wait_s", *LOGGING),
    run=make_topics,
    kind=Settings,
    verifies=True,
)
