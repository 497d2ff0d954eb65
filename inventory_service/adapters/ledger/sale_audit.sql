-- The statements of AuditSale beside those of queries.sql.

-- name: sale_row
-- A sale's settings as Redis stores them, and whether it has left Redis.
select (extract(epoch from start_time) * 1000)::bigint as start_ms,
       coalesce((extract(epoch from end_time) * 1000)::bigint, -1) as end_ms, hold_ttl_ms, max_hold_ttl_ms, buyer_limit,
       attempts_per_minute, return_window_ms, paused::integer as paused,
       coalesce((extract(epoch from close_time) * 1000)::bigint, 0) as close_ms,
       coalesce((extract(epoch from release_time) * 1000)::bigint, 0) as release_ms, etag_epoch as epoch, etag_seq as seq,
       etag_index as index, (extract(epoch from create_time) * 1000)::bigint as create_ms,
       (extract(epoch from update_time) * 1000)::bigint as update_ms, title, body as fingerprint,
       coalesce(release_reason, '') as release_reason, left_time is not null as has_left
  from sale where tenant = $1 and sale_id = $2

-- name: commit_payload
-- One commit of a shard.
select payload from journal where shard = $1 and epoch = $2 and seq = $3

-- name: items_at
-- The items of a sale as they were after the commit `$4`-`$5` of its shard: their balances less the entries above it.
with later as (
  select * from ledger_entry where shard = $3 and (epoch, seq) > ($4, $5) and tenant = $1 and sale_id = $2),
moved as (
  select sku, account, sum(quantity)::bigint as quantity
    from (select sku, to_account as account, quantity from later
          union all select sku, from_account, -quantity from later) each
   group by 1, 2)
select sku, buyer_limit,
       total + coalesce(sum(quantity) filter (where account = 'external'), 0)::bigint as total,
       available - coalesce(sum(quantity) filter (where account = 'available'), 0)::bigint as available,
       held - coalesce(sum(quantity) filter (where account = 'held'), 0)::bigint as held,
       sold - coalesce(sum(quantity) filter (where account = 'sold'), 0)::bigint as sold,
       refused - coalesce(sum(quantity) filter (where account = 'refused'), 0)::bigint as refused
  from item left join moved using (sku) where tenant = $1 and sale_id = $2
 group by tenant, sale_id, sku

-- name: refused_units
-- What the orders of a sale hold or own that the ledger has refused by the commit `$3`-`$4`; those whose units it no longer
-- knows as of that commit, because they have changed since, have `is_later`.
select line ->> 'sku' as sku, case when reservation_state = 'HELD' then (line ->> 'quantity')::bigint else 0 end as held,
       case when reservation_state = 'CONFIRMED' then (line ->> 'quantity')::bigint else 0 end as sold,
       (latest_epoch, latest_seq) > ($3, $4) as is_later
  from dead_letter left join lateral jsonb_array_elements(outstanding) as line on true
 where tenant = $1 and sale_id = $2 and (epoch, seq) <= ($3, $4)
   and (state = 'OPEN' or (latest_epoch, latest_seq) > ($3, $4))

-- name: expected
-- The next ids of a sale above one, in order, of reservations made by the commit `$4`-`$5` that Redis must have unless they
-- have ended since: holds, orders whose refusal is open, and what has changed after the commit `$6`-`$7`.
(select reservation_id from reservation
  where tenant = $1 and sale_id = $2 and reservation_id > $3 and (created_epoch, created_seq) <= ($4, $5)
    and (state = 'HELD' or (epoch, seq) > ($6, $7))
  order by reservation_id limit $8)
union
(select reservation_id from dead_letter
  where tenant = $1 and sale_id = $2 and reservation_id > $3 and (created_epoch, created_seq) <= ($4, $5)
    and (state = 'OPEN' or (latest_epoch, latest_seq) > ($6, $7))
  order by reservation_id limit $8)
order by 1 limit $8

