"""An idle consumer raises an error when Kafka goes down."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any

import pytest

from holdfast_runtime.kafka import KafkaConfig
from inventory_service.adapters.kafka import clients as kafka_clients
from inventory_service.adapters.kafka.compensations import KafkaCompensations
from inventory_service.adapters.kafka.progress import KafkaProgress
from inventory_service.domain.shards import KafkaUnavailable
from tests.servers import PARTITIONS, StartBroker

NOTICES_S = 45.0
Consume = Callable[[KafkaConfig], AsyncGenerator[Any, None]]


@pytest.mark.parametrize(
    "consume",
    [
        lambda config: KafkaProgress(config, PARTITIONS).reports(lambda: None),
        lambda config: KafkaCompensations(config).compensations(lambda: None),
    ],
    ids=["progress", "compensations"],
)
async def test_an_idle_consumer_fails_when_kafka_goes_down(
    start_broker: StartBroker, monkeypatch: pytest.MonkeyPatch, consume: Consume
) -> None:
    """aiokafka itself retries for ever without an error, so no metric would show the outage."""
    monkeypatch.setattr(kafka_clients, "LIVENESS_CHECK_S", 0.2)
    broker = start_broker()

    async with aclosing(consume(KafkaConfig(broker.address))) as records:
        receiving = asyncio.ensure_future(anext(records))
        done, _ = await asyncio.wait({receiving}, timeout=2.0)
        assert not done, "an idle topic is no outage"
        broker.down()

        with pytest.raises(KafkaUnavailable):
            await asyncio.wait_for(receiving, NOTICES_S)
