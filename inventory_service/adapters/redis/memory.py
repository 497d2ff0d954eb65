"""Asks Redis how much of the memory that it may use is used."""

from redis.exceptions import ResponseError

from inventory_service.adapters.redis.connections import RedisConnections
from inventory_service.domain.shards import RedisUnavailable


class RedisMemory:
    """Asks by INFO, which every user of Holdfast may run, for the `run_id` comes from there too."""

    def __init__(self, connections: RedisConnections) -> None:
        self._connections = connections

    async def used_share(self) -> float:
        """From 0 to 1, and beyond when it is over; 0 where Redis has no `maxmemory`. RedisUnavailable if it is away."""
        async with self._connections.acquire() as connection:
            try:
                info = await connection.ask("INFO", "memory")
            except ResponseError as error:
                raise RedisUnavailable(str(error)) from error
        assert isinstance(info, bytes), info
        return share_from_info(info.decode())


def share_from_info(info: str) -> float:
    """As Redis itself reckons before it refuses: buffers of replicas and of the append-only file do not count."""
    lines = (line.partition(":") for line in info.splitlines())
    numbers = {name: value for name, _, value in lines}
    most = int(numbers.get("maxmemory", 0))
    used = int(numbers["used_memory"]) - int(numbers.get("mem_not_counted_for_evict", 0))
    return used / most if most else 0.0
