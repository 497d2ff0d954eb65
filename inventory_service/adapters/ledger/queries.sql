-- Every statement that the inventory service makes on the ledger.

-- name: block_buyer
-- Adds a blocked buyer; an earlier row, with its reason and its actor, stays.
insert into blocked_buyer (tenant, buyer_id, reason, actor) values ($1, $2, $3, $4)
on conflict (tenant, buyer_id) do nothing

-- name: unblock_buyer
-- Removes a blocked buyer.
delete from blocked_buyer where (tenant, buyer_id) = ($1, $2)

-- name: raise_blocked_version
-- Raises the version of blocked_buyer in a change's own transaction; its row is locked, so versions commit in their
-- order. It has the time in it, because copies may have what the ledger had before it was set back.
insert into blocked_version (version, previous) values ((extract(epoch from clock_timestamp()) * 1000)::bigint, 0)
on conflict (is_only) do update set previous = blocked_version.version,
                                    version = greatest(blocked_version.version + 1, excluded.version)
returning version, previous

-- name: blocked_version
-- The version of blocked_buyer; 0 before its first change.
select coalesce(max(version), 0) from blocked_version

-- name: blocked_page
-- Blocked buyers behind one, in the order of the primary key.
select tenant, buyer_id from blocked_buyer where (tenant, buyer_id) > ($1, $2) order by tenant, buyer_id limit $3

-- name: revoke
-- Adds a revocation, or makes a subject's one of a later moment. Any other row stays, with its reason and its actor,
-- unless it is over.
insert into revoked_token (tenant, kind, name, issued_before, reason, actor, create_time, expire_time)
values ($1, case when $3::bigint is null then 'JTI' else 'SUBJECT' end, $2, to_timestamp($3::bigint), $4, $5,
        to_timestamp($6::bigint / 1000.0), to_timestamp($7::bigint / 1000.0))
on conflict (tenant, kind, name) do update
   set (issued_before, reason, actor, create_time, expire_time)
     = (excluded.issued_before, excluded.reason, excluded.actor, excluded.create_time, excluded.expire_time)
 where revoked_token.issued_before < excluded.issued_before or revoked_token.expire_time <= now()

-- name: drop_revocations
-- Drops the revocations that are over.
delete from revoked_token where expire_time <= now()

-- name: revocations_page
-- Revocations behind one, in the order of the primary key.
select tenant, kind, name, extract(epoch from issued_before)::bigint as issued_before_s, reason, actor,
       (extract(epoch from create_time) * 1000)::bigint as create_ms, expire_time <= now() as is_over
  from revoked_token where (tenant, kind, name) > ($1, $2, $3) order by tenant, kind, name limit $4

-- name: archived_reservation
-- Exactly one row for any id, so that one round trip answers the usual case; the reservation's columns may be null.
select exists(select from sale where (tenant, sale_id) = ($1, $2)) as has_sale,
       exists(select from dead_letter where (tenant, sale_id, reservation_id) = ($1, $2, $3)) as has_dead_letter,
       (select format('%s-%s', o.epoch, o.seq) from orphan o where (o.tenant, o.sale_id, o.reservation_id) = ($1, $2, $3)
           and not exists(select from journal j where (j.shard, j.epoch, j.seq, j.hash) = (o.shard, o.epoch, o.seq, o.hash))
         order by o.epoch desc, o.seq desc limit 1) as lost,
       w.epoch as watermark_epoch, w.seq as watermark_seq,
       r.*, (select json_agg(json_build_array(sku, quantity, confirmed_quantity, returned_quantity, asked_quantity)
                             order by sku collate "C")
               from reservation_line l
              where (l.tenant, l.sale_id, l.reservation_id) = (r.tenant, r.sale_id, r.reservation_id)) as lines
  from (select) as always left join reservation r on (r.tenant, r.sale_id, r.reservation_id) = ($1, $2, $3)
  left join shard_watermark w on w.shard = r.shard

