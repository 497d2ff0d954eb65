#!lua flags=allow-oom
--[[ compensate.lua: give back the units of an order that the ledger refused for good.
KEYS   1 meta (hash)  2 outbox (stream)  3 due (zset)
       then of the sale  sale, reservations (hashes), expiry (zset), buyers (hash)
ARGV   1 observed  2 latest  3 id  4 created epoch  5 created seq  6 created index  7 reason  8 detail
Reply  {now, epoch, seq, settled epoch, settled seq, 1 or 0}: whether it gave anything back
Keeps  available + held + sold = total for every item. A repeat, and an order that ended by itself, change nothing: only
       a HELD or CONFIRMED record made at that very position moves, so a newer one of the same id is never compensated.
Uses   clock shard record sale settings event move commit ]]

local shard, not_serving = open_shard()
if not_serving then return not_serving end

local id = ARGV[3]
local sale = open_sale(shard, 1)
load_records(sale, {id})
load_moved(sale, {id})

local function is_created_there(record)
  return record[CREATED_EPOCH] == tonumber(ARGV[4]) and record[CREATED_SEQ] == tonumber(ARGV[5])
    and record[CREATED_INDEX] == tonumber(ARGV[6])
end

local record = record_of(sale, id)
local state = record and is_created_there(record) and effective(shard, sale, record)
if state == HELD or state == CONFIRMED then
  record[REASON], record[NOTE] = tonumber(ARGV[7]), ARGV[8]
  move(shard, sale, id, record, COMPENSATED, units_in(units_of(record), COMPENSATED))
end
commit(shard)
return reply_of(shard, {#shard.events})
