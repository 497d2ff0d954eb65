"""The queue of orders, a Redis stream, and the loop of the worker that takes orders from it.

The stream stands for a broker of its own, so a server's XADD is a call by itself, as to a broker. The worker reads up
to a hundred orders, records them in one transaction, and acknowledges them after its commit. It has a fixed name in
its group: once it is started again it first reads what it had not acknowledged.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, NamedTuple

from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from bench.strategies.base import Database, Order

GROUP, CONSUMER = "workers", "worker-1"
ORDERS_A_READ = 100
BLOCK_MS = 1000
PAUSE_S = 0.5  # after an error of Redis


class Entry(NamedTuple):
    """An order with the id of its entry."""

    entry_id: str
    order: Order


class Worker(ABC):
    """Takes orders from a stream and records them."""

    stream: str

    def __init__(self, database: Database, redis: Redis) -> None:
        self.database = database
        self.redis = redis

    @abstractmethod
    async def record(self, entries: Sequence[Entry]) -> None:
        """Record orders, each of which may have been recorded before; then they are acknowledged."""

    async def run(self) -> None:
        """Work until the process ends."""
        begun = "0"  # what was read and not acknowledged; then ">", what is new
        while True:
            try:
                entries = await self._read(begun)
                if entries:
                    await self.record(entries)
                    ids = [entry.entry_id for entry in entries]
                    await self.redis.xack(self.stream, GROUP, *ids)
                    await self.redis.xdel(self.stream, *ids)
                elif begun == "0":
                    begun = ">"
            except ResponseError:  # Redis came back without the group
                await self._create_group()
            except (RedisError, OSError, TimeoutError):
                begun = "0"
                await asyncio.sleep(PAUSE_S)

    async def _read(self, begun: str) -> list[Entry]:
        """The next orders; none if there were none for a second."""
        streams: Any = {self.stream: begun}
        found: Any = await self.redis.xreadgroup(GROUP, CONSUMER, streams, ORDERS_A_READ, BLOCK_MS)
        entries = found[0][1] if found else []
        return [Entry(entry_id, Order.from_fields(fields)) for entry_id, fields in entries if fields]

    async def _create_group(self) -> None:
        try:
            await self.redis.xgroup_create(self.stream, GROUP, id="0", mkstream=True)
        except (RedisError, OSError):
            await asyncio.sleep(PAUSE_S)
