-- Every statement of the persister. `$1` is the shard in every statement that has one; arrays are columns of rows.

-- name: lock_shard
-- Reads a shard's row and locks it until the transaction ends.
select epoch, seq, hash, settled_epoch, settled_seq, facts_epoch, facts_seq,
       coalesce(frozen_reason, '') as frozen_reason, read_offset, read_digest, seen_epoch, seen_seq
  from shard_watermark where shard = $1 for update

-- name: shard_rows
-- Reads the rows of some shards.
select shard, epoch, seq, hash, settled_epoch, settled_seq, facts_epoch, facts_seq,
       coalesce(frozen_reason, '') as frozen_reason, read_offset, read_digest, seen_epoch, seen_seq
  from shard_watermark where shard = any ($1::integer[])

-- name: facts_row
-- Reads a shard's row, and whether the shard ever had a refused order.
select epoch, seq, hash, settled_epoch, settled_seq, facts_epoch, facts_seq,
       coalesce(frozen_reason, '') as frozen_reason, read_offset, read_digest, seen_epoch, seen_seq,
       exists (select from dead_letter d where d.shard = w.shard) as has_refused
  from shard_watermark w where shard = $1

-- name: migration_numbers
-- The numbers of the migrations that have run.
select number from migration

-- name: shard_counts
-- The number of shards that the ledger was initialised for.
select distinct shards from shard_watermark

-- name: raise_watermark
-- Raises a shard's watermark, whose commit has the time `$5`, sets how far it has read its partition and what it has seen
-- there above the watermark, and raises its settled position to just below the oldest open dead letter, but never lower;
-- returns the row.
with settled as (
    select coalesce(max(oldest.epoch), $2::bigint) as epoch, coalesce(max(oldest.seq), $3::bigint) as seq
      from (select epoch, seq - 1 as seq from dead_letter
             where shard = $1 and state = 'OPEN' order by epoch, seq limit 1) as oldest
)
update shard_watermark w
   set epoch = $2, seq = $3, hash = $4, time_ms = $5, read_offset = $6, read_digest = $7, seen_epoch = $8, seen_seq = $9,
       settled_epoch = case when (settled.epoch, settled.seq) > (w.settled_epoch, w.settled_seq)
                            then settled.epoch else w.settled_epoch end,
       settled_seq = case when (settled.epoch, settled.seq) > (w.settled_epoch, w.settled_seq)
                          then settled.seq else w.settled_seq end
  from settled where w.shard = $1
returning w.epoch, w.seq, w.hash, w.settled_epoch, w.settled_seq, w.facts_epoch, w.facts_seq,
          coalesce(w.frozen_reason, '') as frozen_reason, w.read_offset, w.read_digest, w.seen_epoch, w.seen_seq

-- name: set_reading
-- Sets how far a shard has read its partition, and what it has seen there above its watermark.
update shard_watermark set read_offset = $2, read_digest = $3, seen_epoch = $4, seen_seq = $5 where shard = $1

-- name: freeze
-- Freezes a shard that is at this position: the ledger applies none of its commits until a take-over.
update shard_watermark set frozen_reason = $4
 where shard = $1 and epoch = $2 and seq = $3 and frozen_reason is null

-- name: restart_reading
-- Has a shard read its partition from the start, unless it has read on since.
update shard_watermark set read_offset = 0, read_digest = '' where shard = $1 and read_offset = $2 and read_digest = $3

-- name: journal_hashes
-- The hashes of the commits at these positions.
select j.epoch, j.seq, j.hash
  from unnest($2::bigint[], $3::bigint[]) as wanted (epoch, seq)
  join journal j on j.shard = $1 and j.epoch = wanted.epoch and j.seq = wanted.seq

-- name: insert_epoch
-- Keeps where an epoch began; the ledger may have been set back to before the take-over that wrote the row.
insert into shard_epoch (shard, epoch, base_epoch, base_seq, base_hash, how, known_lost)
values ($1, $2, $3, $4, $5, 'ADOPTED', false) on conflict do nothing

