-- The statements by which the inventory service lists what the ledger has.
-- A page is what follows a key in an order, newest first, and at most so many rows are looked at: the last of them is in
-- the result even if it is not selected, so that the next page can go on behind it.

-- name: plan_for_lists
-- Makes the plans of lists independent of statistics, until the transaction ends: rows are read in the order of an index
-- and no more of them than a page looks at. For tables not analysed yet the planner would sort all that are selected.
select set_config('enable_seqscan', 'off', true), set_config('enable_bitmapscan', 'off', true),
       set_config('enable_sort', 'off', true), set_config('jit', 'off', true)

-- name: watermarks
-- How far the ledger is in some shards.
select shard, epoch, seq, time_ms from shard_watermark where shard = any($1::integer[])

-- name: all_watermarks
-- The same of all shards.
select shard, epoch, seq, time_ms from shard_watermark

-- name: has_applied
-- Whether the ledger has applied a commit; of seq 0, whether its epoch has begun.
select exists(select from journal where (shard, epoch, seq) = ($1, $2::bigint, $3::bigint))
    or $3 = 0 and exists(select from shard_watermark where shard = $1 and epoch >= $2)

-- name: reservations
-- Reservations behind ($3, $4, $5), each in its state at its shard's moment in $7; `{selected}` stands for what an index
-- finds with $2, and the other conditions are looked at row by row.
select page.*, (select json_agg(json_build_array(sku, quantity, confirmed_quantity, returned_quantity, asked_quantity)
                                order by sku collate "C")
                  from reservation_line l
                 where (l.tenant, l.sale_id, l.reservation_id) = (page.tenant, page.sale_id, page.reservation_id)) as lines
  from (select seen.*
          from (select stored.*,
                       (cardinality($8::text[]) = 0 or seen_state = any($8)) and ($9 = '' or buyer_id = $9)
                       and ($10 = '' or sale_id = $10) as is_selected
                  from (select r.*, sale_id collate "C" as sale_key, reservation_id collate "C" as id_key,
                               row_number() over newest as looked_at,
                               case when r.state <> 'HELD' then r.state
                                    when (select s.release_time < r.expire_time from sale s
                                           where (s.tenant, s.sale_id) = (r.tenant, r.sale_id)) then 'RELEASED'
                                    when r.expire_time <= ($7::timestamptz[])[r.shard + 1] then 'EXPIRED'
                                    else 'HELD' end as seen_state
                          from reservation r
                         where tenant = $1 and {selected}
                           and (create_time, sale_id collate "C", reservation_id collate "C") < ($3, $4, $5)
                        window newest as (order by create_time desc, sale_id collate "C" desc, reservation_id collate "C" desc)
                         order by create_time desc, sale_id collate "C" desc, reservation_id collate "C" desc
                         limit $6) stored) seen
         where is_selected or looked_at = $6
         order by create_time desc, sale_key desc, id_key desc
         limit $11) page
 order by create_time desc, sale_key desc, id_key desc

-- name: sales
-- Sales behind ($2, $3), selected or not.
select tenant, sale_id, title, hold_ttl_ms, max_hold_ttl_ms, buyer_limit, attempts_per_minute, return_window_ms, paused,
       coalesce(release_reason, '') as release_reason, (extract(epoch from start_time) * 1000)::bigint as start_ms,
       (extract(epoch from end_time) * 1000)::bigint as end_ms,
       coalesce((extract(epoch from close_time) * 1000)::bigint, 0) as close_ms,
       coalesce((extract(epoch from release_time) * 1000)::bigint, 0) as release_ms,
       (extract(epoch from create_time) * 1000)::bigint as create_ms,
       (extract(epoch from update_time) * 1000)::bigint as update_ms,
       etag_epoch, etag_seq, etag_index, left_time is not null as has_left, create_time
  from sale
 where tenant = $1 and (create_time, sale_id collate "C") < ($2, $3)
 order by create_time desc, sale_id collate "C" desc limit $4

-- name: adjustments
-- Adjustments of a sale behind ($3, $4, $5, $6).
select *
  from (select tenant, sale_id, adjustment_id, sku, asked_delta, asked_total, expected_total, reason, reference, actor,
               change, total_after, (extract(epoch from create_time) * 1000)::bigint as create_ms, shard, epoch, seq, index,
               create_time, $8 = '' or sku = $8 as is_selected, row_number() over newest as looked_at
          from adjustment
         where tenant = $1 and sale_id = $2
           and (create_time, epoch, seq, index) < ($3, $4::bigint, $5::bigint, $6::bigint)
        window newest as (order by create_time desc, epoch desc, seq desc, index desc)
         order by create_time desc, epoch desc, seq desc, index desc limit $7) seen
 where is_selected or looked_at = $7
 order by create_time desc, epoch desc, seq desc, index desc limit $9

-- name: dead_letters
-- Dead letters behind ($3, .., $7); `{selected}` stands for what an index finds with $2.
select *
  from (select d.*, cardinality($9::text[]) = 0 or state = any($9) as is_selected, row_number() over newest as looked_at
          from dead_letter d
         where tenant = $1 and {selected}
           and (create_time, shard, created_epoch, created_seq, created_index)
             < ($3, $4::bigint, $5::bigint, $6::bigint, $7::bigint)
        window newest as (order by create_time desc, shard desc, created_epoch desc, created_seq desc, created_index desc)
         order by create_time desc, shard desc, created_epoch desc, created_seq desc, created_index desc limit $8) seen
 where is_selected or looked_at = $8
 order by create_time desc, shard desc, created_epoch desc, created_seq desc, created_index desc limit $10

-- name: blocked_buyers
-- Blocked buyers behind ($2, $3).
select buyer_id, reason, actor, create_time from blocked_buyer
 where tenant = $1 and (create_time, buyer_id collate "C") < ($2, $3)
 order by create_time desc, buyer_id collate "C" desc limit $4