-- name: buyers
-- What buyers hold and own of a sale, by item, refused orders included; `has_changed`: one of these orders has changed after
-- the commit `$4`-`$5`.
with orders as (
  select r.buyer_id, l.sku, r.epoch, r.seq,
         case when r.state = 'HELD' and r.ledger_state = 'RECORDED' then l.quantity else 0 end as held,
         case when r.state = 'CONFIRMED' and r.ledger_state = 'RECORDED'
              then l.confirmed_quantity - l.returned_quantity else 0 end as sold
    from reservation r left join reservation_line l using (tenant, sale_id, reservation_id)
   where tenant = $1 and sale_id = $2 and r.buyer_id = any ($3)
  union all
  select d.buyer_id, line ->> 'sku', latest_epoch, latest_seq,
         case when state = 'OPEN' and reservation_state = 'HELD' then (line ->> 'quantity')::bigint else 0 end,
         case when state = 'OPEN' and reservation_state = 'CONFIRMED' then (line ->> 'quantity')::bigint else 0 end
    from dead_letter d left join lateral jsonb_array_elements(outstanding) as line on true
   where tenant = $1 and sale_id = $2 and d.buyer_id = any ($3))
select buyer_id, o.sku, coalesce(sum(o.held), 0)::bigint as held, coalesce(sum(o.sold), 0)::bigint as sold,
       coalesce(bool_or(buyer_limit > 0), false) as is_limited, bool_or((epoch, seq) > ($4, $5)) as has_changed
  from orders o left join item i on (i.tenant, i.sale_id, i.sku) = ($1, $2, o.sku)
 group by buyer_id, o.sku

-- name: owners
-- The next reservations of a sale above one, in order, made by the commit `$4`-`$5`, that hold or own something, with their
-- buyers and the SKUs. An id may have two, of which the ledger refused one.
(select reservation_id, buyer_id,
        (select array_agg(sku) from reservation_line l
          where (l.tenant, l.sale_id, l.reservation_id) = (r.tenant, r.sale_id, r.reservation_id)
            and case when r.state = 'HELD' then quantity else confirmed_quantity - returned_quantity end > 0) as skus
   from reservation r
  where tenant = $1 and sale_id = $2 and reservation_id > $3 and (created_epoch, created_seq) <= ($4, $5)
    and state in ('HELD', 'CONFIRMED') and ledger_state = 'RECORDED'
  order by reservation_id limit $6)
union all
(select reservation_id, buyer_id, (select array_agg(line ->> 'sku') from jsonb_array_elements(outstanding) as line)
   from dead_letter
  where tenant = $1 and sale_id = $2 and reservation_id > $3 and (created_epoch, created_seq) <= ($4, $5)
    and state = 'OPEN'
  order by reservation_id limit $6)
order by 1 fetch first ($6) rows with ties

-- name: limited_items
-- The items of a sale of which one buyer may have so many.
select sku from item where tenant = $1 and sale_id = $2 and buyer_limit > 0

-- name: odd_lines
-- The reservations of a sale whose lines cannot be those of their state, some of them; `$4`: the sale has left Redis, so that
-- nothing can be held.
select reservation_id, state,
       string_agg(format('%s %s claimed, %s sold, %s came back', sku, quantity, confirmed_quantity, returned_quantity), '; '
                  order by sku collate "C") as lines
  from reservation join reservation_line using (tenant, sale_id, reservation_id)
 where tenant = $1 and sale_id = $2
 group by reservation_id, state
having not case state
         when 'CONFIRMED' then bool_and(0 <= returned_quantity and returned_quantity <= confirmed_quantity
                                        and confirmed_quantity <= quantity) and sum(confirmed_quantity - returned_quantity) > 0
         when 'RETURNED' then bool_and(returned_quantity = confirmed_quantity and confirmed_quantity <= quantity)
                              and sum(confirmed_quantity) > 0
         when 'HELD' then not $4 and bool_and(confirmed_quantity = 0 and returned_quantity = 0) and sum(quantity) > 0
         else bool_and(confirmed_quantity = 0 and returned_quantity = 0) end
 order by reservation_id limit $3

-- name: count_reservations
-- How many reservations the ledger has of a sale.
select count(*) from reservation where tenant = $1 and sale_id = $2