-- name: insert_journal
-- Appends commits to the journal.
insert into journal (shard, epoch, seq, hash, payload)
select $1, epoch, seq, hash, payload
  from unnest($2::bigint[], $3::bigint[], $4::text[], $5::bytea[]) as new (epoch, seq, hash, payload)

-- name: journal_after
-- Commits above one position, up to and including another.
select epoch, seq, hash, payload from journal
 where shard = $1 and (epoch, seq) > ($2::bigint, $3::bigint) and (epoch, seq) <= ($4::bigint, $5::bigint)
 order by epoch, seq limit $6

-- name: quarantine
-- Keeps bytes that could not be applied; returns no row if the same bytes are kept already.
insert into quarantined_record (shard, record_offset, payload, why, epoch, seq) values ($1, $2, $3, $4, $5, $6)
on conflict (shard, digest) do nothing returning quarantined_record_id

-- name: insert_orphans
-- Keeps changes that the ledger never takes, unless they are kept already.
insert into orphan (shard, epoch, seq, index, hash, tenant, sale_id, reservation_id, buyer_id, lines, state, why)
select $1, epoch, seq, index, hash, tenant, sale_id, reservation_id, buyer_id, lines::jsonb, state, why
  from unnest($2::bigint[], $3::bigint[], $4::integer[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[],
              $10::text[], $11::text[], $12::text[])
    as new (epoch, seq, index, hash, tenant, sale_id, reservation_id, buyer_id, lines, state, why)
on conflict do nothing

-- name: insert_sales
-- Inserts sales.
insert into sale (tenant, sale_id, title, start_time, end_time, hold_ttl_ms, max_hold_ttl_ms, buyer_limit,
                  attempts_per_minute, return_window_ms, etag_epoch, etag_seq, etag_index, create_time, update_time, body,
                  shard)
select tenant, sale_id, title, to_timestamp(start_ms / 1000), to_timestamp(end_ms / 1000), hold_ttl_ms, max_hold_ttl_ms,
       buyer_limit, attempts_per_minute, return_window_ms, etag_epoch, etag_seq, etag_index,
       to_timestamp(create_ms / 1000), to_timestamp(create_ms / 1000), body, $1
  from unnest($2::text[], $3::text[], $4::text[], $5::float8[], $6::float8[], $7::bigint[], $8::bigint[], $9::bigint[],
              $10::integer[], $11::bigint[], $12::bigint[], $13::bigint[], $14::integer[], $15::float8[], $16::text[])
    as new (tenant, sale_id, title, start_ms, end_ms, hold_ttl_ms, max_hold_ttl_ms, buyer_limit,
            attempts_per_minute, return_window_ms, etag_epoch, etag_seq, etag_index, create_ms, body)

-- name: update_settings
-- Sets the settings of sales.
update sale s
   set title = new.title, start_time = to_timestamp(new.start_ms / 1000), end_time = to_timestamp(new.end_ms / 1000),
       hold_ttl_ms = new.hold_ttl_ms, max_hold_ttl_ms = new.max_hold_ttl_ms, buyer_limit = new.buyer_limit,
       attempts_per_minute = new.attempts_per_minute, return_window_ms = new.return_window_ms,
       etag_epoch = new.etag_epoch, etag_seq = new.etag_seq, etag_index = new.etag_index,
       update_time = to_timestamp(new.update_ms / 1000), paused = new.paused,
       close_time = to_timestamp(new.close_ms / 1000), release_time = to_timestamp(new.release_ms / 1000),
       release_reason = new.release_reason
  from unnest($2::text[], $3::text[], $4::text[], $5::float8[], $6::float8[], $7::bigint[], $8::bigint[], $9::bigint[],
              $10::integer[], $11::bigint[], $12::bigint[], $13::bigint[], $14::integer[], $15::float8[], $16::boolean[],
              $17::float8[], $18::float8[], $19::text[])
    as new (tenant, sale_id, title, start_ms, end_ms, hold_ttl_ms, max_hold_ttl_ms, buyer_limit, attempts_per_minute,
            return_window_ms, etag_epoch, etag_seq, etag_index, update_ms, paused, close_ms, release_ms, release_reason)
 where s.tenant = new.tenant and s.sale_id = new.sale_id and s.shard = $1

-- name: insert_sale_changes
-- Inserts changes of sales' settings.
insert into sale_change (shard, epoch, seq, index, create_time, tenant, sale_id, reason, actor)
select $1, epoch, seq, index, to_timestamp(time_ms / 1000), tenant, sale_id, reason, actor
  from unnest($2::bigint[], $3::bigint[], $4::integer[], $5::float8[], $6::text[], $7::text[], $8::text[], $9::text[])
    as new (epoch, seq, index, time_ms, tenant, sale_id, reason, actor)

-- name: insert_items
-- Inserts items, all units available.
insert into item (tenant, sale_id, sku, total, available, held, sold, buyer_limit)
select tenant, sale_id, sku, total, total, 0, 0, buyer_limit
  from unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::bigint[])
    as new (tenant, sale_id, sku, total, buyer_limit)

