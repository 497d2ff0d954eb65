"""Strategy 4: a Lua script in Redis takes the unit, then the server inserts the order before it answers.

Two stores, no transaction over both: when the insert fails or the server dies after the script, the unit is neither
for sale nor in an order. Nothing gives it back, for a commit whose confirmation was lost would then be sold twice.
"""

from redis.asyncio import Redis

from bench.strategies.base import INSERT, Database, Order
from bench.strategies.counter import TAKE, RedisCounter, stock_key


class LuaInsert(RedisCounter):
    """Sold out is answered by Redis alone; an accepted call waits for PostgreSQL."""

    def __init__(self, database: Database, redis: Redis) -> None:
        super().__init__(database, redis)
        self._take = redis.register_script(TAKE)

    async def reserve(self, order: Order) -> bool:
        """The script, then the insert."""
        taken = await self._take(keys=[stock_key(order.sale_id, order.sku)], args=[order.quantity])
        if not taken:
            return False
        await self.database.execute(INSERT, *order.row)
        return True
