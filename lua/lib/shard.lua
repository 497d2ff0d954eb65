-- shard.lua: the state of a shard, kept in `meta`, and whether it serves a call. Uses clock.
-- Every script gets  KEYS 1 meta (hash)  2 outbox (stream)  3 due (zset): sale -> when the first of its holds ends;
-- +inf while it has none, so all sales of the shard are there. ARGV 1 is the epoch that the caller knows, ARGV 2 the
-- run_id of the Redis process that the caller is connected to.

-- Reads the shard's state as it is, whether or not it serves; `epoch` is nil while it is blank.
local function read_meta()
  local values = redis.call('HMGET', KEYS[1], 'epoch', 'seq', 'hash', 'time', 'owner', 'takeover_token', 'frozen',
    'settled_epoch', 'settled_seq', 'trim_seq')
  return {
    epoch = tonumber(values[1]), seq = tonumber(values[2] or 0), hash = values[3] or '',
    time = tonumber(values[4] or 0), owner = values[5], takeover_token = values[6], frozen = values[7],
    settled_epoch = tonumber(values[8] or 0), settled_seq = tonumber(values[9] or 0),
    trim_seq = tonumber(values[10] or 0),
  }
end

-- The reply to a call that the shard does not serve, or nil. What only a take-over ends comes before an old epoch.
local function shard_error(meta, epoch, run_id)
  if meta.frozen then return {'SHARD', 'FROZEN', meta.frozen} end
  if not meta.epoch then return {'SHARD', 'BLANK', ''} end
  if meta.takeover_token then return {'SHARD', 'IN_TAKEOVER', ''} end
  if meta.owner ~= run_id then return {'SHARD', 'NOT_OWNED', ''} end
  if meta.epoch ~= epoch then return {'SHARD', 'EPOCH', string.format('%.0f', meta.epoch)} end
  return nil
end

-- Opens the shard for a call, or returns nil and the reply that says why not; its time is never before a commit's.
local function open_shard()
  local shard = read_meta()
  local not_serving = shard_error(shard, tonumber(ARGV[1]), ARGV[2])
  if not_serving then return nil, not_serving end
  shard.now = math.max(wall_time_ms(), shard.time)
  shard.events, shard.sales, shard.expired = {}, {}, 0
  return shard, nil
end

-- The seq of the last commit that a result takes into account: this call's own, once it has changed something.
local function seen_seq(shard)
  return #shard.events > 0 and shard.seq + 1 or shard.seq
end

-- The reply of a call: moment, position of the head and of what is settled, and the script's result or results.
local function reply_of(shard, results)
  return {shard.now, shard.epoch, shard.seq, shard.settled_epoch, shard.settled_seq, results}
end
