"""Fixtures of several files: persisters, a ledger of one shard, a gRPC server, and a shard's processes."""

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from types import FunctionType
from typing import cast

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from bench.commits import FakeShard
from holdfast_runtime import postgres as ledger_connections
from holdfast_runtime.kafka import COMPENSATIONS, ORDERS, PROGRESS, SALES
from inventory_service.adapters.redis import connecting, connection, sentinel
from inventory_service.domain import circuit_breaker
from inventory_service.service import blocked_buyers, revocations, shard_moments
from inventory_service.service.relay import lease
from inventory_service.wiring import serve
from order_persister.adapters.ledger.postgres import Database
from tests import inventory_server as served
from tests.integration.one_shard_ledger import OneShardLedger
from tests.integration.persister_fixture import SHARDS, PersisterFixture
from tests.integration.shard_processes import ShardProcesses
from tests.ledger_consistency import inconsistencies
from tests.ledgers import ledger_in, open_shards
from tests.persister_process import StartPersister, persisters
from tests.servers import connected
from tests.shared_kafka import Kafka

ANSWERS_S = 20.0


def defaults_of(function: Callable[..., object]) -> dict[str, object]:
    """The defaults of its arguments that are given by name."""
    found = cast(FunctionType, function).__kwdefaults__
    assert found is not None
    return found


@pytest.fixture(autouse=True)
def long_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Connecting and replies may take long on a busy machine, and must not count as a server that does not answer.

    A test of what happens then shortens one of these itself.
    """
    for module in (connecting, ledger_connections):
        monkeypatch.setattr(module, "CONNECT_S", ANSWERS_S)
    monkeypatch.setattr(sentinel, "ASK_S", ANSWERS_S)
    monkeypatch.setattr(circuit_breaker, "LATE_S", ANSWERS_S)
    monkeypatch.setitem(defaults_of(connection.RedisConnection.execute), "timeout_s", ANSWERS_S)
    monkeypatch.setattr(shard_moments, "TIMEOUT_S", ANSWERS_S)  # of lists, for the clocks of shards
    monkeypatch.setattr(blocked_buyers, "COPY_S", ANSWERS_S)
    monkeypatch.setattr(revocations, "STREAM_S", ANSWERS_S)
    monkeypatch.setattr(serve, "LEDGER_S", ANSWERS_S)  # of revocations


@pytest.fixture
def long_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leases that outlast any pause of the machine, for tests in which none may expire by itself."""
    monkeypatch.setattr(lease, "LEASE_S", 15.0)


@pytest.fixture
def start_persister(tmp_path: Path) -> Iterator[StartPersister]:
    """Start persisters of this test alone."""
    with persisters(tmp_path) as start:
        yield start


@pytest.fixture
async def fixture(kafka: Kafka, database: str) -> AsyncIterator[PersisterFixture]:
    """Sixteen shards, of which one gets commits; the ledger's tables are checked for consistency at the end."""
    async with connected(database) as db:
        await open_shards(db, range(SHARDS))
        producer = AIOKafkaProducer(bootstrap_servers=kafka.address)
        topics = map(kafka.named, (PROGRESS, COMPENSATIONS, ORDERS, SALES))
        consumer = AIOKafkaConsumer(*topics, bootstrap_servers=kafka.address, auto_offset_reset="earliest")
        await producer.start()
        await consumer.start()
        shard = FakeShard(shard=5)
        shard.open_sale(lamp=5000)
        yield PersisterFixture(kafka, database, shard, db, producer, consumer)
        await consumer.stop()
        await producer.stop()
        assert await inconsistencies(db) == []


@pytest.fixture
async def one_shard(database: str) -> AsyncIterator[OneShardLedger]:
    """A shard with a sale of 2,000 lamps, nothing applied yet."""
    async with connected(database) as db:
        await open_shards(db, [0])
        shard = FakeShard()
        shard.open_sale(lamp=2000)
        store = Database(database)
        one_shard = OneShardLedger(ledger_in(store), db, shard)
        yield one_shard
        await store.close()
        assert await inconsistencies(db) == []


@pytest.fixture
async def caller(valkey: str, database: str) -> AsyncIterator[served.Caller]:
    """Calls a server with open shards and a ledger."""
    await served.open_shards(valkey)
    async with served.running_server(valkey, database) as address, served.calling(address) as caller:
        yield caller


@pytest.fixture
async def processes(valkey: str, database: str, kafka: Kafka) -> AsyncIterator[ShardProcesses]:
    processes = ShardProcesses(valkey, database, kafka)
    await processes.open()
    yield processes
    await processes.close()
