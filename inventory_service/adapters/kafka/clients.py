"""Start and hear aiokafka's clients, so that an outage is an error of ours, and nothing else is."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord
from aiokafka.errors import KafkaError, MessageSizeTooLargeError

from holdfast_runtime.kafka import disable_topic_auto_creation, stop
from inventory_service.domain.shards import KafkaUnavailable

REQUEST_MS = 10_000
SILENCE_S = 5.0


@contextmanager
def kafka_errors() -> Iterator[None]:
    """Turn every way of getting no answer into `KafkaUnavailable`; a record too large for Kafka stays a surprise."""
    try:
        yield
    except MessageSizeTooLargeError:
        raise
    except (KafkaError, OSError, TimeoutError) as error:
        raise KafkaUnavailable(f"{type(error).__name__}: {error}") from error


async def start(client: AIOKafkaProducer | AIOKafkaConsumer) -> None:
    """Connect; KafkaUnavailable if no broker answers."""
    disable_topic_auto_creation()
    try:
        with kafka_errors():
            async with asyncio.timeout(2 * REQUEST_MS / 1000):
                await client.start()
    except BaseException:  # a cancellation too: it has tasks and connections already
        await stop(client)
        raise


async def next_record(consumer: AIOKafkaConsumer) -> ConsumerRecord:
    """The next record, whenever it comes; KafkaUnavailable if brokers are away, which a consumer tells nobody."""
    coming = asyncio.ensure_future(consumer.getone())
    try:
        with kafka_errors():
            while not (await asyncio.wait({coming}, timeout=SILENCE_S))[0]:
                async with asyncio.timeout(2 * REQUEST_MS / 1000):  # one broker of several may be silent
                    await consumer.topics()
            return coming.result()
    finally:
        coming.cancel()
        await asyncio.gather(coming, return_exceptions=True)
