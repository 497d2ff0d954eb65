"""Sales as the ledger has them, for those that have left Redis."""

import json
from typing import Any

from holdfast.inventory.v1.sale_pb2 import SALE_STATE_ARCHIVED

from inventory_service.adapters.ledger.postgres import LedgerPool
from inventory_service.domain.archive import ArchivedSale
from inventory_service.domain.keys import Position, SaleKey
from inventory_service.domain.sale import Item, Sale, etag_of

# One statement, so that everything is of one moment. Where the sale was made tells the transfer that stocked it.
_SALE = """
select s.tenant, s.sale_id, s.title, s.hold_ttl_ms, s.max_hold_ttl_ms, s.buyer_limit,
       (extract(epoch from s.start_time) * 1000)::bigint as start_ms,
       (extract(epoch from s.end_time) * 1000)::bigint as end_ms,
       (extract(epoch from s.create_time) * 1000)::bigint as create_ms,
       s.shard, w.epoch, w.seq, made.epoch as made_epoch, made.seq as made_seq, made.index as made_index,
       (select json_agg(json_build_array(sku, total, available, held, sold) order by sku collate "C") from item i
         where (i.tenant, i.sale_id) = (s.tenant, s.sale_id)) as items
  from sale s join shard_watermark w on w.shard = s.shard
  left join lateral (
       select epoch, seq, index from ledger_entry e
        where (e.tenant, e.sale_id, e.from_account) = (s.tenant, s.sale_id, 'external') limit 1) made on true
 where s.tenant = $1 and s.sale_id = $2"""


class LedgerSales:
    """Reads only; `LedgerUnavailable` if the ledger does not answer."""

    def __init__(self, ledger: LedgerPool) -> None:
        self._ledger = ledger

    async def sale_exists(self, sale: SaleKey) -> bool:
        """Whether there ever was such a sale."""
        async with self._ledger.connection() as db:
            return await db.fetchval("select 1 from sale where tenant = $1 and sale_id = $2", *sale) is not None

    async def find_sale(self, sale: SaleKey) -> ArchivedSale | None:
        """A sale as it is once it has left Redis; None only if the ledger was asked and has none."""
        async with self._ledger.connection() as db:
            row = await db.fetchrow(_SALE, *sale)
        return past_sale_from_row(row) if row is not None else None


def past_sale_from_row(row: Any) -> ArchivedSale:
    """From a row of the statement above. A sale that was made without a single unit has no etag."""
    made = row["made_epoch"], row["made_seq"], row["made_index"]
    sale = Sale(
        sale=SaleKey(row["tenant"], row["sale_id"]),
        title=row["title"],
        start_time_ms=row["start_ms"],
        end_time_ms=row["end_ms"],
        hold_ttl_ms=row["hold_ttl_ms"],
        max_hold_ttl_ms=row["max_hold_ttl_ms"],
        buyer_limit=row["buyer_limit"],
        state=SALE_STATE_ARCHIVED,
        items=tuple(Item(*item) for item in json.loads(row["items"] or "[]")),
        etag=etag_of(*made) if row["made_epoch"] is not None else "",
        create_time_ms=row["create_ms"],
        update_time_ms=row["create_ms"],
    )
    return ArchivedSale(sale, Position(row["shard"], row["epoch"], row["seq"], 0))