-- name: latest_dead_letter
-- The latest dead letter of a reservation id, and the commit with the latest change of its order.
select reason, detail, d.shard, latest_epoch, latest_seq, latest_index, j.payload as latest_commit
  from dead_letter d join journal j on (j.shard, j.epoch, j.seq) = (d.shard, d.latest_epoch, d.latest_seq)
 where tenant = $1 and sale_id = $2 and reservation_id = $3
 order by created_epoch desc, created_seq desc, created_index desc limit 1

-- name: dead_letter
-- A dead letter of a tenant by where its order was made, and the commit with the latest change of that order.
select d.*, s.left_time is not null as sale_has_left, j.payload as latest_commit
  from dead_letter d join journal j on (j.shard, j.epoch, j.seq) = (d.shard, d.latest_epoch, d.latest_seq)
  left join sale s on (s.tenant, s.sale_id) = (d.tenant, d.sale_id)
 where (d.shard, d.created_epoch, d.created_seq, d.created_index) = ($1, $2, $3, $4) and d.tenant = $5

-- name: begin_replay
-- Turns a settled dead letter into one that is replayed under an id that no order of its sale has or had.
update dead_letter d set state = 'REPLAYED', replayed_as = $5
 where (shard, created_epoch, created_seq, created_index) = ($1, $2, $3, $4) and state = 'SETTLED'
   and not exists(select from reservation r where (r.tenant, r.sale_id, r.reservation_id) = (d.tenant, d.sale_id, $5))
   and not exists(select from dead_letter o where (o.tenant, o.sale_id, o.reservation_id) = (d.tenant, d.sale_id, $5))
returning *

-- name: undo_replay
-- Settles a dead letter again if this is the id under which it is replayed.
update dead_letter set state = 'SETTLED', replayed_as = null
 where (shard, created_epoch, created_seq, created_index) = ($1, $2, $3, $4) and state = 'REPLAYED' and replayed_as = $5
returning *

-- name: sale_exists
-- Whether the ledger has a sale.
select exists(select from sale where tenant = $1 and sale_id = $2)

-- name: archived_sale
-- A sale with its items, in one statement, so that all values are of one moment.
select s.tenant, s.sale_id, s.title, s.hold_ttl_ms, s.max_hold_ttl_ms, s.buyer_limit, s.attempts_per_minute,
       s.return_window_ms, s.paused, coalesce(s.release_reason, '') as release_reason,
       (extract(epoch from s.start_time) * 1000)::bigint as start_ms,
       (extract(epoch from s.end_time) * 1000)::bigint as end_ms,
       coalesce((extract(epoch from s.close_time) * 1000)::bigint, 0) as close_ms,
       coalesce((extract(epoch from s.release_time) * 1000)::bigint, 0) as release_ms,
       (extract(epoch from s.create_time) * 1000)::bigint as create_ms,
       (extract(epoch from s.update_time) * 1000)::bigint as update_ms,
       s.etag_epoch, s.etag_seq, s.etag_index, s.shard, w.epoch, w.seq, s.left_time is not null as has_left,
       (select json_agg(json_build_array(sku, total, available, held, sold, buyer_limit) order by sku collate "C") from item i
         where (i.tenant, i.sale_id) = (s.tenant, s.sale_id)) as items
  from sale s join shard_watermark w on w.shard = s.shard
 where s.tenant = $1 and s.sale_id = $2

-- name: adjustment
-- An adjustment of a sale's stock, by its id.
select tenant, sale_id, adjustment_id, sku, asked_delta, asked_total, expected_total, reason, reference, actor, change,
       total_after, (extract(epoch from create_time) * 1000)::bigint as create_ms, shard, epoch, seq, index
  from adjustment where tenant = $1 and sale_id = $2 and adjustment_id = $3

-- name: shard_row
-- Reads the row of one shard.
select shard, shards, epoch, seq, hash, settled_epoch, settled_seq, coalesce(frozen_reason, '') as frozen_reason,
       read_offset, read_digest, seen_epoch, seen_seq
  from shard_watermark where shard = $1

-- name: shard_rows
-- Reads the rows of all shards.
select shard, shards, epoch, seq, hash, settled_epoch, settled_seq, coalesce(frozen_reason, '') as frozen_reason,
       read_offset, read_digest, seen_epoch, seen_seq
  from shard_watermark order by shard

