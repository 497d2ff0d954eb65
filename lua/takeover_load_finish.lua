#!lua flags=allow-oom
--[[ takeover_load_finish.lua: let a shard serve that was loaded, in the epoch that its take-over began in the ledger.
KEYS   1 meta (hash)  2 outbox (stream)  3 due (zset)
ARGV   1 observed  2 latest (both unused)  3 token of the take-over  4 identity of the Redis in which it began
       5 number of parts  6 the new epoch  7 hash at which the ledger stands  8 time of its last commit in ms
       9 settled epoch  10 settled seq  11 number of shards  12, 13 epoch and seq of the commit on which it builds
Reply  {LOADED}: now, or by this call when it came before   {GONE}: another take-over, another Redis, not void, of an
       epoch as new, or without a part
Keeps  Redis and the ledger agree at (new epoch, 0): the next commit follows the ledger's hash, and its time is not before
       that of the ledger's last commit. `archived` is that commit: of what is older, only holds and what is young were loaded.
Uses   clock shard ]]

local shard = read_meta()
local other_format = format_error(shard)
if other_format then return other_format end
if shard.epoch == tonumber(ARGV[6]) then return {'LOADED'} end -- only this take-over has that epoch
if shard.takeover_token ~= ARGV[3] or read_identity() ~= ARGV[4] or shard.hash ~= 'void' then return {'GONE'} end
if tonumber(ARGV[6]) <= (shard.epoch or 0) then return {'GONE'} end
if redis.call('HGET', KEYS[1], 'parts') ~= ARGV[5] then return {'GONE'} end
redis.call('HSET', KEYS[1], 'shards', ARGV[11], 'epoch', ARGV[6], 'seq', 0, 'hash', ARGV[7], 'time', ARGV[8],
  'trim_seq', 0, 'trim_hash', ARGV[7], 'settled_epoch', ARGV[9], 'settled_seq', ARGV[10], 'owner', ARGV[4],
  'base_epoch', ARGV[12], 'base_seq', ARGV[13], 'archived', ARGV[12] .. '-' .. ARGV[13], 'format', FORMAT)
redis.call('HDEL', KEYS[1], 'takeover_token', 'frozen', 'parts', 'renewals')
return {'LOADED'}
