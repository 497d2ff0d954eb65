"""An idle consumer notices that Kafka went away, and receives what is sent once it is back."""

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
Listen = Callable[[KafkaConfig], AsyncGenerator[Any, None]]


@pytest.mark.parametrize(
    "listen",
    [
        lambda access: KafkaProgress(access, PARTITIONS).reports(lambda: None),
        lambda access: KafkaCompensations(access).compensations(lambda: None),
    ],
    ids=["progress", "compensations"],
)
async def test_an_idle_consumer_notices_that_kafka_is_away(
    start_broker: StartBroker, monkeypatch: pytest.MonkeyPatch, listen: Listen
) -> None:
    """aiokafka itself looks for brokers for ever without an error: no metric would show it."""
    monkeypatch.setattr(kafka_clients, "LIVENESS_CHECK_S", 0.2)
    broker = start_broker()

    async with aclosing(listen(KafkaConfig(broker.address))) as heard:
        hearing = asyncio.ensure_future(anext(heard))
        done, _ = await asyncio.wait({hearing}, timeout=2.0)
        assert not done, "silence is no outage"
        broker.down()

        with pytest.raises(KafkaUnavailable):
            await asyncio.wait_for(hearing, NOTICES_S)
