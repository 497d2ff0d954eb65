#!lua flags=allow-oom
--[[ compensate.lua: give back the units of an order that the ledger refused for good.
KEYS   1 meta (hash)  2 outbox (stream)  3 due (zset)
       then of the sale  sale, reservations (hashes), expiry (zset), buyers (hash)
ARGV   1 epoch  2 run_id  3 id  4 created epoch  5 created seq  6 created index  7 reason  8 detail
Reply  {now, epoch, seq, settled epoch, settled seq, 1 or 0}: whether it gave anything back
Keeps  available + held + sold = total for every item. A repeat, and an order that ended by itself, change nothing: only
       a HELD or CONFIRMED record made at that very position moves, so a newer one of the same id is never struck. ]]

local shard, refusal = open_shard()
if refusal then return refusal end

local id = ARGV[3]
local sale = open_sale(shard, 1)
load_records(sale, {id})
load_accounts(sale, {id})

local function is_meant(record)
  return record.created_epoch == tonumber(ARGV[4]) and record.created_seq == tonumber(ARGV[5])
    and record.created_index == tonumber(ARGV[6])
end

local record = sale.records[id]
local state = record and is_meant(record) and seen_state(shard, record)
if state == HELD or state == CONFIRMED then
  record.reason, record.note = tonumber(ARGV[7]), ARGV[8]
  move(shard, sale, id, record, COMPENSATED)
end
commit(shard)
return reply_of(shard, #shard.events)