-- name: insert_adjustments
-- Inserts adjustments of stock.
insert into adjustment (shard, epoch, seq, index, create_time, tenant, sale_id, adjustment_id, sku, asked_delta,
                        asked_total, expected_total, reason, reference, actor, change, total_after)
select $1, epoch, seq, index, to_timestamp(time_ms / 1000), tenant, sale_id, adjustment_id, sku, asked_delta,
       asked_total, expected_total, reason, reference, actor, change, total_after
  from unnest($2::bigint[], $3::bigint[], $4::integer[], $5::float8[], $6::text[], $7::text[], $8::text[], $9::text[],
              $10::bigint[], $11::bigint[], $12::bigint[], $13::text[], $14::text[], $15::text[], $16::bigint[],
              $17::bigint[])
    as new (epoch, seq, index, time_ms, tenant, sale_id, adjustment_id, sku, asked_delta,
            asked_total, expected_total, reason, reference, actor, change, total_after)

-- name: set_left_times
-- Notes when sales left Redis.
update sale s set left_time = to_timestamp(new.time_ms / 1000)
  from unnest($2::text[], $3::text[], $4::float8[]) as new (tenant, sale_id, time_ms)
 where s.tenant = new.tenant and s.sale_id = new.sale_id and s.shard = $1

-- name: add_to_items
-- Adds to the totals and the balances of items; returns the items that were found.
update item i
   set total = i.total + d.total, available = i.available + d.available, held = i.held + d.held, sold = i.sold + d.sold,
       refused = i.refused + d.refused
  from unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[])
    as d (tenant, sale_id, sku, total, available, held, sold, refused)
 where i.tenant = d.tenant and i.sale_id = d.sale_id and i.sku = d.sku
returning i.tenant, i.sale_id, i.sku

-- name: insert_reservations
-- Inserts the reservations whose id is free.
insert into reservation (tenant, sale_id, reservation_id, buyer_id, state, revision, create_time, update_time,
                         expire_time, shard, created_epoch, created_seq, created_index, epoch, seq, index,
                         ledger_state, compensation_reason, note, asked_hold_ms, reference)
