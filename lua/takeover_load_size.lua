#!lua flags=no-writes
--[[ takeover_load_size.lua: count what some keys of a shard hold, whose place a load takes.
KEYS   1 meta (hash)  2 outbox (stream)  3 due (zset)
ARGV   1 observed  2 latest (both unused)  3 token of the take-over  4 identity of the Redis in which it began
       5 cursor of SCAN, 0 at first
Reply  {COUNTED, cursor, reservations, buyers}: 0 as the cursor of the last call   {GONE}: another take-over, or Redis
Keeps  everything as it is: reads only.
Uses   clock shard ]]

local SCANNED = 1000 -- keys of this Redis, of all its shards

local shard = read_meta()
local other_format = format_error(shard)
if other_format then return other_format end
if shard.takeover_token ~= ARGV[3] or read_identity() ~= ARGV[4] then return {'GONE'} end
local prefix = string.sub(KEYS[1], 1, -#'meta' - 1)
local found = redis.call('SCAN', ARGV[5], 'MATCH', prefix .. '*', 'COUNT', SCANNED)
local counts = {reservations = 0, buyers = 0}
for _, key in ipairs(found[2]) do
  local kind = string.match(string.sub(key, #prefix + 1), '^(%a+):')
  if counts[kind] then counts[kind] = counts[kind] + redis.call('HLEN', key) end
end
return {'COUNTED', found[1], counts.reservations, counts.buyers}
