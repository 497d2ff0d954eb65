#!lua flags=allow-oom
--[[ takeover_adopt.lua: let a shard serve again, as it is, in the epoch that its take-over began in the ledger.
KEYS   1 meta (hash)  2 outbox (stream)  3 due (zset)
ARGV   1 the new epoch  2 run_id  3 token of the take-over  4 run_id of the process in which it began
       5 hash at which the ledger stands  6 number of shards
Reply  {ADOPTED}  {GONE}: another take-over, or another Redis process
Keeps  Redis and the ledger agree at (new epoch, 0): so the outbox, which the ledger holds, is emptied, and the next commit
       follows the ledger's hash.
Uses   clock shard ]]

local shard = read_meta()
local epoch, run_id, token, first_run_id, hash, shards = tonumber(ARGV[1]), ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
if shard.takeover_token ~= token or run_id ~= first_run_id then return {'GONE'} end
assert(shard.hash == hash, 'a shard moved during its take-over')
assert(epoch > (shard.epoch or 0), 'an epoch was granted twice')
redis.call('XTRIM', KEYS[2], 'MAXLEN', 0)
redis.call('HSET', KEYS[1], 'shards', shards, 'epoch', ARGV[1], 'seq', 0, 'hash', hash, 'trim_seq', 0, 'trim_hash', hash,
  'owner', run_id)
redis.call('HDEL', KEYS[1], 'takeover_token', 'frozen')
return {'ADOPTED'}