select tenant, sale_id, reservation_id, buyer_id, state, revision, to_timestamp(create_time_ms / 1000),
       to_timestamp(update_time_ms / 1000), to_timestamp(expire_time_ms / 1000), $1, created_epoch, created_seq,
       created_index, epoch, seq, index, ledger_state, compensation_reason, note, asked_hold_ms, reference
  from unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::integer[], $8::float8[], $9::float8[],
              $10::float8[], $11::bigint[], $12::bigint[], $13::integer[], $14::bigint[], $15::bigint[],
              $16::integer[], $17::text[], $18::text[], $19::text[], $20::bigint[], $21::text[])
    as new (tenant, sale_id, reservation_id, buyer_id, state, revision, create_time_ms, update_time_ms,
            expire_time_ms, created_epoch, created_seq, created_index, epoch, seq, index,
            ledger_state, compensation_reason, note, asked_hold_ms, reference)
on conflict (tenant, sale_id, reservation_id) do nothing

-- name: reservations_of
-- The orders of these that have a reservation under their id; another order may have it.
select r.created_epoch, r.created_seq, r.created_index
  from unnest($2::text[], $3::text[], $4::text[], $5::bigint[], $6::bigint[], $7::integer[])
    as wanted (tenant, sale_id, reservation_id, epoch, seq, index)
  join reservation r on r.tenant = wanted.tenant and r.sale_id = wanted.sale_id
                    and r.reservation_id = wanted.reservation_id and r.shard = $1 and r.created_epoch = wanted.epoch
                    and r.created_seq = wanted.seq and r.created_index = wanted.index

-- name: update_reservations
-- Updates reservations, found by id and creation position.
update reservation r
   set state = new.state, revision = new.revision, update_time = to_timestamp(new.update_time_ms / 1000),
       expire_time = to_timestamp(new.expire_time_ms / 1000), epoch = new.epoch, seq = new.seq, index = new.index,
       ledger_state = new.ledger_state, compensation_reason = new.compensation_reason, note = new.note
  from unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::integer[], $8::float8[], $9::float8[],
              $10::float8[], $11::bigint[], $12::bigint[], $13::integer[], $14::bigint[], $15::bigint[],
              $16::integer[], $17::text[], $18::text[], $19::text[])
    as new (tenant, sale_id, reservation_id, buyer_id, state, revision, create_time_ms, update_time_ms,
            expire_time_ms, created_epoch, created_seq, created_index, epoch, seq, index,
            ledger_state, compensation_reason, note)
 where r.tenant = new.tenant and r.sale_id = new.sale_id and r.reservation_id = new.reservation_id
   and r.shard = $1 and r.created_epoch = new.created_epoch and r.created_seq = new.created_seq
   and r.created_index = new.created_index

-- name: mark_refused_confirms
-- Marks reservations that were refused at their confirm.
update reservation r set ledger_state = 'REFUSED', compensation_reason = new.reason
  from unnest($2::text[], $3::text[], $4::text[], $5::bigint[], $6::bigint[], $7::integer[], $8::text[])
    as new (tenant, sale_id, reservation_id, created_epoch, created_seq, created_index, reason)
 where r.tenant = new.tenant and r.sale_id = new.sale_id and r.reservation_id = new.reservation_id
   and r.shard = $1 and r.created_epoch = new.created_epoch and r.created_seq = new.created_seq
   and r.created_index = new.created_index

-- name: insert_lines
-- Inserts the lines of new reservations.
insert into reservation_line (tenant, sale_id, reservation_id, sku, quantity, confirmed_quantity, returned_quantity,
                              asked_quantity)
select * from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::bigint[], $7::bigint[],
                     $8::bigint[])

-- name: update_lines
-- Updates lines that are there since their reservation was made.
update reservation_line l
   set quantity = new.quantity, confirmed_quantity = new.confirmed_quantity, returned_quantity = new.returned_quantity
  from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[])
    as new (tenant, sale_id, reservation_id, sku, quantity, confirmed_quantity, returned_quantity, asked_quantity)
 where l.tenant = new.tenant and l.sale_id = new.sale_id and l.reservation_id = new.reservation_id and l.sku = new.sku

-- name: write_added_lines
-- Inserts or updates lines that changes of holds have added.
insert into reservation_line (tenant, sale_id, reservation_id, sku, quantity, confirmed_quantity, returned_quantity,
                              asked_quantity)
