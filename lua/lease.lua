#!lua flags=allow-oom
--[[ lease.lua: grant one relay at a time the lease to send a shard's commits. Two that send are wasteful, not harmful.
KEYS   1 meta (hash)  2 outbox (stream)  3 due (zset)
ARGV   1 observed  2 latest (both unused)  3 name of the calling relay  4 its priority in this shard, a number
       5 length of the lease in ms, 0 to release it
Reply  {BLANK}: there is nothing to send         {OTHERS}: another relay has the lease, or none after a release
       {HELD}: the caller has it for so long from now, or until a relay of a higher priority calls. It had it already, or
       the lease was free, or its priority is higher; the relay that had it gets {OTHERS} on its own next call
Keeps  Nothing but the lease is written, and no other script reads it. Each relay has the highest priority in some of the
       shards, so that several relays share the shards without knowing of each other.
Uses   clock shard ]]

local name, priority, ms = ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
local now = wall_time_ms()
local given = redis.call('HGET', KEYS[1], 'lease')
local holder, holders_priority, end_ms = string.match(given or '', '^(%S+) (%d+) (%d+)$')

-- A lease that ends later than one granted now was granted by another clock, which ran ahead of this one.
local function is_free()
  return not holder or tonumber(end_ms) <= now or tonumber(end_ms) > now + ms
end

local shard = read_meta()
local other_format = format_error(shard)
if other_format then return other_format end
if not shard.epoch then return {'BLANK'} end
if ms == 0 then
  if holder == name then redis.call('HDEL', KEYS[1], 'lease') end
  return {'OTHERS'}
end
if holder ~= name and not is_free() and priority <= tonumber(holders_priority) then return {'OTHERS'} end
redis.call('HSET', KEYS[1], 'lease', string.format('%s %.0f %.0f', name, priority, now + ms))
return {'HELD'}