-- name: insert_shard
-- Inserts a shard's row in its first epoch, the seconds since 1970, or above `$4`: an earlier ledger of the same topics,
-- or this one before it is set back, has never begun the same. No result if the shard has a row.
insert into shard_watermark (shard, shards, epoch, seq, hash, settled_epoch, settled_seq, facts_epoch, facts_seq,
                             read_offset)
select $1, $2, now.epoch, 0, '', now.epoch, 0, now.epoch, 0, $3
  from (select greatest(extract(epoch from clock_timestamp())::bigint, 1 + max(epoch), $4::bigint + 1) as epoch from shard_epoch
         where shard = $1) as now
on conflict do nothing
returning shard, shards, epoch, seq, hash, settled_epoch, settled_seq, '' as frozen_reason, read_offset, read_digest,
          seen_epoch, seen_seq

-- name: insert_unread_shard
-- Inserts a row before the first commit of any epoch that was ever drawn, and before the first record.
insert into shard_watermark (shard, shards, epoch, seq, hash, settled_epoch, settled_seq, facts_epoch, facts_seq)
values ($1, $2, 1, 0, '', 1, 0, 1, 0) on conflict do nothing

-- name: begin_epoch
-- Begins the next epoch of a shard whose row is as expected and has read its partition to `$6`, above `$7` and never the
-- same one twice; no result if it is not, or if it has seen a commit above its watermark. `$8` accepts that loss: it is
-- the offset from which the partition is read again, by which all that the ledger does not take becomes orphans.
update shard_watermark
   set epoch = greatest(epoch + 1, $7::bigint + 1, extract(epoch from clock_timestamp())::bigint,
                        (select 1 + max(epoch) from shard_epoch where shard = $1)), seq = 0,
       frozen_reason = null, seen_epoch = 0, seen_seq = 0, read_offset = coalesce($8, read_offset),
       read_digest = case when $8::bigint is null then read_digest else '' end
 where shard = $1 and shards = $2 and epoch = $3 and seq = $4 and hash = $5 and read_offset >= $6
   and ($8::bigint is not null or (seen_epoch, seen_seq) <= (epoch, seq))
returning shard, shards, epoch, seq, hash, settled_epoch, settled_seq, '' as frozen_reason, read_offset, read_digest,
          seen_epoch, seen_seq

-- name: insert_epoch
-- Keeps on which commit an epoch builds.
insert into shard_epoch (shard, epoch, base_epoch, base_seq, base_hash, how, known_lost, accepted_by)
values ($1, $2, $3, $4, $5, $6, $7, $8)

-- name: has_commit
-- Whether the journal has this commit, or an epoch began where `$3` is 0, with this hash.
select exists(select from journal where shard = $1 and epoch = $2 and seq = $3 and hash = $4)
    or $3::bigint = 0 and exists(select from shard_epoch where shard = $1 and epoch = $2 and base_hash = $4)

-- name: insert_orphans
-- Keeps changes of commits that the journal lacks; returns those that were not kept before.
insert into orphan (shard, epoch, seq, index, hash, tenant, sale_id, reservation_id, buyer_id, lines, state, why)
select shard, epoch, seq, index, hash, tenant, sale_id, reservation_id, buyer_id, lines::jsonb, state, why
  from unnest($1::integer[], $2::bigint[], $3::bigint[], $4::integer[], $5::text[], $6::text[], $7::text[], $8::text[],
              $9::text[], $10::text[], $11::text[], $12::text[])
    as new (shard, epoch, seq, index, hash, tenant, sale_id, reservation_id, buyer_id, lines, state, why)
 where not exists(select from journal j
                   where (j.shard, j.epoch, j.seq, j.hash) = (new.shard, new.epoch, new.seq, new.hash))
on conflict do nothing returning index

-- name: orphans
-- Every orphan, but those of a commit that the ledger has taken since.
select shard, epoch, seq, index, hash, tenant, sale_id, reservation_id, buyer_id,
       (select json_agg(json_build_array(line ->> 'sku', (line ->> 'quantity')::bigint))
          from jsonb_array_elements(lines) as line) as lines, state, why
  from orphan o
 where not exists(select from journal j where (j.shard, j.epoch, j.seq, j.hash) = (o.shard, o.epoch, o.seq, o.hash))
 order by shard, epoch, seq, index

