#!lua flags=allow-oom
--[[ takeover_load_begin.lua: give up a shard's state during its take-over, to load it from the ledger.
KEYS   1 meta (hash)  2 outbox (stream)  3 due (zset)
ARGV   1 observed  2 latest (both unused)  3 token of the take-over  4 identity of the Redis in which it began
       5 time of the ledger's last commit in ms
Reply  {BEGUN, now}  {GONE}: another take-over, or another Redis
Keeps  From here on the shard is void: no commit's hash is its head's, so it can be loaded, by any process, and not adopted.
       The take-over goes on, so it serves no call. What it had sent or not is dropped, its other keys stay.
Uses   clock shard ]]

local shard = read_meta()
local other_format = format_error(shard)
if other_format then return other_format end
if shard.takeover_token ~= ARGV[3] or read_identity() ~= ARGV[4] then return {'GONE'} end
redis.call('HSET', KEYS[1], 'hash', 'void', 'parts', 0)
redis.call('HDEL', KEYS[1], 'blocked', 'blocked_version', 'blocked_replacement')
redis.call('UNLINK', KEYS[2], KEYS[3])
return {'BEGUN', math.max(wall_time_ms(), tonumber(ARGV[5]))}
