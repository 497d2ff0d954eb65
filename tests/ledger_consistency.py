"""Checks that the ledger's tables agree with each other, by queries of its own and without the product's code."""

import asyncpg

# Every balance from its transfers alone.
_BALANCES = """
select i.tenant, i.sale_id, i.sku from item i
  left join (
    select tenant, sale_id, sku, account, sum(quantity) as quantity from (
        select tenant, sale_id, sku, to_account as account, quantity from ledger_entry
        union all select tenant, sale_id, sku, from_account, -quantity from ledger_entry) as moved
    group by tenant, sale_id, sku, account) as booked using (tenant, sale_id, sku)
 group by i.tenant, i.sale_id, i.sku
having i.available <> coalesce(sum(booked.quantity) filter (where account = 'available'), 0)
    or i.held <> coalesce(sum(booked.quantity) filter (where account = 'held'), 0)
    or i.sold <> coalesce(sum(booked.quantity) filter (where account = 'sold'), 0)
    or i.refused <> coalesce(sum(booked.quantity) filter (where account = 'refused'), 0)
    or i.total <> -coalesce(sum(booked.quantity) filter (where account = 'external'), 0)"""
# Held and sold from the rows of reservations that are not refused, refused from the dead letters that are open.
_CLAIMS = """
select i.tenant, i.sale_id, i.sku from item i
 where i.held <> (
        select coalesce(sum(l.quantity), 0)
          from reservation r join reservation_line l using (tenant, sale_id, reservation_id)
         where r.state = 'HELD' and r.ledger_state = 'RECORDED'
           and (r.tenant, r.sale_id, l.sku) = (i.tenant, i.sale_id, i.sku))
    or i.sold <> (
        select coalesce(sum(l.confirmed_quantity - l.returned_quantity), 0)
          from reservation r join reservation_line l using (tenant, sale_id, reservation_id)
         where r.state = 'CONFIRMED' and (r.tenant, r.sale_id, l.sku) = (i.tenant, i.sale_id, i.sku))
    or i.refused <> (
        select coalesce(sum((line ->> 'quantity')::bigint), 0)
          from dead_letter d cross join jsonb_array_elements(d.outstanding) as line
         where (d.tenant, d.sale_id, line ->> 'sku') = (i.tenant, i.sale_id, i.sku))"""
# Every commit once, in order, up to the watermark.
_JOURNAL = """
select w.shard from shard_watermark w
 where (select count(*) from journal j where j.shard = w.shard and j.epoch = w.epoch) <> w.seq
    or (select coalesce(max(seq), 0) from journal j where j.shard = w.shard and j.epoch = w.epoch) <> w.seq"""


async def inconsistencies(connection: "asyncpg.Connection[asyncpg.Record]") -> list[str]:
    """Return one line for each row that does not agree; empty if all do."""
    found = []
    for what, query in (("balances", _BALANCES), ("claims", _CLAIMS), ("journal", _JOURNAL)):
        found += [f"{what}: {tuple(row)}" for row in await connection.fetch(query)]
    return found
