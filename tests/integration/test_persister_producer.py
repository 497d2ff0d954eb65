"""The persister's Kafka producer with a broker that is down at first or never answers, and after a bug."""

import asyncio
import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.client import AIOKafkaClient
from aiokafka.protocol.produce import ProduceRequest
from prometheus_client import CollectorRegistry

from holdfast_runtime.kafka import ORDERS, KafkaConfig
from holdfast_runtime.retry import Outages, Retrier
from order_persister.adapters.kafka.producer import Sender
from order_persister.domain.ports import Message
from tests.ledgers import waits
from tests.servers import StartBroker
from tests.shared_kafka import Kafka
from tests.waiting import eventually

MESSAGE = Message(ORDERS, 5, b"key", b"value")
ARRIVES_S = 60.0

# A producer that was not stopped raises a warning when it is collected.
pytestmark = pytest.mark.filterwarnings("ignore:Unclosed AIOKafkaProducer:ResourceWarning")


@contextmanager
def no_unclosed_producer() -> Iterator[None]:
    """Assert that every producer was closed."""
    warnings: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: warnings.append(context))
    yield
    gc.collect()
    assert warnings == []


async def test_the_first_send_waits_for_kafka(start_broker: StartBroker) -> None:
    """The producer is created at the first send; those whose start failed are closed."""
    server, registry = start_broker(), CollectorRegistry()
    server.down()
    sender = Sender(KafkaConfig(server.address), Retrier(Outages(registry)))

    with no_unclosed_producer():
        sending = asyncio.ensure_future(sender.send([MESSAGE]))
        await eventually(lambda: waits(registry, "kafka") > 1)
        server.up()
        await asyncio.wait_for(sending, ARRIVES_S)

    consumer = AIOKafkaConsumer(ORDERS, bootstrap_servers=server.address, auto_offset_reset="earliest")
    await consumer.start()
    record = await asyncio.wait_for(consumer.getone(), ARRIVES_S)
    await consumer.stop()
    await sender.close()
    assert (record.partition, record.value) == (MESSAGE.shard, MESSAGE.value)


async def test_a_producer_whose_task_has_ended_is_replaced(kafka: Kafka, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error that aiokafka does not expect ends it, and then it fails every batch, although Kafka answers."""
    sender = Sender(kafka.config, Retrier(Outages(CollectorRegistry())))
    send, failed = AIOKafkaClient.send, asyncio.Event()

    async def fail_once(client: AIOKafkaClient, node: int, request: object, **options: Any) -> object:
        if isinstance(request, ProduceRequest) and not failed.is_set():
            failed.set()
            raise LookupError("a bug")
        return await send(client, node, request, **options)

    monkeypatch.setattr(AIOKafkaClient, "send", fail_once)

    with no_unclosed_producer():
        await asyncio.wait_for(sender.send([MESSAGE]), ARRIVES_S)
        await sender.close()

    assert failed.is_set()


async def test_a_first_send_that_is_cancelled_leaves_nothing_behind() -> None:
    """A persister that is stopped may be waiting for a broker that accepts connections and never answers."""
    connected = asyncio.Event()

    async def never_reply(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connected.set()
        await writer.wait_closed()

    async with await asyncio.start_server(never_reply, "127.0.0.1") as silent:
        port = silent.sockets[0].getsockname()[1]
        sender = Sender(KafkaConfig(f"127.0.0.1:{port}"), Retrier(Outages(CollectorRegistry())))

        with no_unclosed_producer():
            sending = asyncio.ensure_future(sender.send([MESSAGE]))
            await connected.wait()
            sending.cancel()
            await asyncio.wait({sending})
            assert sending.cancelled()
            del sending
