#!lua flags=no-writes
--[[ count_holds.lua: count the holds of some sales of a shard.
KEYS   1 meta (hash)  2 outbox (stream)  3 due (zset)
       then per sale  sale, reservations (hashes), expiry (zset), buyers (hash)
ARGV   1 observed  2 latest  3 how many sales
Reply  {now, epoch, seq, settled epoch, settled seq, open, overdue}: holds that stand, and those whose end has come, or
       that were released with their sale's close, and that were not taken back yet
Keeps  everything as it is: reads only.
Uses   clock shard record sale settings ]]

local shard, not_serving = open_shard()
if not_serving then return not_serving end

local open, overdue = 0, 0
for number = 1, tonumber(ARGV[3]) do
  local sale = open_sale(shard, number)
  load_settings(sale, {})
  local due = redis.call('ZCOUNT', sale.expiry_key, '-inf', last_due(shard, sale))
  overdue = overdue + due
  open = open + redis.call('ZCARD', sale.expiry_key) - due
end
return reply_of(shard, {open, overdue})