select * from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::bigint[], $7::bigint[],
                     $8::bigint[])
on conflict (tenant, sale_id, reservation_id, sku) do update
   set quantity = excluded.quantity, confirmed_quantity = excluded.confirmed_quantity,
       returned_quantity = excluded.returned_quantity

-- name: insert_entries
-- Inserts transfers between accounts.
insert into ledger_entry (shard, epoch, seq, index, line, tenant, sale_id, sku, reservation_id, from_account, to_account,
                          quantity)
select $1, * from unnest($2::bigint[], $3::bigint[], $4::integer[], $5::integer[], $6::text[], $7::text[], $8::text[],
                         $9::text[], $10::text[], $11::text[], $12::bigint[])

-- name: blocked_buyers
-- Those of these buyers that are blocked, since when (ms since 1970) and why.
select b.tenant, b.buyer_id, floor(extract(epoch from b.create_time) * 1000)::bigint, b.reason
  from unnest($1::text[], $2::text[]) as wanted (tenant, buyer_id)
  join blocked_buyer b on b.tenant = wanted.tenant and b.buyer_id = wanted.buyer_id

-- name: open_dead_letters
-- The dead letters of those of these orders that were refused and still have units.
select d.created_epoch, d.created_seq, d.created_index, d.epoch, d.seq, d.index, d.reason, d.detail
  from unnest($2::bigint[], $3::bigint[], $4::integer[]) as wanted (epoch, seq, index)
  join dead_letter d on d.shard = $1 and d.created_epoch = wanted.epoch and d.created_seq = wanted.seq
                    and d.created_index = wanted.index
 where d.state = 'OPEN'

-- name: dead_letters
-- The dead letters of those of these orders that were ever refused.
select d.created_epoch, d.created_seq, d.created_index, d.epoch, d.seq, d.index, d.reason
  from unnest($2::bigint[], $3::bigint[], $4::integer[]) as wanted (epoch, seq, index)
  join dead_letter d on d.shard = $1 and d.created_epoch = wanted.epoch and d.created_seq = wanted.seq
                    and d.created_index = wanted.index

-- name: insert_dead_letters
-- Inserts the dead letters of refused orders.
insert into dead_letter (shard, created_epoch, created_seq, created_index, tenant, sale_id, reservation_id, buyer_id,
                         reason, detail, epoch, seq, index, reservation_create_time, state, reservation_state,
                         reservation_expire_time, latest_revision, latest_time, latest_epoch, latest_seq, latest_index,
                         lines, outstanding, sold)
