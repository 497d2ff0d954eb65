"""The server's probe of Redis: outages are counted and logged; a Redis for which no shard was opened is not ready."""

from typing import cast

import pytest
import structlog
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from holdfast_runtime.retry import Outage, Outages
from inventory_service.adapters.redis.shards import RedisShards
from inventory_service.domain.shards import RedisUnavailable, ShardStatus
from inventory_service.rpc.server import HealthProbe, StoreHealth
from inventory_service.service.memory_watch import MemoryWatch
from inventory_service.wiring.store_probe import store_probe

SHARDS = 2


class FakeRedis:
    """A Redis with as many shards as the server is set to, unavailable when the test says so."""

    def __init__(self) -> None:
        self.is_away = False
        self.owners = ["id"] * SHARDS

    async def status(self, shard: int) -> ShardStatus:
        if self.is_away:
            raise RedisUnavailable("Connection refused")
        return ShardStatus(shard, "id", SHARDS, 1, 0, "", 0, self.owners[shard], "", "", 0)

    async def check(self) -> None:
        """The check of its memory passes."""


def probe_of(redis: FakeRedis, outage: Outage) -> HealthProbe:
    """The probe of a server."""
    return store_probe(cast(RedisShards, redis), SHARDS, cast(MemoryWatch, redis), outage)


@pytest.mark.parametrize(
    ("owners", "is_ready"),
    [(["id", "id"], True), (["before", "id"], True), (["before", "before"], False)],
    ids=["all shards", "one shard", "no shard"],
)
async def test_a_server_is_ready_if_a_shard_was_opened_for_its_redis(owners: list[str], is_ready: bool) -> None:
    """An old master, a replica or a Redis that has just restarted answers, and serves no call."""
    redis = FakeRedis()
    redis.owners = owners

    health = await probe_of(redis, Outage(Outages(CollectorRegistry()), structlog.get_logger()))()

    assert health == StoreHealth(is_ready, is_initialized=True)


async def test_an_outage_is_logged_once_and_counted_at_each_probe() -> None:
    """The log shows from when to when calls failed, in two lines."""
    redis, registry = FakeRedis(), CollectorRegistry()
    outages = Outages(registry)
    outage = Outage(outages, structlog.get_logger())
    look = probe_of(redis, outage)

    with capture_logs() as logged:
        for redis.is_away in (False, True, True, False, False):
            await look()
            assert bool(outages.open()) == redis.is_away

    assert [event["event"] for event in logged] == ["server_unavailable", "server_recovered"]
    assert registry.get_sample_value("holdfast_retries_total", {"server": "redis"}) == 2
