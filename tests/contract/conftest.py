"""Each test runs on every implementation of the stock; afterwards balances and commits must agree."""

from collections.abc import AsyncIterator, Iterator

import pytest
from redis import Redis

from inventory_service.adapters.redis import connecting
from tests.contract.balances import assert_balances_add_up
from tests.contract.shards import InMemoryShard, RedisShard, ServedShard, ShardUnderTest

OUTBOX_LIMIT = 100


@pytest.fixture(autouse=True)
def long_connection_timeouts(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine a connection takes long, which must not fail a test."""
    monkeypatch.setattr(connecting, "CONNECT_S", 20.0)


@pytest.fixture(scope="session")
def client(shared_valkey: str) -> Iterator[Redis]:
    """A connection of the suite's own."""
    with Redis.from_url(shared_valkey) as client:
        yield client


@pytest.fixture
def valkey(shared_valkey: str, client: Redis) -> str:
    """An empty Valkey. It keeps the scripts that tests before have loaded, which saves a fifth of the time."""
    client.flushall()
    return shared_valkey


@pytest.fixture
async def scripts(valkey: str) -> AsyncIterator[RedisShard]:
    """The scripts alone, on an open shard."""
    shard = RedisShard(valkey, OUTBOX_LIMIT)
    await shard.open_shard()
    yield shard
    await shard.connections.close()


@pytest.fixture
async def memory() -> InMemoryShard:
    """The stock in memory."""
    return InMemoryShard(OUTBOX_LIMIT)


@pytest.fixture
async def served(valkey: str) -> AsyncIterator[RedisShard]:
    """The scripts behind batcher and archive, on an open shard."""
    shard = ServedShard(valkey, OUTBOX_LIMIT)
    await shard.open_shard()
    yield shard
    await shard.connections.close()


@pytest.fixture(params=["memory", "scripts", "served"])
def each_shard(request: pytest.FixtureRequest) -> ShardUnderTest:
    """One of the implementations."""
    shard: ShardUnderTest = request.getfixturevalue(request.param)
    return shard


@pytest.fixture
async def shard(each_shard: ShardUnderTest) -> AsyncIterator[ShardUnderTest]:
    """One of the implementations; afterwards its balances must agree with its commits."""
    yield each_shard
    await assert_balances_add_up(each_shard)
