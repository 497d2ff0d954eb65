#!lua flags=allow-oom
--[[ takeover_renew.lua: tell other processes that a take-over goes on.
KEYS   1 meta (hash)  2 outbox (stream)  3 due (zset)
ARGV   1 observed  2 latest (both unused)  3 token of the take-over  4 identity of the Redis in which it began
Reply  {RENEWED}  {GONE}: another take-over, or another Redis
Keeps  A count of its own, which nothing but `status` reads: a renewal that is lost, or comes twice, changes no load.
Uses   clock shard ]]

local shard = read_meta()
local other_format = format_error(shard)
if other_format then return other_format end
if shard.takeover_token ~= ARGV[3] or read_identity() ~= ARGV[4] then return {'GONE'} end
redis.call('HINCRBY', KEYS[1], 'renewals', 1)
return {'RENEWED'}
