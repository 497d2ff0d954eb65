#!lua flags=allow-oom
--[[ forget.lua: drop some records of a sale that are final, settled and old; the ledger answers for them from then on.
KEYS   1 meta (hash)  2 outbox (stream)  3 due (zset)
       then of the sale  sale, reservations (hashes), expiry (zset), buyers (hash)
ARGV   1 epoch  2 run_id  3 ms for which a record is kept after it is final  4 cursor, 0 to begin a walk
Reply  {now, epoch, seq, settled epoch, settled seq, {cursor, how many}}; a walk is over when the cursor is 0 again
Keeps  each record that is HELD, above what is settled (a compensation may still come) or young. Balances and buyers'
       units stay as they are: what was sold is still sold. ]]

local A_FEW = 100 -- entries that one call looks at, more or less

local shard, refusal = open_shard()
if refusal then return refusal end

local latest = shard.now - tonumber(ARGV[3])

local function is_settled(record)
  if record.epoch ~= shard.settled_epoch then return record.epoch < shard.settled_epoch end
  return record.seq <= shard.settled_seq
end

local function may_go(record)
  return record.state ~= HELD and record.update_ms <= latest and is_settled(record)
end

local sale = open_sale(shard, 1)
local step = redis.call('HSCAN', sale.reservations_key, ARGV[4], 'COUNT', A_FEW)
local ids = {}
for at = 1, #step[2], 2 do
  if may_go(record_from_bytes(step[2][at + 1])) then ids[#ids + 1] = step[2][at] end
end
if #ids > 0 then redis.call('HDEL', sale.reservations_key, unpack(ids)) end
return reply_of(shard, {step[1], #ids})
