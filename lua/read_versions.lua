#!lua flags=no-writes
--[[ read_versions.lua: read how far a shard is, and which commit changed each of some sales last, so that a watch reads a
     sale only after it has changed.
KEYS   1 meta (hash)  2 outbox (stream)  3 due (zset)  then of at most 128 sales  sale (hash)
ARGV   1 observed  2 latest
Reply  {now, epoch, seq, settled epoch, settled seq, age, versions}
       age       ms since the outbox's first commit was made, the oldest that the ledger has not reported; -1: it has all
       versions  one a sale: "epoch-seq" of the commit; '' if the sale has not changed since it was loaded; nil: no sale
Keeps  everything as it is: reads only.
Uses   clock shard ]]

local FIRST_SALE = 4

local shard, not_serving = open_shard()
if not_serving then return not_serving end

-- A commit's payload begins with the tag and the eight bytes of its time.
local function age_of_first_commit()
  local first = redis.call('XRANGE', KEYS[2], '-', '+', 'COUNT', 1)[1]
  if not first then return -1 end
  local _, time_ms = struct.unpack('<BI8', first[2][2]) -- fields p, payload, h, hash
  return math.max(0, shard.now - time_ms)
end

local function version_of(key)
  return redis.call('HGET', key, 'at') or redis.call('HEXISTS', key, 'settings') == 1 and ''
end

assert(#KEYS < FIRST_SALE + 128, 'more than one call may carry')
local versions = {}
for number = FIRST_SALE, #KEYS do versions[number - FIRST_SALE + 1] = version_of(KEYS[number]) end
return reply_of(shard, {age_of_first_commit(), versions})
