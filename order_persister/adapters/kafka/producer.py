"""Sends records to Kafka in batches that are stored whole or not at all, and reads how many partitions a topic has."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError
from aiokafka.producer.message_accumulator import BatchBuilder

from holdfast_runtime.connection_errors import TransientError
from holdfast_runtime.kafka import KafkaConfig, stop
from holdfast_runtime.retry import Retrier
from order_persister.domain.ports import Message
from order_persister.service.publisher import BATCH_BYTES

REQUEST_TIMEOUT_MS = 10_000


class Sender:
    """A producer that connects when it is first used, so that the persister may start while Kafka is unavailable.

    Faust's own producer takes facts one by one and may split them over batches.
    """

    def __init__(self, config: KafkaConfig, retrier: Retrier) -> None:
        self._config = config
        self._retrier = retrier
        self._producer: AIOKafkaProducer | None = None
        self._connecting = asyncio.Lock()

    async def send(self, messages: Sequence[Message]) -> None:
        """Send messages of one topic and shard, in order, and return when Kafka has confirmed all.

        It retries while Kafka is unavailable. After a lost confirmation they are sent again, so some may arrive twice.
        """
        await self._retrier.retry("Kafka", lambda: self._attempt(messages))

    async def close(self) -> None:
        """Stop once pending sends have ended."""
        if self._producer is not None:
            await self._producer.stop()

    async def _attempt(self, messages: Sequence[Message]) -> None:
        with kafka_errors():
            producer = await self._ready_producer()
        topic, shard = self._config.named(messages[0].topic), messages[0].shard
        try:
            with kafka_errors():
                confirmed = await producer.send_batch(_batch(producer, messages), topic, partition=shard)
                await confirmed
        except TransientError:
            await self._discard_if_ended(producer)
            raise

    async def _ready_producer(self) -> AIOKafkaProducer:
        async with self._connecting:
            if self._producer is None:
                producer = AIOKafkaProducer(
                    **self._config.options(),
                    acks="all",
                    max_batch_size=2 * BATCH_BYTES,  # Kafka adds some bytes to each record
                    request_timeout_ms=REQUEST_TIMEOUT_MS,
                )
                try:
                    await producer.start()
                except BaseException:  # it has tasks and connections already, also if this is cancelled
                    await producer.stop()
                    raise
                self._producer = producer
        return self._producer

    async def _discard_if_ended(self, producer: AIOKafkaProducer) -> None:
        """Have the next attempt create a producer if this one's task has ended, on an error that aiokafka does not
        expect: it would fail every batch from then on.
        """
        sender: Any = producer._sender
        if sender.sender_task.done() and self._producer is producer:
            self._producer = None
            await stop(producer)


async def partitions_of(topic: str, config: KafkaConfig) -> int:
    """How many partitions a topic has. Raises `TransientError` while Kafka is unavailable or lacks the topic.

    The metadata of all topics is fetched, because a broker may create a topic that is asked for by its name.
    """
    client = AIOKafkaClient(**config.options(), request_timeout_ms=REQUEST_TIMEOUT_MS)
    try:
        with kafka_errors():
            await client.bootstrap()
            cluster = await client.fetch_all_metadata()
    finally:
        await client.close()
    found = cluster.partitions_for_topic(topic)
    if not found:
        raise TransientError(f"there is no topic {topic} yet: run `holdfast topics`")
    return len(found)


@contextmanager
def kafka_errors() -> Iterator[None]:
    """Turn the errors of aiokafka into `TransientError`: none of them is permanent."""
    try:
        yield
    except (KafkaError, OSError, TimeoutError) as error:
        raise TransientError(f"{type(error).__name__}: {error}") from error


def _batch(producer: AIOKafkaProducer, messages: Sequence[Message]) -> BatchBuilder:
    batch = producer.create_batch()
    for message in messages:
        appended = batch.append(key=message.key, value=message.value, timestamp=None)
        assert appended is not None, "the publisher cuts its batches to fit"
    batch.close()
    return batch
