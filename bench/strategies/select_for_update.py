"""Strategy 3: SELECT FOR UPDATE. The read locks the item's row until the transaction ends."""

from bench.strategies.base import INSERT, Order, Strategy

LOCK = "select stock from item where sale_id = $1 and sku = $2 for update"
TAKE = "update item set stock = stock - $3 where sale_id = $1 and sku = $2"


class SelectForUpdate(Strategy):
    """Correct, and the row is locked for three round trips and a commit."""

    async def reserve(self, order: Order) -> bool:
        """As read-modify-write, under the lock."""
        item = order.sale_id, order.sku
        async with self.database.acquire() as connection, connection.transaction():
            if await connection.fetchval(LOCK, *item) < order.quantity:
                return False
            await connection.execute(TAKE, *item, order.quantity)
            await connection.execute(INSERT, *order.row)
        return True
