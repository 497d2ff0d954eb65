"""The server's probe of Redis: each failure is counted; the log has the start and the end of an outage."""

from typing import cast

import structlog
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from holdfast_runtime.retry import Outage, Outages
from inventory_service.adapters.redis.shards import RedisShards
from inventory_service.domain.shards import RedisUnavailable, ShardStatus
from inventory_service.service.memory_watch import MemoryWatch
from inventory_service.wiring.serve import store_probe

SHARDS = 2


class FakeRedis:
    """A Redis with as many shards as the server is set to, unavailable when the test says so."""

    def __init__(self) -> None:
        self.is_away = False

    async def status(self, shard: int) -> ShardStatus:
        if self.is_away:
            raise RedisUnavailable("Connection refused")
        return ShardStatus(shard, "run", SHARDS, 1, 0, "", 0, "run", "", "", 0)

    async def check(self) -> None:
        """The check of its memory passes."""


async def test_an_outage_is_logged_once_and_counted_at_each_probe() -> None:
    """The log shows from when to when calls failed, in two lines."""
    redis, registry = FakeRedis(), CollectorRegistry()
    outages = Outages(registry)
    outage = Outage(outages, structlog.get_logger())
    look = store_probe(cast(RedisShards, redis), SHARDS, cast(MemoryWatch, redis), outage)

    with capture_logs() as logged:
        for redis.is_away in (False, True, True, False, False):
            await look()
            assert bool(outages.open()) == redis.is_away

    assert [event["event"] for event in logged] == ["server_unavailable", "server_recovered"]
    assert registry.get_sample_value("holdfast_retries_total", {"server": "redis"}) == 2
