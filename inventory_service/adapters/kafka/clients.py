"""Starts aiokafka's clients and reads from its consumers; an outage of Kafka is a `KafkaUnavailable`."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord
from aiokafka.errors import KafkaError, MessageSizeTooLargeError

from holdfast_runtime.kafka import adapt_aiokafka, raise_fetch_error, stop
from inventory_service.domain.shards import KafkaUnavailable

REQUEST_TIMEOUT_MS = 10_000
LIVENESS_CHECK_S = 5.0  # without a record, after which a consumer asks whether Kafka answers


@contextmanager
def kafka_errors() -> Iterator[None]:
    """Turn errors of an outage into `KafkaUnavailable`; a record that is too large for Kafka is a bug and stays one."""
    try:
        yield
    except MessageSizeTooLargeError:
        raise
    except (KafkaError, OSError, TimeoutError) as error:
        raise KafkaUnavailable(f"{type(error).__name__}: {error}") from error


async def start(client: AIOKafkaProducer | AIOKafkaConsumer) -> None:
    """Connect; KafkaUnavailable if no broker answers."""
    adapt_aiokafka()
    try:
        with kafka_errors():
            async with asyncio.timeout(2 * REQUEST_TIMEOUT_MS / 1000):
                await client.start()
    except BaseException:  # a cancellation too: the client has tasks and connections already
        await stop(client)
        raise


async def next_record(consumer: AIOKafkaConsumer, connected: Callable[[], None]) -> ConsumerRecord:
    """Wait for the next record; `KafkaUnavailable` if no broker answers or the consumer has stopped fetching.

    A consumer itself raises neither. `connected` is called whenever Kafka has answered, with a record or without.
    """
    fetch = asyncio.ensure_future(consumer.getone())
    try:
        with kafka_errors():
            while not (await asyncio.wait({fetch}, timeout=LIVENESS_CHECK_S))[0]:
                raise_fetch_error(consumer)
                async with asyncio.timeout(2 * REQUEST_TIMEOUT_MS / 1000):  # one broker of several may hang
                    await consumer.topics()
                connected()
            record = fetch.result()
        connected()
        return record
    finally:
        fetch.cancel()
        await asyncio.gather(fetch, return_exceptions=True)
