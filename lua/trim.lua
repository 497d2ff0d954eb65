#!lua flags=allow-oom
--[[ trim.lua: drop from the outbox what the ledger reports to hold, after comparing the report with the shard.
KEYS   1 meta (hash)  2 outbox (stream)  3 due (zset)
ARGV   1 observed  2 latest (both unused)  3 epoch reported  4 seq reported  5 hash reported  6 settled epoch
       7 settled seq
Reply  {result, reason, epoch, trim seq}; the first that applies:
       BLANK    nothing to compare with, or being loaded                    STALE    of an older epoch, or below the trim point
       FROZEN   the report contradicts the shard, which is stopped with the reason
       TRIMMED  exactly up to the report; what is settled rises with it
Keeps  A commit leaves the outbox only after the ledger has named it, or one above it, with the hash that Redis gave it.
Uses   clock shard ]]

local shard = read_meta()
local other_format = format_error(shard)
if other_format then return other_format end
local epoch, seq, hash = tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[5]

local function commit_id(at_epoch, at_seq)
  return string.format('%.0f-%.0f', at_epoch, at_seq)
end

local function hash_at(at_seq)
  if at_seq == shard.seq then return shard.hash end
  if at_seq == shard.trim_seq then return redis.call('HGET', KEYS[1], 'trim_hash') end
  local id = commit_id(shard.epoch, at_seq)
  local found = redis.call('XRANGE', KEYS[2], id, id)[1]
  return found and found[2][4] -- fields p, payload, h, hash
end

-- What the report proves wrong with this shard, or nil.
local function contradiction()
  local reported = 'the ledger reported commit ' .. commit_id(epoch, seq)
  local head = commit_id(shard.epoch, shard.seq)
  if epoch > shard.epoch then return 'NEWER_EPOCH: ' .. reported .. ' and Redis is at ' .. head end
  if seq > shard.seq then return 'HEAD_BEHIND_LEDGER: ' .. reported .. ' and Redis ends at ' .. head end
  if hash_at(seq) ~= hash then return 'HASH_DIFFERS: ' .. reported .. ' and Redis has another commit there' end
  return nil
end

local function is_settled_raised(settled_epoch, settled_seq)
  return settled_epoch > shard.settled_epoch
    or (settled_epoch == shard.settled_epoch and settled_seq > shard.settled_seq)
end

local function reply(result, reason)
  return {result, reason or '', shard.epoch or 0, shard.trim_seq}
end

if not shard.epoch or shard.hash == 'void' then return reply('BLANK') end
if epoch < shard.epoch or (epoch == shard.epoch and seq < shard.trim_seq) then return reply('STALE') end
local wrong = contradiction()
if wrong then
  if not shard.frozen then redis.call('HSET', KEYS[1], 'frozen', wrong) end
  return reply('FROZEN', wrong)
end

redis.call('XTRIM', KEYS[2], 'MINID', commit_id(epoch, seq + 1))
redis.call('HSET', KEYS[1], 'trim_seq', ARGV[4], 'trim_hash', hash)
if is_settled_raised(tonumber(ARGV[6]), tonumber(ARGV[7])) then
  redis.call('HSET', KEYS[1], 'settled_epoch', ARGV[6], 'settled_seq', ARGV[7])
end
shard.trim_seq = seq
return reply('TRIMMED')
