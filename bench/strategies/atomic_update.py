"""Strategy 2: one conditional UPDATE. PostgreSQL locks the item's row, then judges the condition."""

from bench.strategies.base import Order, Strategy

# One statement, so the row stays locked for one commit to disk, without a round trip in between.
SELL = """
with taken as (
    update item set stock = stock - $5 where sale_id = $1 and sku = $4 and stock >= $5 returning sale_id
)
insert into orders (sale_id, reservation_id, buyer_id, sku, quantity)
select $1, $2, $3, $4, $5 from taken
returning reservation_id"""


class AtomicUpdate(Strategy):
    """Correct, and every buyer waits for the same row."""

    async def reserve(self, order: Order) -> bool:
        """Stock and order change together, or not at all."""
        return await self.database.fetchval(SELL, *order.row) is not None
