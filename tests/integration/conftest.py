"""What several files of these tests start: persisters, and the world of one."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from order_persister.kafka.tell import COMPENSATIONS_TOPIC, FACTS_TOPIC, PROGRESS_TOPIC
from tests.books import disagreements
from tests.commits import FakeShard
from tests.integration.persister_process import StartPersister, persisters
from tests.integration.persister_world import SHARDS, World
from tests.ledgers import open_shards
from tests.servers import connected


@pytest.fixture
def start_persister(tmp_path: Path) -> Iterator[StartPersister]:
    """Start persisters of this test alone."""
    with persisters(tmp_path) as start:
        yield start


@pytest.fixture
async def world(broker: str, database: str) -> AsyncIterator[World]:
    """Sixteen shards, one of which does something; the books are held against each other at the end."""
    async with connected(database) as db:
        await open_shards(db, range(SHARDS))
        producer = AIOKafkaProducer(bootstrap_servers=broker)
        heard = AIOKafkaConsumer(
            PROGRESS_TOPIC, COMPENSATIONS_TOPIC, FACTS_TOPIC, bootstrap_servers=broker, auto_offset_reset="earliest"
        )
        await producer.start()
        await heard.start()
        shard = FakeShard(shard=5)
        shard.open_sale(lamp=5000)
        yield World(broker, database, shard, db, producer, heard)
        await heard.stop()
        await producer.stop()
        assert await disagreements(db) == []
