"""An idle consumer raises an error when Kafka goes down, and receives again when its process was halted meanwhile."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from holdfast.inventory.v1.events_pb2 import LedgerProgress

from holdfast_runtime.kafka import COMPENSATIONS, PROGRESS, KafkaConfig
from inventory_service.adapters.kafka import clients as kafka_clients
from inventory_service.adapters.kafka import compensations, progress
from inventory_service.adapters.kafka.compensations import KafkaCompensations
from inventory_service.adapters.kafka.progress import KafkaProgress
from inventory_service.domain.shards import KafkaUnavailable
from tests.servers import PARTITIONS, StartBroker

NOTICES_S = 45.0
REQUEST_TIMEOUT_S = 1.0
HALTED_S = 1.5  # longer than a request may take, and than a consumer waits until it asks whether Kafka answers
RECORD = LedgerProgress(shard=0, epoch=1, seq=1).SerializeToString()  # no compensation, which is yielded as None
Consume = Callable[[KafkaConfig, Callable[[], None]], AsyncGenerator[Any, None]]

consumers = pytest.mark.parametrize(
    "consume",
    [
        lambda config, connected: KafkaProgress(config, PARTITIONS).reports(connected),
        lambda config, connected: KafkaCompensations(config).compensations(connected),
    ],
    ids=["progress", "compensations"],
)


@consumers
async def test_an_idle_consumer_fails_when_kafka_goes_down(
    start_broker: StartBroker, monkeypatch: pytest.MonkeyPatch, consume: Consume
) -> None:
    """aiokafka itself retries for ever without an error, so no metric would show the outage."""
    monkeypatch.setattr(kafka_clients, "LIVENESS_CHECK_S", 0.2)
    broker = start_broker()

    async with aclosing(consume(KafkaConfig(broker.address), lambda: None)) as records:
        receiving = asyncio.ensure_future(anext(records))
        done, _ = await asyncio.wait({receiving}, timeout=2.0)
        assert not done, "an idle topic is no outage"
        broker.down()

        with pytest.raises(KafkaUnavailable):
            await asyncio.wait_for(receiving, NOTICES_S)


@consumers
async def test_a_consumer_that_was_halted_while_kafka_restarted_receives_again_or_fails(
    start_broker: StartBroker, monkeypatch: pytest.MonkeyPatch, consume: Consume
) -> None:
    """All at once it finds its connection closed, its fetch timed out, and the next check of Kafka due."""
    monkeypatch.setattr(kafka_clients, "LIVENESS_CHECK_S", REQUEST_TIMEOUT_S)
    for module in (compensations, progress):
        monkeypatch.setattr(module, "REQUEST_TIMEOUT_MS", int(1000 * REQUEST_TIMEOUT_S))
    broker = start_broker()

    async with receiving_from(consume, broker.address) as receiving:
        broker.down()
        time.sleep(HALTED_S)  # noqa: ASYNC251 - nothing else runs meanwhile, as in a process that is halted
        broker.up()
        sending = asyncio.create_task(send_again_and_again(broker.address))

        done, _ = await asyncio.wait({receiving}, timeout=NOTICES_S)

        sending.cancel()
        receiving.cancel()
        await asyncio.gather(receiving, sending, return_exceptions=True)
    assert done, "it neither received a record nor failed"
    assert isinstance(receiving.exception(), KafkaUnavailable | None)


@asynccontextmanager
async def receiving_from(consume: Consume, address: str) -> "AsyncIterator[asyncio.Future[Any]]":
    """A consumer that Kafka has answered; one that it did not answer in time is followed by another."""
    while True:
        checked = asyncio.Event()
        async with aclosing(consume(KafkaConfig(address), checked.set)) as records:
            receiving, checking = asyncio.ensure_future(anext(records)), asyncio.ensure_future(checked.wait())
            first = await asyncio.wait({receiving, checking}, timeout=NOTICES_S, return_when=asyncio.FIRST_COMPLETED)
            checking.cancel()
            assert first[0], "Kafka was never asked"
            if not receiving.done():
                yield receiving
                return
            assert isinstance(receiving.exception(), KafkaUnavailable)


async def send_again_and_again(address: str) -> None:
    """The consumer may start at the end of its topic, so records sent before it is ready are missed."""
    async with AIOKafkaProducer(bootstrap_servers=address) as producer:
        while True:
            for topic in (PROGRESS, COMPENSATIONS):
                await producer.send_and_wait(topic, RECORD, partition=0)
            await asyncio.sleep(0.1)
