#!lua flags=allow-oom
--[[ takeover_begin.lua: stop a shard for a take-over and reply where it stands; a later take-over ends an earlier one.
KEYS   1 meta (hash)  2 outbox (stream)  3 due (zset)
ARGV   1 observed  2 latest (unused)  3 epoch of the ledger's row, 0 if there is none  4 token of the take-over
       5 1 if a shard that serves is taken over too
Reply  {BEGUN, epoch, seq, hash, identity}, epoch 0 for a blank shard   {SERVING}: nothing to take over
       {NEWER_EPOCH}: the row that the caller read is older than this shard, which is not frozen: so a fence on it would
       fail. A frozen one is taken over: the ledger was set back, and the epoch that it begins is above both.
Keeps  Nothing but the token is written; the relay goes on sending what the outbox holds.
Uses   clock shard ]]

local shard = read_meta()
local other_format = format_error(shard)
if other_format then return other_format end
local row_epoch, token, also_serving = tonumber(ARGV[3]), ARGV[4], ARGV[5] == '1'
local identity = read_identity()
if identity == 'replica' then return {'SHARD', 'NOT_OWNED', ''} end
if (shard.epoch or 0) > row_epoch and not shard.frozen then return {'NEWER_EPOCH'} end
local serving = shard_error(shard) == nil
if serving and not also_serving then return {'SERVING'} end
redis.call('HSET', KEYS[1], 'takeover_token', token)
return {'BEGUN', shard.epoch or 0, shard.seq, shard.hash, identity}
