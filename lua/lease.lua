#!lua flags=allow-oom
--[[ lease.lua: give one relay at a time the sending of a shard's commits. Two that send do no harm: they only waste.
KEYS   1 meta (hash)  2 outbox (stream)  3 due (zset)
ARGV   1 epoch  2 run_id, of which neither matters here  3 name of the relay that asks  4 its rank in this shard, a number
       5 ms for which it asks, 0 to let go of what it has
Reply  {BLANK}: there is nothing to send         {OTHERS}: another relay has the lease, or none once it was let go
       {HELD}: the asking relay has it for so long from now, or until one of a higher rank asks: it had it already, no
       other relay had it any more, or its own rank is higher, and the one that had it learns of it when it asks again
Keeps  Nothing but the lease is written, and no other script reads it. Each relay outranks every other in some shards, so
       several share the shards out among them without knowing of each other.
Uses   clock shard ]]

local name, rank, ms = ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
local now = wall_time_ms()
local given = redis.call('HGET', KEYS[1], 'lease')
local holder, holders_rank, end_ms = string.match(given or '', '^(%S+) (%d+) (%d+)$')

-- One that ends later than any lease can was given by another clock, which ran ahead of this one.
local function is_free()
  return not holder or tonumber(end_ms) <= now or tonumber(end_ms) > now + ms
end

if not read_meta().epoch then return {'BLANK'} end
if ms == 0 then
  if holder == name then redis.call('HDEL', KEYS[1], 'lease') end
  return {'OTHERS'}
end
if holder ~= name and not is_free() and rank <= tonumber(holders_rank) then return {'OTHERS'} end
redis.call('HSET', KEYS[1], 'lease', string.format('%s %.0f %.0f', name, rank, now + ms))
return {'HELD'}
