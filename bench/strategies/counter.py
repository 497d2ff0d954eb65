"""The stock of an item as a number in Redis: the part that three strategies share."""

from bench.strategies.base import Strategy

# Takes units only if there are enough: 1 if it took them.
TAKE = """
local stock = tonumber(redis.call('GET', KEYS[1]))
if not stock then
    return redis.error_reply('NOSALE the counter of this item is missing')
end
if stock < tonumber(ARGV[1]) then
    return 0
end
redis.call('DECRBY', KEYS[1], ARGV[1])
return 1"""


def stock_key(sale_id: str, sku: str) -> str:
    """The key of an item's counter."""
    return f"stock:{sale_id}:{sku}"


class RedisCounter(Strategy):
    """Counts down in Redis; PostgreSQL has the orders."""

    async def create_sale(self, sale_id: str, sku: str, units: int) -> None:
        """In PostgreSQL first, then the counter, unless it is there."""
        await super().create_sale(sale_id, sku, units)
        await self.redis.set(stock_key(sale_id, sku), units, nx=True)

    async def available(self, sale_id: str, sku: str) -> int:
        """The counter."""
        return int(await self.redis.get(stock_key(sale_id, sku)) or 0)
