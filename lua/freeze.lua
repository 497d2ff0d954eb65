#!lua flags=allow-oom
--[[ freeze.lua: stop a shard that contradicts the ledger; no reservation in it changes until a take-over.
KEYS   1 meta (hash)  2 outbox (stream)  3 due (zset)
ARGV   1 observed  2 latest (both unused)  3 epoch in which the caller read the shard, 0 for a blank one
       4 reason: WORD: a sentence  5 token of the take-over that found the contradiction, or '' if none did
Reply  {FROZEN}  {NOT_FROZEN}: the shard is at another epoch, or the take-over is over, so the reason is outdated
Keeps  The first reason stays in front, for it is the cause. Only a take-over adds a reason, in the place of one that an
       earlier take-over added under the same word; the take-over then ends.
Uses   clock shard ]]

local shard = read_meta()
local other_format = format_error(shard)
if other_format then return other_format end
local epoch, reason, token = tonumber(ARGV[3]), ARGV[4], ARGV[5]

local function reason_after(before)
  local word = string.match(reason, '^[%u_]+: ')
  local at = string.find(before, word, 1, true)
  return (at and string.sub(before, 1, at - 1) or before .. '; ') .. reason
end

if (shard.epoch or 0) ~= epoch then return {'NOT_FROZEN'} end
if token ~= '' and shard.takeover_token ~= token then return {'NOT_FROZEN'} end
if not shard.frozen then
  redis.call('HSET', KEYS[1], 'frozen', reason)
elseif token ~= '' then
  redis.call('HSET', KEYS[1], 'frozen', reason_after(shard.frozen))
end
if token ~= '' then redis.call('HDEL', KEYS[1], 'takeover_token', 'renewals') end
return {'FROZEN'}
