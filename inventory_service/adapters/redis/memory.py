"""Reads how much of its `maxmemory` Redis uses."""

from redis.exceptions import ResponseError

from inventory_service.adapters.redis.connections import RedisConnections
from inventory_service.domain.shards import RedisUnavailable


class RedisMemory:
    """Reads INFO, which the Redis user of every process may run, since the scripts run it too."""

    def __init__(self, connections: RedisConnections) -> None:
        self._connections = connections

    async def used_share(self) -> float:
        """From 0 to 1, more above `maxmemory`, 0 without one; `RedisUnavailable` if Redis does not answer."""
        return share_from_info(await self._info())

    async def room(self) -> int | None:
        """How many bytes Redis may still take; None if it has no limit."""
        used, limit = _used_and_limit(await self._info())
        return max(limit - used, 0) if limit else None

    async def _info(self) -> str:
        async with self._connections.acquire() as connection:
            try:
                info = await connection.execute("INFO", "memory")
            except ResponseError as error:
                raise RedisUnavailable(str(error)) from error
        assert isinstance(info, bytes), info
        return info.decode()


def share_from_info(info: str) -> float:
    """As Redis computes it before it rejects a write: buffers of replicas and of the append-only file do not count."""
    used, limit = _used_and_limit(info)
    return used / limit if limit else 0.0


def _used_and_limit(info: str) -> tuple[int, int]:
    """In bytes; the limit is 0 if there is none."""
    lines = (line.partition(":") for line in info.splitlines())
    numbers = {name: value for name, _, value in lines}
    used = int(numbers["used_memory"]) - int(numbers.get("mem_not_counted_for_evict", 0))
    return used, int(numbers.get("maxmemory", 0))