-- name: epoch_bases
-- On which commit each epoch of a shard builds.
select epoch, base_epoch, base_seq from shard_epoch where shard = $1

-- name: recent_losses
-- The shards in which an epoch was begun within a day although commits were known to be lost.
select distinct shard from shard_epoch where known_lost and create_time > now() - interval '1 day' order by shard

-- name: quarantined
-- How many records and commits are kept of each shard that could not be applied.
select shard, count(*) as kept from quarantined_record group by shard

-- name: skip_deleted
-- Counts records below an offset as read, which Kafka has deleted; no result if the shard has read on since.
update shard_watermark set read_offset = $3, read_digest = '' where shard = $1 and read_offset = $2 and $2 < $3
returning shard

-- name: clear_frozen_reason
-- Clears a shard's frozen reason if the row is as it was read, reason included; no result if it is not.
update shard_watermark set frozen_reason = null
 where shard = $1 and epoch = $2 and seq = $3 and hash = $4 and frozen_reason = $5
returning epoch

-- name: sales_of_shard
-- The sales of a shard.
select tenant, sale_id from sale where shard = $1 order by tenant, sale_id

-- name: sale_has_left
-- Whether a sale has left Redis.
select left_time is not null from sale where tenant = $1 and sale_id = $2

-- name: avoid_nested_loops
-- Keeps the planner from nested loops until the transaction ends: for tables not analysed yet it would scan all lines
-- once for each reservation, and the sums of 40,000 reservations take minutes in place of a blink.
-- What cannot do without one then seems so dear that it would be compiled each time, so not that either.
select set_config('enable_nestloop', 'off', true), set_config('jit', 'off', true)

-- name: item_sums
-- The items of a sale, beside what entries, reservation lines and open dead letters add up to.
with moved as (
  select sku, from_account, to_account, sum(quantity) as quantity
    from ledger_entry where tenant = $1 and sale_id = $2 group by 1, 2, 3),
entries as (
  select sku, account, sum(quantity)::bigint as balance
    from (select sku, to_account as account, quantity from moved
          union all select sku, from_account, -quantity from moved) each
  group by 1, 2),
lines as (
  select sku, coalesce(sum(quantity) filter (where state = 'HELD'), 0)::bigint as held,
         coalesce(sum(confirmed_quantity - returned_quantity) filter (where state = 'CONFIRMED'), 0)::bigint as sold
    from reservation_line join reservation using (tenant, sale_id, reservation_id)
   where tenant = $1 and sale_id = $2 and ledger_state = 'RECORDED' group by sku),
dead_letters as (
  select line ->> 'sku' as sku, sum((line ->> 'quantity')::bigint)::bigint as refused
    from dead_letter cross join lateral jsonb_array_elements(outstanding) as line
   where tenant = $1 and sale_id = $2 and state = 'OPEN' group by 1)
select sku, total, available, held, sold, refused,
       (select json_object_agg(account, balance) from entries where entries.sku = item.sku) as entries,
       coalesce((select lines.held from lines where lines.sku = item.sku), 0) as lines_held,
       coalesce((select lines.sold from lines where lines.sku = item.sku), 0) as lines_sold,
       coalesce((select dead_letters.refused from dead_letters where dead_letters.sku = item.sku), 0) as lines_refused
  from item where tenant = $1 and sale_id = $2 order by sku

-- name: item_balances
-- The balances of the items of some sales.
select tenant, sale_id, sku, available, held, sold, refused
  from item join unnest($1::text[], $2::text[]) as wanted (tenant, sale_id) using (tenant, sale_id)

-- name: reservations
-- Reservations of a sale, by their ids.
select reservation_id, buyer_id, state, revision,
       coalesce((extract(epoch from expire_time) * 1000)::bigint, 0) as expire_ms,
       shard, created_epoch, created_seq, created_index, epoch, seq, index,
       (select json_agg(json_build_array(sku, quantity, confirmed_quantity, returned_quantity)) from reservation_line l
         where (l.tenant, l.sale_id, l.reservation_id) = (r.tenant, r.sale_id, r.reservation_id)
           and l.quantity > 0) as lines
  from reservation r where tenant = $1 and sale_id = $2 and reservation_id = any($3)

