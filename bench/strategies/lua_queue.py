"""Strategy 6: a Lua script in Redis, the order into a queue, and dead letters after three attempts.

The buyer is answered once the order is in the queue. A worker inserts the orders; after the third failure it moves them
to a stream of dead letters, and a plain INCR makes their units available again: the next buyer gets what the first one
was told to have.
"""

import asyncio
from collections.abc import Sequence

from redis.asyncio import Redis

from bench.strategies.base import INSERT_MANY, POSTGRES_ERRORS, Database, Order, columns
from bench.strategies.counter import TAKE, RedisCounter, stock_key
from bench.strategies.queue import Entry, Worker

STREAM, DEAD_LETTERS = "lua_queue:orders", "lua_queue:dead"
PAUSES_S = (0.0, 1.0, 2.0)  # before each attempt


class LuaQueue(RedisCounter):
    """As strategy 4, but PostgreSQL is not waited for."""

    def __init__(self, database: Database, redis: Redis) -> None:
        super().__init__(database, redis)
        self._take = redis.register_script(TAKE)

    async def reserve(self, order: Order) -> bool:
        """The script, then the queue."""
        taken = await self._take(keys=[stock_key(order.sale_id, order.sku)], args=[order.quantity])
        if not taken:
            return False
        await self.redis.xadd(STREAM, order.fields)  # type: ignore[arg-type]
        return True


class LuaQueueWorker(Worker):
    """Inserts orders, and gives up those that PostgreSQL does not take in time."""

    stream = STREAM

    async def record(self, entries: Sequence[Entry]) -> None:
        """All in one statement, three times at most."""
        values = columns([entry.order for entry in entries])
        for pause_s in PAUSES_S:
            await asyncio.sleep(pause_s)
            try:
                await self.database.execute(INSERT_MANY, *values)
                return
            except POSTGRES_ERRORS:
                continue
        await self._give_up([entry.order for entry in entries])

    async def _give_up(self, orders: Sequence[Order]) -> None:
        for order in orders:
            await self.redis.xadd(DEAD_LETTERS, order.fields)  # type: ignore[arg-type]
            await self.redis.incrby(stock_key(order.sale_id, order.sku), order.quantity)
