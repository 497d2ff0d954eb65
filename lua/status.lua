#!lua flags=no-writes
--[[ status.lua: read where a shard stands, whether or not it serves.
KEYS   1 meta (hash)  2 outbox (stream)  3 due (zset)
ARGV   1 observed  2 latest (both unused)
Reply  {identity, clock, time, commits in the outbox, sales with overdue holds, {shards, epoch, seq, hash, trim seq, owner,
       token, frozen, parts, base epoch, base seq, renewals, blocked version}}: the clock of Redis and the time of the last
       commit, in ms; what `meta` does not have is nil
Keeps  everything as it is: reads only.
Uses   clock shard ]]

local shard = read_meta()
local other_format = format_error(shard)
if other_format then return other_format end
local meta = redis.call('HMGET', KEYS[1], 'shards', 'epoch', 'seq', 'hash', 'trim_seq', 'owner', 'takeover_token', 'frozen',
  'parts', 'base_epoch', 'base_seq', 'renewals', 'blocked_version')
local clock = wall_time_ms()
local overdue = redis.call('ZCOUNT', KEYS[3], '-inf', math.max(clock, shard.time))
return {read_identity(), clock, shard.time, redis.call('XLEN', KEYS[2]), overdue, meta}