-- name: dead_letters
-- All dead letters of some reservation ids of a sale, each with the reservation after its latest change.
select reservation_id, buyer_id, reservation_state as state, latest_revision as revision,
       coalesce((extract(epoch from reservation_expire_time) * 1000)::bigint, 0) as expire_ms,
       shard, created_epoch, created_seq, created_index, latest_epoch as epoch, latest_seq as seq, latest_index as index,
       (select json_agg(json_build_array(
                 line ->> 'sku', (line ->> 'quantity')::bigint,
                 case when reservation_state = 'CONFIRMED' then coalesce(
                   (select (owned ->> 'quantity')::bigint from jsonb_array_elements(outstanding) as owned
                     where owned ->> 'sku' = line ->> 'sku'), 0) else 0 end, 0))
          from jsonb_array_elements(lines) as line) as lines,
       epoch as refused_epoch, seq as refused_seq, state = 'OPEN' as is_open, reason
  from dead_letter where tenant = $1 and sale_id = $2 and reservation_id = any($3)

-- name: count_holds
-- The number of holds of a sale that the ledger recorded.
select count(*) from reservation
 where tenant = $1 and sale_id = $2 and state = 'HELD' and ledger_state = 'RECORDED'

-- name: journal_after
-- The next commits of a shard's journal above a position, in order.
select epoch, seq, hash, payload from journal
 where shard = $1 and (epoch, seq) > ($2, $3) order by epoch, seq limit $4

-- name: plan_for_load
-- Makes the plans of a load's statements independent of statistics, until the transaction ends: rows are found one by
-- one through the primary keys and the index of holds. For tables that were not analysed yet the planner would scan all.
select set_config('enable_seqscan', 'off', true), set_config('enable_hashjoin', 'off', true),
       set_config('enable_mergejoin', 'off', true), set_config('jit', 'off', true)

-- name: load_base
-- Where a shard stands, and the time of its last commit.
select epoch, seq, hash, time_ms from shard_watermark where shard = $1

-- name: journal_epochs
-- The epochs of which the journal has commits, the newest first, each with its last commit.
with recursive epochs as (
  (select epoch from journal where shard = $1 order by epoch desc limit 1)
  union all
  select (select j.epoch from journal j where j.shard = $1 and j.epoch < epochs.epoch order by j.epoch desc limit 1)
    from epochs where epochs.epoch is not null)
select epoch, (select max(seq) from journal j where j.shard = $1 and j.epoch = epochs.epoch) as seq
  from epochs where epoch is not null

-- name: commit_head
-- The first bytes of a commit, which have its time.
select substr(payload, 1, 9) from journal where shard = $1 and epoch = $2 and seq = $3

-- name: load_size
-- How many reservations Redis has of a shard, which are holds and what changed within `$2` ms, and how many buyers with
-- units at most: to count a buyer of several reservations once would take three times as long.
select coalesce(sum(kept), 0)::bigint as reservations, coalesce(sum(owning), 0)::bigint as buyers
  from sale s cross join lateral (
       select count(*) filter (where state = 'HELD' or r.update_time > now() - $2 * interval '1 ms') as kept,
              count(*) filter (where state in ('HELD', 'CONFIRMED')) as owning
         from reservation r where (r.tenant, r.sale_id) = (s.tenant, s.sale_id)) each
 where s.shard = $1 and s.left_time is null

-- name: count_buyers
-- How many buyers with units Redis has of a shard, each once a sale.
select count(*) from (
  select distinct r.tenant, r.sale_id, r.buyer_id
    from sale s join reservation r using (tenant, sale_id)
   where s.shard = $1 and s.left_time is null and r.state in ('HELD', 'CONFIRMED')) each

