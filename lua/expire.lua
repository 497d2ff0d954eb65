#!lua flags=allow-oom
--[[ expire.lua: take back overdue and released holds of some of a shard's sales, at most 100, and reply whether the shard
     has more.
KEYS   1 meta (hash)  2 outbox (stream)  3 due (zset)
       then per sale  sale, reservations (hashes), expiry (zset), buyers (hash)
ARGV   1 observed  2 latest  3 how many sales
Reply  {now, epoch, seq, settled epoch, settled seq, how many holds were taken back, 1 if more is due, of any sale}
Keeps  available + held + sold = total for every item; a hold ends once, and not before its time
       unless its sale was closed with a release of its holds.
Uses   clock shard record sale settings event move commit ]]

local shard, not_serving = open_shard()
if not_serving then return not_serving end

for number = 1, tonumber(ARGV[3]) do
  local sale = open_sale(shard, number)
  load_settings(sale, {})
  if sale.settings then expire_overdue(shard, sale) end
end
commit(shard)
local due = redis.call('ZCOUNT', KEYS[3], '-inf', shard.now) -- sales, after what was taken back
return reply_of(shard, {shard.expired or 0, due > 0 and 1 or 0})
