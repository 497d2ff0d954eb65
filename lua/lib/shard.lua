-- shard.lua: the state of a shard, kept in `meta`, and whether it serves a call. Uses clock.
-- Every script gets  KEYS 1 meta (hash)  2 outbox (stream)  3 due (zset): sale -> when the first of its holds ends;
-- +inf while it has none, so all sales of the shard are there. ARGV 1 is the highest commit of the shard that the caller
-- has observed, "epoch-seq", 0-0 if none; ARGV 2 the latest time in ms, by the caller's clock, that a call may act at.

local FORMAT = 1 -- of everything that scripts keep in Redis; a version that keeps something otherwise has another number

local IDENTITY_LABEL, IDENTITY_LENGTH = 'master_replid:', 40 -- in INFO

-- The identity of the data of this Redis: a new one at each start and at each promotion. A replica has none.
local function read_identity()
  local info = redis.call('INFO', 'replication')
  local at = string.find(info, IDENTITY_LABEL, 1, true) -- plain: a pattern is tried at every character
  if not at or not string.find(info, 'role:master', 1, true) then return 'replica' end
  return string.sub(info, at + #IDENTITY_LABEL, at + #IDENTITY_LABEL + IDENTITY_LENGTH - 1)
end

-- Reads the shard's state as it is, whether or not it serves; `epoch` is nil while it is blank. `+ 0` makes a number of a
-- text at half of what `tonumber` costs, here and wherever a lone Reserve comes by.
local function read_meta()
  local values = redis.call('HMGET', KEYS[1], 'epoch', 'seq', 'hash', 'time', 'owner', 'takeover_token', 'frozen',
    'settled_epoch', 'settled_seq', 'trim_seq', 'format', 'blocked')
  return {
    head = values[1] and values[1] .. '-' .. (values[2] or 0), -- as the caller has what it observed
    epoch = values[1] and values[1] + 0, seq = (values[2] or 0) + 0, hash = values[3] or '',
    time = (values[4] or 0) + 0, owner = values[5], takeover_token = values[6], frozen = values[7],
    settled_epoch = (values[8] or 0) + 0, settled_seq = (values[9] or 0) + 0,
    trim_seq = (values[10] or 0) + 0, format = values[11] and values[11] + 0, blocked = (values[12] or 0) + 0,
  }
end

-- The reply of every script for a shard whose data it could misread, or nil: a shard that is not blank says its format.
-- The detail is that format, 0 if it says none, and the one of this version.
local function format_error(meta)
  if meta.format == FORMAT or not (meta.format or meta.epoch) then return nil end
  return {'SHARD', 'FORMAT', string.format('%.0f %.0f', meta.format or 0, FORMAT)}
end

-- Whether a commit was made before another one of its shard.
local function is_before(epoch, seq, other_epoch, other_seq)
  return epoch < other_epoch or epoch == other_epoch and seq < other_seq
end

-- Whether the caller has observed a commit that this Redis does not have: it holds an older copy of the data.
local function went_back(meta)
  local epoch, seq = string.match(ARGV[1], '^(%d+)-(%d+)$')
  return is_before(meta.epoch, meta.seq, tonumber(epoch), tonumber(seq))
end

-- The reply to a call that the shard does not serve, or nil.
local function shard_error(meta)
  local other_format = meta.format ~= FORMAT and format_error(meta)
  if other_format then return other_format end
  if meta.frozen then return {'SHARD', 'FROZEN', meta.frozen} end
  if not meta.epoch then return {'SHARD', 'BLANK', ''} end
  if meta.takeover_token then return {'SHARD', 'IN_TAKEOVER', ''} end
  if meta.owner ~= read_identity() then return {'SHARD', 'NOT_OWNED', ''} end
  if meta.head ~= ARGV[1] and went_back(meta) then
    return {'SHARD', 'WENT_BACK', string.format('%.0f-%.0f', meta.epoch, meta.seq)}
  end
  return nil
end

-- The reply to a call that would act later than its caller allows, or nil: the clock of Redis is ahead, or was ahead
-- when the shard's last commit was made.
local function clock_error(shard, wall_ms)
  local latest = ARGV[2] + 0
  if wall_ms > latest then return {'SHARD', 'CLOCK_AHEAD', string.format('%.0f', wall_ms)} end
  if shard.time > latest then return {'SHARD', 'TIME_AHEAD', string.format('%.0f', shard.time)} end
  return nil
end

-- Opens the shard for a call, or returns nil and the reply that says why not; its time is never before a commit's.
local function open_shard()
  local shard, wall_ms = read_meta(), wall_time_ms()
  local not_serving = shard_error(shard) or clock_error(shard, wall_ms)
  if not_serving then return nil, not_serving end
  shard.now = math.max(wall_ms, shard.time)
  shard.events, shard.sales = {}, {}
  return shard, nil
end

-- The seq of the last commit that a result takes into account: this call's own, once it has changed something.
local function seen_seq(shard)
  return #shard.events > 0 and shard.seq + 1 or shard.seq
end

-- The reply of a call: moment, position of the head and of what is settled, then the values of the script's result, or its
-- results. Redis takes thousands of instructions for a table within a table.
local function reply_of(shard, results)
  return {shard.now, shard.epoch, shard.seq, shard.settled_epoch, shard.settled_seq, unpack(results)}
end
