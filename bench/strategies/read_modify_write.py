"""Strategy 1: read the stock, compare, write what is left. Two transactions read the same stock, and both sell it.

READ COMMITTED, PostgreSQL's default, lets the second one overwrite what the first one wrote.
"""

from bench.strategies.base import INSERT, Order, Strategy


class ReadModifyWrite(Strategy):
    """The obvious way, and it oversells."""

    async def reserve(self, order: Order) -> bool:
        """Three statements in a transaction."""
        item = order.sale_id, order.sku
        async with self.database.acquire() as connection, connection.transaction():
            stock = await connection.fetchval("select stock from item where sale_id = $1 and sku = $2", *item)
            if stock < order.quantity:
                return False
            left = stock - order.quantity
            await connection.execute("update item set stock = $3 where sale_id = $1 and sku = $2", *item, left)
            await connection.execute(INSERT, *order.row)
        return True
