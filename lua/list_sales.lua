#!lua flags=no-writes
--[[ list_sales.lua: name the sales of a shard, those that have holds, or those that have overdue ones.
KEYS   1 meta (hash)  2 outbox (stream)  3 due (zset)
ARGV   1 observed  2 latest  3 ALL, HOLDING or DUE  4 how many to name at most
Reply  {now, epoch, seq, settled epoch, settled seq, names}, the longest due first
Keeps  everything as it is: reads only.
Uses   clock shard ]]

local shard, not_serving = open_shard()
if not_serving then return not_serving end

local LATEST = {ALL = '+inf', HOLDING = '(+inf', DUE = shard.now} -- a sale without holds is due at +inf
return reply_of(shard, redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', LATEST[ARGV[3]], 'LIMIT', 0, ARGV[4]))
