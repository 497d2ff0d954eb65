#!lua flags=allow-oom
--[[ takeover_load_clear.lua: drop some keys of a shard that is void, before it is loaded.
KEYS   1 meta (hash)  2 outbox (stream)  3 due (zset)  then the keys to drop
ARGV   1 observed  2 latest (both unused)  3 token of the take-over  4 identity of the Redis in which it began
Reply  {CLEARED}  {GONE}: another take-over, another Redis, or not void
Keeps  A shard that was loaded, or is being loaded by another take-over, loses nothing.
Uses   clock shard ]]

local shard = read_meta()
local other_format = format_error(shard)
if other_format then return other_format end
if shard.takeover_token ~= ARGV[3] or read_identity() ~= ARGV[4] or shard.hash ~= 'void' then return {'GONE'} end
redis.call('UNLINK', unpack(KEYS, 4))
return {'CLEARED'}
