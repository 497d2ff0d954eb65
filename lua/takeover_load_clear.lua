#!lua flags=allow-oom
--[[ takeover_load_clear.lua: drop some keys of a shard that is void, before it is loaded.
KEYS   1 meta (hash)  2 outbox (stream)  3 due (zset)
ARGV   1 observed  2 latest (both unused)  3 token of the take-over  4 identity of the Redis in which it began
       5 cursor of SCAN, 0 at first
Reply  {CLEARED, cursor}: 0 as the cursor of the last call   {GONE}: another take-over, another Redis, not void, or a part
       is written
Keeps  A shard that was loaded, or is being loaded, loses nothing, however late this call comes. What is dropped is found
       here, since a SCAN by itself may reach the Redis that had the address before.
Uses   clock shard ]]

local SCANNED = 1000 -- keys of this Redis, of all its shards
local CHUNK = 4000 -- values in one command: `unpack` fails from 8,000

local shard = read_meta()
local other_format = format_error(shard)
if other_format then return other_format end
if shard.takeover_token ~= ARGV[3] or read_identity() ~= ARGV[4] or shard.hash ~= 'void' then return {'GONE'} end
if redis.call('HGET', KEYS[1], 'parts') ~= '0' then return {'GONE'} end
local prefix = string.sub(KEYS[1], 1, -#'meta' - 1)
local found, keys = redis.call('SCAN', ARGV[5], 'MATCH', prefix .. '*', 'COUNT', SCANNED), {}
for _, key in ipairs(found[2]) do
  if key ~= KEYS[1] and key ~= KEYS[2] and key ~= KEYS[3] then keys[#keys + 1] = key end
end
for first = 1, #keys, CHUNK do redis.call('UNLINK', unpack(keys, first, math.min(first + CHUNK - 1, #keys))) end
return {'CLEARED', found[1]}
