#!lua flags=allow-oom
--[[ takeover_adopt.lua: let a shard serve again, as it is, in the epoch that its take-over began in the ledger.
KEYS   1 meta (hash)  2 outbox (stream)  3 due (zset)  4 blocked (hash)
ARGV   1 observed  2 latest (both unused)  3 the new epoch  4 token of the take-over
       5 identity of the Redis in which it began  6 hash at which the ledger stands  7 number of shards
       8 settled epoch  9 settled seq  10, 11 epoch and seq of the commit on which the new epoch builds
Reply  {ADOPTED}  {GONE}: another take-over, or another Redis   {DIFFERS}: not at this hash, or at an epoch as new
Keeps  Redis and the ledger agree at (new epoch, 0): so the outbox, which the ledger holds, is emptied, what is settled is
       as the ledger has it, and the next commit follows the ledger's hash. The copy of blocked buyers begins empty.
Uses   clock shard ]]

local shard = read_meta()
local other_format = format_error(shard)
if other_format then return other_format end
local epoch, token, identity, hash = tonumber(ARGV[3]), ARGV[4], ARGV[5], ARGV[6]
if shard.takeover_token ~= token or read_identity() ~= identity then return {'GONE'} end
if shard.hash ~= hash or epoch <= (shard.epoch or 0) then return {'DIFFERS'} end
redis.call('XTRIM', KEYS[2], 'MAXLEN', 0)
redis.call('UNLINK', KEYS[4])
redis.call('HSET', KEYS[1], 'shards', ARGV[7], 'epoch', ARGV[3], 'seq', 0, 'hash', hash, 'trim_seq', 0, 'trim_hash', hash,
  'settled_epoch', ARGV[8], 'settled_seq', ARGV[9], 'base_epoch', ARGV[10], 'base_seq', ARGV[11], 'owner', identity,
  'format', FORMAT)
redis.call('HDEL', KEYS[1], 'takeover_token', 'frozen', 'renewals', 'blocked', 'blocked_version', 'blocked_replacement')
return {'ADOPTED'}
