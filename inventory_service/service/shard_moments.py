"""Where the shards stand in Redis, read once for all calls that ask within a quarter of a second."""

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial
from time import perf_counter

from inventory_service.domain.lists import ShardMoment
from inventory_service.domain.shard_ports import Shards
from inventory_service.domain.shards import RedisUnavailable
from inventory_service.domain.time_left import caller_leaves
from inventory_service.service.cached_read import CachedRead

MAX_AGE_S = 0.25
TIMEOUT_S = 1.0  # a shard that takes longer counts as unavailable


class ShardMoments:
    """Reads shards, whether or not they serve."""

    def __init__(self, shards: Shards, count: int) -> None:
        self._shards = shards
        self._moments = [CachedRead(partial(self._read, shard), MAX_AGE_S) for shard in range(count)]

    async def read(self, shards: Sequence[int]) -> Mapping[int, ShardMoment | None]:
        """Where each of these stood, before this returns; None: it did not answer, in a quarter of the time left."""
        limit_s = min(TIMEOUT_S, (caller_leaves.get() - perf_counter()) / 4)
        try:
            async with asyncio.timeout(limit_s):
                moments = await asyncio.gather(*(self._moments[shard].get() for shard in shards))
        except TimeoutError:
            return dict.fromkeys(shards)
        return dict(zip(shards, moments, strict=True))

    async def _read(self, shard: int) -> ShardMoment | None:
        try:
            async with asyncio.timeout(TIMEOUT_S):
                status = await self._shards.status(shard)
        except (RedisUnavailable, TimeoutError):
            return None
        return ShardMoment(status.now_ms, status.head if status.serving else None)
