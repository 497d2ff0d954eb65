#!lua flags=no-writes
--[[ list_sales.lua: name the sales of a shard that have overdue holds; or walk over all sales, or over those with holds.
KEYS   1 meta (hash)  2 outbox (stream)  3 due (zset)
ARGV   1 observed  2 latest  3 DUE, ALL or HOLDING  4 of DUE, how many to name at most; of a walk its cursor, 0 to begin
Reply  {now, epoch, seq, settled epoch, settled seq, next cursor, names}: of DUE the longest due first, and no cursor but 0;
       a walk is over once its cursor is 0 again, and may name a sale twice
Keeps  everything as it is: reads only.
Uses   clock shard ]]

local SCAN_COUNT = 1000
local NO_HOLDS = 'inf' -- when a sale without holds is due

local shard, not_serving = open_shard()
if not_serving then return not_serving end

local function walk(wants_all, cursor)
  local step, names = redis.call('ZSCAN', KEYS[3], cursor, 'COUNT', SCAN_COUNT), {}
  for at = 1, #step[2], 2 do
    if wants_all or step[2][at + 1] ~= NO_HOLDS then names[#names + 1] = step[2][at] end
  end
  return {step[1], names}
end

if ARGV[3] ~= 'DUE' then return reply_of(shard, walk(ARGV[3] == 'ALL', ARGV[4])) end
local due = redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', shard.now, 'LIMIT', 0, ARGV[4])
return reply_of(shard, {'0', due})
