"""Builds the probe by which a server's health follows its Redis."""

from holdfast_runtime.retry import Outage
from inventory_service.adapters.redis.breaker import NO_BREAKER, NoBreaker
from inventory_service.adapters.redis.shards import RedisShards
from inventory_service.domain.shards import RedisUnavailable, ShardStatus, check_shard_count
from inventory_service.rpc.server import HealthProbe, StoreHealth
from inventory_service.service.memory_watch import MemoryWatch


def store_probe(
    shards: RedisShards, count: int, memory: MemoryWatch, outage: Outage, breaker: NoBreaker = NO_BREAKER
) -> HealthProbe:
    """Probes Redis while its circuit breaker is closed.

    The probe raises ShardCountMismatch if Redis was initialized for another number of shards.
    """
    is_initialized = False

    async def probe() -> StoreHealth:
        nonlocal is_initialized
        try:
            async with breaker.while_closed():
                found = await _until_one_is_owned(shards, count)
                await memory.check()
        except RedisUnavailable as error:
            outage.failed(error.server, str(error))
            return StoreHealth(is_ready=False, is_initialized=is_initialized)
        outage.recovered()
        for status in found:
            check_shard_count(count, status.shards, "Redis")
        is_initialized = is_initialized or any(status.shards for status in found)
        return StoreHealth(is_ready=found[-1].owned, is_initialized=is_initialized)

    return probe


async def _until_one_is_owned(shards: RedisShards, count: int) -> list[ShardStatus]:
    """The shards in their order, up to one that was opened for the Redis that answers; all if there is none."""
    found: list[ShardStatus] = []
    for shard in range(count):
        found.append(await shards.status(shard))
        if found[-1].owned:
            break
    return found