select $1, created_epoch, created_seq, created_index, tenant, sale_id, reservation_id, buyer_id, reason,
       detail, epoch, seq, index, to_timestamp(create_time_ms / 1000), case when is_open then 'OPEN' else 'SETTLED' end,
       reservation_state, to_timestamp(expire_time_ms / 1000), latest_revision, to_timestamp(latest_time_ms / 1000),
       latest_epoch, latest_seq, latest_index, lines::jsonb, outstanding::jsonb, sold::jsonb
  from unnest($2::bigint[], $3::bigint[], $4::integer[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[],
              $10::text[], $11::bigint[], $12::bigint[], $13::integer[], $14::float8[], $15::boolean[],
              $16::text[], $17::float8[], $18::integer[], $19::float8[], $20::bigint[], $21::bigint[], $22::integer[],
              $23::text[], $24::text[], $25::text[])
    as new (created_epoch, created_seq, created_index, tenant, sale_id, reservation_id, buyer_id, reason,
            detail, epoch, seq, index, create_time_ms, is_open, reservation_state, expire_time_ms, latest_revision,
            latest_time_ms, latest_epoch, latest_seq, latest_index, lines, outstanding, sold)

-- name: update_dead_letters
-- Updates the open dead letters of orders that have changed since; that of an ended order is settled.
update dead_letter d
   set reservation_state = new.reservation_state, state = case when new.is_open then 'OPEN' else 'SETTLED' end,
       reservation_expire_time = to_timestamp(new.expire_time_ms / 1000), latest_revision = new.latest_revision,
       latest_time = to_timestamp(new.latest_time_ms / 1000), latest_epoch = new.latest_epoch,
       latest_seq = new.latest_seq, latest_index = new.latest_index, lines = new.lines::jsonb,
       outstanding = new.outstanding::jsonb, sold = new.sold::jsonb
  from unnest($2::bigint[], $3::bigint[], $4::integer[], $5::boolean[], $6::text[], $7::float8[], $8::integer[],
              $9::float8[], $10::bigint[], $11::bigint[], $12::integer[], $13::text[], $14::text[], $15::text[])
    as new (created_epoch, created_seq, created_index, is_open, reservation_state, expire_time_ms, latest_revision,
            latest_time_ms, latest_epoch, latest_seq, latest_index, lines, outstanding, sold)
 where d.shard = $1 and d.created_epoch = new.created_epoch and d.created_seq = new.created_seq
   and d.created_index = new.created_index and d.state = 'OPEN'

-- name: insert_compensations
-- Queues a compensation for each refused order, due before every repeat; it is done already if the order has ended.
insert into compensation (shard, created_epoch, created_seq, created_index, compensation_id, next_send_time, done)
select $1, epoch, seq, index, format('%s-%s-%s-%s', $1::integer, epoch, seq, index), '-infinity'::timestamptz, done
  from unnest($2::bigint[], $3::bigint[], $4::integer[], $5::boolean[]) as new (epoch, seq, index, done)

-- name: mark_compensations_done
-- Marks compensations as done once their order has ended.
update compensation c set done = true
  from unnest($2::bigint[], $3::bigint[], $4::integer[]) as ended (epoch, seq, index)
 where c.shard = $1 and c.created_epoch = ended.epoch and c.created_seq = ended.seq and c.created_index = ended.index

-- name: due_compensations
-- Returns some compensations that are due, or of these only new ones, and postpones their next sending: by 1 s, 2 s,
-- 4 s, at most a minute. Those with a reason other than `$4` are left as they are to the later version that knows it.
with due as (
    select shard, c.created_epoch, c.created_seq, c.created_index
      from compensation c join dead_letter d using (shard, created_epoch, created_seq, created_index)
     where shard = $1 and not c.done and d.reason = any ($4::text[])
       and c.next_send_time <= case when $2 then '-infinity'::timestamptz else now() end
     order by c.next_send_time limit $3 for update of c skip locked
)
update compensation c
   set sent_count = c.sent_count + 1,
       next_send_time = now() + least(60, 2 ^ least(c.sent_count, 10)) * interval '1 second'
  from due join dead_letter d using (shard, created_epoch, created_seq, created_index)
 where c.shard = due.shard and c.created_epoch = due.created_epoch and c.created_seq = due.created_seq
   and c.created_index = due.created_index
returning c.compensation_id, c.created_epoch, c.created_seq, c.created_index, c.sent_count, d.tenant, d.sale_id,
          d.reservation_id, d.reason, d.detail

-- name: open_compensations
-- How many refused orders of each of these shards still have units, and for how many that was sent so often or more.
select shard, count(*) as open, count(*) filter (where sent_count >= $2) as stalled
  from compensation where shard = any ($1::integer[]) and not done group by shard

-- name: raise_facts_position
-- Raises the position up to which facts are on Kafka from one position to another, no higher than the watermark: the
-- ledger may have been set back since these were read.
update shard_watermark set facts_epoch = $4, facts_seq = $5
 where shard = $1 and (facts_epoch, facts_seq) = ($2::bigint, $3::bigint)
   and (epoch, seq) >= ($4::bigint, $5::bigint)
