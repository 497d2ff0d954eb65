#!lua flags=allow-oom
--[[ claim.lua: stop a shard for a take-over and say where it stands; a later claim takes an earlier one's place.
KEYS   1 meta (hash)  2 outbox (stream)  3 due (zset)
ARGV   1 epoch of the ledger's row, 0 if there is none  2 run_id  3 token of the claim  4 1 if the ledger's row is frozen
Reply  {CLAIMED, epoch, seq, hash, run_id}, epoch 0 for a blank shard   {SERVING}: nothing to take over
       {NEWER_EPOCH}: the row that the caller read is older than this shard, so its fence would lead nowhere
Keeps  Nothing but the claim is written; the relay goes on sending what the outbox holds. ]]

local shard = read_meta()
local row_epoch, run_id, token, ledger_frozen = tonumber(ARGV[1]), ARGV[2], ARGV[3], ARGV[4] == '1'
if (shard.epoch or 0) > row_epoch then return {'NEWER_EPOCH'} end
local serving = shard_refusal(shard, shard.epoch, run_id) == nil
if serving and not ledger_frozen then return {'SERVING'} end
redis.call('HSET', KEYS[1], 'claim', token)
return {'CLAIMED', shard.epoch or 0, shard.seq, shard.hash, run_id}
