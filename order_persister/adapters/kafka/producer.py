"""Sends records to Kafka in batches that arrive whole or not at all, and asks it for its topics."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from aiokafka import AIOKafkaProducer
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError
from aiokafka.producer.message_accumulator import BatchBuilder

from order_persister.adapters.kafka.access import KafkaAccess
from order_persister.adapters.kafka.publisher import BATCH_BYTES, Message
from order_persister.patience import Patience, TransientError

ANSWER_MS = 10_000


class Sender:
    """A producer that connects when first needed, so that the persister may start while Kafka is away.

    Faust's own would do for a few records a second; it takes facts one by one, and they may then be split over batches.
    """

    def __init__(self, access: KafkaAccess, patience: Patience) -> None:
        self._access = access
        self._patience = patience
        self._producer: AIOKafkaProducer | None = None
        self._making = asyncio.Lock()

    async def send(self, messages: Sequence[Message]) -> None:
        """Send messages of one topic and shard, in order, and return when Kafka has confirmed all.

        It waits while Kafka is away. Some may arrive twice: after a confirmation that got lost they are sent again.
        """
        await self._patience.wait_out("kafka", lambda: self._attempt(messages))

    async def close(self) -> None:
        """Stop, after what is under way."""
        if self._producer is not None:
            await self._producer.stop()

    async def _attempt(self, messages: Sequence[Message]) -> None:
        with judged():
            producer = await self._ready_producer()
            topic, shard = self._access.named(messages[0].topic), messages[0].shard
            confirmed = await producer.send_batch(_batch(producer, messages), topic, partition=shard)
            await confirmed

    async def _ready_producer(self) -> AIOKafkaProducer:
        async with self._making:
            if self._producer is None:
                producer = AIOKafkaProducer(
                    **self._access.options(),
                    acks="all",
                    max_batch_size=2 * BATCH_BYTES,  # Kafka adds a little to each record
                    request_timeout_ms=ANSWER_MS,
                )
                try:
                    await producer.start()
                except BaseException:  # it has tasks and connections already, also when the wait for it is cancelled
                    await producer.stop()
                    raise
                self._producer = producer
        return self._producer


async def partitions_of(topic: str, access: KafkaAccess) -> int:
    """How many partitions a topic has. Raises `Passing` while Kafka, or the topic, is not there.

    All topics are asked for, for asking for one by its name may make it.
    """
    client = AIOKafkaClient(**access.options(), request_timeout_ms=ANSWER_MS)
    try:
        with judged():
            await client.bootstrap()
            cluster = await client.fetch_all_metadata()
    finally:
        await client.close()
    found = cluster.partitions_for_topic(topic)
    if not found:
        raise TransientError(f"there is no topic {topic} yet: run `holdfast topics`")
    return len(found)


@contextmanager
def judged() -> Iterator[None]:
    """Turn what aiokafka raises into `Passing`: nothing that it says is for good."""
    try:
        yield
    except (KafkaError, OSError, TimeoutError) as error:
        raise TransientError(f"{type(error).__name__}: {error}") from error


def _batch(producer: AIOKafkaProducer, messages: Sequence[Message]) -> BatchBuilder:
    batch = producer.create_batch()
    for message in messages:
        taken = batch.append(key=message.key, value=message.value, timestamp=None)
        assert taken is not None, "the teller cuts its batches to fit"
    batch.close()
    return batch