-- name: loaded_sales
-- The sales that Redis has: all but those that have left it.
select s.tenant, s.sale_id, (extract(epoch from start_time) * 1000)::bigint as start_ms,
       coalesce((extract(epoch from end_time) * 1000)::bigint, -1) as end_ms, hold_ttl_ms, max_hold_ttl_ms, buyer_limit,
       attempts_per_minute, return_window_ms, paused::integer as paused,
       coalesce((extract(epoch from close_time) * 1000)::bigint, 0) as close_ms,
       coalesce((extract(epoch from release_time) * 1000)::bigint, 0) as release_ms, etag_epoch, etag_seq, etag_index,
       (extract(epoch from create_time) * 1000)::bigint as create_ms,
       (extract(epoch from update_time) * 1000)::bigint as update_ms, title, body,
       coalesce(release_reason, '') as release_reason
  from sale s where shard = $1 and left_time is null order by 1, 2

-- name: loaded_items
-- The stock of the items of some sales, as Redis has it: refused orders hold or own their units there.
select tenant, sale_id, sku, sum(available)::bigint as available, sum(held)::bigint as held, sum(sold)::bigint as sold,
       max(buyer_limit) as buyer_limit
  from (select tenant, sale_id, sku, available, held, sold + refused as sold, buyer_limit
          from unnest($1::text[], $2::text[]) as wanted (tenant, sale_id) join item using (tenant, sale_id)
        union all
        select tenant, sale_id, line ->> 'sku', 0, (line ->> 'quantity')::bigint, -(line ->> 'quantity')::bigint, 0
          from unnest($1::text[], $2::text[]) as wanted (tenant, sale_id) join dead_letter d using (tenant, sale_id)
          cross join lateral jsonb_array_elements(d.outstanding) as line
         where d.state = 'OPEN' and d.reservation_state = 'HELD') each
 group by 1, 2, 3

-- name: loaded_holds
-- The holds of some sales that the ledger recorded, each with its lines as the scripts spell them, and with its units
-- where they are others.
select r.tenant, r.sale_id, r.reservation_id, r.buyer_id, r.revision,
       (extract(epoch from r.create_time) * 1000)::bigint, (extract(epoch from r.update_time) * 1000)::bigint,
       (extract(epoch from r.expire_time) * 1000)::bigint, r.created_epoch, r.created_seq, r.created_index,
       r.epoch, r.seq, r.index, r.note, r.asked_hold_ms, r.reference, lines.asked, lines.changed
  from unnest($1::text[], $2::text[]) as wanted (tenant, sale_id) join reservation r using (tenant, sale_id)
  cross join lateral (
       select string_agg(l.sku || '=' || l.asked_quantity, ' ' order by l.sku collate "C")
                filter (where l.asked_quantity > 0) as asked,
              case when bool_or(l.quantity <> l.asked_quantity)
                   then string_agg(l.sku || '=' || l.quantity || ':0:0', ' ' order by l.sku collate "C")
                          filter (where l.quantity > 0) end as changed
         from reservation_line l
        where (l.tenant, l.sale_id, l.reservation_id) = (r.tenant, r.sale_id, r.reservation_id)) lines
 where r.state = 'HELD' and r.ledger_state = 'RECORDED'

-- name: loaded_refusals
-- The commits with the latest changes of refused orders that still have units, and which of their events these are.
select j.epoch, j.seq, latest.indexes, j.payload
  from (select latest_epoch, latest_seq, array_agg(latest_index) as indexes from dead_letter
         where shard = $1 and state = 'OPEN' group by 1, 2) latest
  join journal j on (j.shard, j.epoch, j.seq) = ($1, latest_epoch, latest_seq)

