-- attempts.lua: how often each buyer was judged within the last 60 seconds, in a sale that limits it. Uses shard record.
-- Behind the four keys of the sale there are two more, hashes for even and odd minutes of the shard's clock:
--   attempts  buyer -> when, 2 bytes each, in ms within the minute; `@` -> which minute. One of another minute is empty.
-- They are in no commit: a restart may lose them.

local MINUTE_MS = 60000
local COUNTED = ' HELD SOLD_OUT INSUFFICIENT_STOCK ITEM_LIMIT BUYER_LIMIT ' -- results that are an attempt

local function attempts_key(sale, minute)
  return KEYS[sale.first_key + 4 + minute % 2]
end

-- The bytes of each of these buyers in a minute, '' without any, and whether the hash is of that minute.
local function read_minute(sale, minute, buyers)
  local values, found = redis.call('HMGET', attempts_key(sale, minute), '@', unpack(buyers)), {}
  local is_of_minute = tonumber(values[1]) == minute
  for at, buyer in ipairs(buyers) do found[buyer] = is_of_minute and values[at + 1] or '' end
  return found, is_of_minute
end

-- Adds when a buyer was judged in a minute, of the last 60 seconds.
local function add_times(shard, times, minute, bytes)
  for at = 1, #bytes, 2 do
    local time_ms = minute * MINUTE_MS + struct.unpack('>H', bytes, at)
    if time_ms > shard.now - MINUTE_MS then times[#times + 1] = time_ms end
  end
end

-- Reads the attempts of the buyers of the call.
local function load_attempts(shard, sale)
  local minute = math.floor(shard.now / MINUTE_MS)
  local before = read_minute(sale, minute - 1, sale.call_buyers)
  local attempts = {minute = minute, times = {}, added = {}}
  attempts.bytes, attempts.is_begun = read_minute(sale, minute, sale.call_buyers)
  for buyer, bytes in pairs(attempts.bytes) do
    attempts.times[buyer] = {}
    add_times(shard, attempts.times[buyer], minute - 1, before[buyer])
    add_times(shard, attempts.times[buyer], minute, bytes)
  end
  sale.attempts = attempts
end

-- When the attempt that is as many attempts ago as the sale allows was made, the next one is judged 60 seconds after it.
local function judge_attempts(shard, sale, wanted)
  local most = sale.settings.attempts_per_minute
  if most == 0 then return nil end
  if not sale.attempts then load_attempts(shard, sale) end
  local times = sale.attempts.times[wanted.buyer]
  if #times < most then return nil end
  local judged_ms, end_ms = times[#times - most + 1] + MINUTE_MS, sale.settings.end_ms
  local is_over = end_ms >= 0 and judged_ms >= end_ms or wanted.own and judged_ms >= wanted.own[EXPIRE_MS]
  return {'ATTEMPT_LIMIT', seen_seq(shard), is_over and -1 or judged_ms - shard.now}
end

local function count_attempt(shard, sale, buyer, result)
  local attempts = sale.attempts
  if not attempts or not string.find(COUNTED, ' ' .. result[1] .. ' ', 1, true) then return end
  local times = attempts.times[buyer]
  times[#times + 1] = shard.now
  attempts.bytes[buyer] = attempts.bytes[buyer] .. struct.pack('>H', shard.now % MINUTE_MS)
  attempts.added[buyer] = true
end

-- Writes the attempts that were counted, after the commit.
local function write_attempts(shard)
  for _, sale in ipairs(shard.sales) do
    local attempts = sale.attempts
    if attempts and next(attempts.added) then
      local key, fields = attempts_key(sale, attempts.minute), {'@', attempts.minute}
      for buyer in pairs(attempts.added) do
        fields[#fields + 1] = buyer
        fields[#fields + 1] = attempts.bytes[buyer]
      end
      if not attempts.is_begun then redis.call('UNLINK', key) end
      redis.call('HSET', key, unpack(fields))
      redis.call('PEXPIRE', key, 2 * MINUTE_MS)
    end
  end
end
