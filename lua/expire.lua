#!lua flags=allow-oom
--[[ expire.lua: take back overdue holds of a shard's sales, at most 100.
KEYS   1 meta (hash)  2 outbox (stream)  3 due (zset)
       then per sale  sale, reservations (hashes), expiry (zset), buyers (hash)
ARGV   1 epoch  2 run_id  3 how many sales
Reply  {now, epoch, seq, settled epoch, settled seq, how many holds were taken back}
Keeps  available + held + sold = total for every item; a hold ends once, and not before its time. ]]

local shard, refusal = open_shard()
if refusal then return refusal end

for number = 1, tonumber(ARGV[3]) do
  take_back(shard, open_sale(shard, number))
end
commit(shard)
return reply_of(shard, shard.expired)