-- name: loaded_buyers
-- The units of every buyer who has some in one of these sales.
select tenant, sale_id, buyer_id, sum(held)::bigint as held, sum(sold)::bigint as sold
  from (select tenant, sale_id, buyer_id,
               case when state = 'HELD' then
                    (select sum(quantity) from reservation_line l
                      where (l.tenant, l.sale_id, l.reservation_id) = (r.tenant, r.sale_id, r.reservation_id))
                    else 0 end as held,
               case when state = 'CONFIRMED' then
                    (select sum(confirmed_quantity - returned_quantity) from reservation_line l
                      where (l.tenant, l.sale_id, l.reservation_id) = (r.tenant, r.sale_id, r.reservation_id))
                    else 0 end as sold
          from unnest($1::text[], $2::text[]) as wanted (tenant, sale_id) join reservation r using (tenant, sale_id)
         where ledger_state = 'RECORDED' and state in ('HELD', 'CONFIRMED')
        union all
        select tenant, sale_id, buyer_id, case when reservation_state = 'HELD' then units else 0 end,
               case when reservation_state = 'CONFIRMED' then units else 0 end
          from unnest($1::text[], $2::text[]) as wanted (tenant, sale_id) join dead_letter d using (tenant, sale_id)
          cross join lateral (select sum((line ->> 'quantity')::bigint) as units
                                from jsonb_array_elements(d.outstanding) as line) units
         where d.state = 'OPEN') each
 group by 1, 2, 3 having sum(held) + sum(sold) > 0

-- name: loaded_buyers_of_items
-- The units of limited items of every buyer who has some in one of these sales.
select tenant, sale_id, buyer_id, sku, sum(each.held)::bigint as held, sum(each.sold)::bigint as sold
  from (select r.tenant, r.sale_id, r.buyer_id, l.sku, case when r.state = 'HELD' then l.quantity else 0 end as held,
               case when r.state = 'CONFIRMED' then l.confirmed_quantity - l.returned_quantity else 0 end as sold
          from unnest($1::text[], $2::text[]) as wanted (tenant, sale_id) join reservation r using (tenant, sale_id)
          join reservation_line l using (tenant, sale_id, reservation_id)
         where r.ledger_state = 'RECORDED' and r.state in ('HELD', 'CONFIRMED')
        union all
        select d.tenant, d.sale_id, d.buyer_id, line ->> 'sku',
               case when reservation_state = 'HELD' then (line ->> 'quantity')::bigint else 0 end,
               case when reservation_state = 'CONFIRMED' then (line ->> 'quantity')::bigint else 0 end
          from unnest($1::text[], $2::text[]) as wanted (tenant, sale_id) join dead_letter d using (tenant, sale_id)
          cross join lateral jsonb_array_elements(d.outstanding) as line
         where d.state = 'OPEN') each
  join item using (tenant, sale_id, sku)
 where buyer_limit > 0
 group by 1, 2, 3, 4 having sum(each.held) + sum(each.sold) > 0

-- name: loaded_adjustments
-- The adjustments of some sales, of each in their order.
select a.tenant, a.sale_id, adjustment_id, sku, asked_delta, asked_total, expected_total, reason, reference, actor, change,
       total_after, (extract(epoch from create_time) * 1000)::bigint as create_ms, shard, epoch, seq, index
  from unnest($1::text[], $2::text[]) as wanted (tenant, sale_id) join adjustment a using (tenant, sale_id)
 order by a.tenant, a.sale_id, epoch, seq, index

-- name: server_settings
-- Settings as they hold in this session; `source` says whether a role or a database set them.
select name, setting, source from pg_settings where name = any($1)

-- name: server_state
-- The session's user and database, and the server's part in replication.
select current_user::text as user, current_database()::text as database, pg_is_in_recovery() as is_standby,
       (select count(*) from pg_stat_replication) as standbys,
       to_regclass('migration') is not null as is_migrated

-- name: latest_migration
-- The number of the latest migration; 0 if none has run.
select coalesce(max(number), 0) from migration

-- name: unlogged_tables
-- Tables that a crash of the server empties.
select relname::text from pg_class
 where relkind = 'r' and relpersistence = 'u' and relnamespace = current_schema()::regnamespace order by 1

-- name: roles_with_asynchronous_commit
-- Roles, other than the session's, for which synchronous_commit is off in this database.
select distinct rolname::text from pg_db_role_setting s join pg_roles r on r.oid = s.setrole
 where setdatabase in (0, (select oid from pg_database where datname = current_database()))
   and rolname <> current_user
   and exists (select from unnest(setconfig) one where one ~* '^synchronous_commit=(off|false|no|0)$') order by 1

-- name: server_time
-- The server's clock, in seconds since 1970.
select extract(epoch from clock_timestamp())::float8
