-- attempts.lua: how often each buyer was judged within the last 60 seconds, in a sale that limits it. Uses shard record checks.
-- Behind the four keys of the sale there are two more, hashes for even and odd minutes of the shard's clock:
--   attempts  buyer -> when, 2 bytes each, in ms within the minute; `@` -> which minute. One of another minute is empty.
-- They are in no commit: a restart may lose them.

local MINUTE_MS = 60000
local COUNTED = ' HELD SOLD_OUT INSUFFICIENT_STOCK ITEM_LIMIT BUYER_LIMIT ' -- results that are an attempt

local function attempts_key(sale, minute)
  for at = 1, #KEYS do
    if KEYS[at] == sale.key then return KEYS[at + 4 + minute % 2] end
  end
end

-- The bytes of each of these buyers in a minute, '' without any, and whether the hash is of that minute.
local function read_minute(sale, buyers, minute)
  local found = {}
  local values = redis.call('HMGET', attempts_key(sale, minute), '@', unpack(buyers))
  local is_of_minute = tonumber(values[1]) == minute
  for at, buyer in ipairs(buyers) do found[buyer] = is_of_minute and values[at + 1] or '' end
  return found, is_of_minute
end

-- Reads the attempts of the buyers of the call.
local function load_attempts(shard, sale, requests)
  local minute, buyers = math.floor(shard.now / MINUTE_MS), buyers_of(sale, requests)
  local attempts = {minute = minute, added = {}, before = read_minute(sale, buyers, minute - 1)}
  attempts.bytes, attempts.is_begun = read_minute(sale, buyers, minute)
  sale.attempts = attempts
end

-- When the attempt was made that is `ago` attempts ago, 1 for the latest one; nil without so many in the last 60 seconds.
-- Later ones are behind earlier ones, so one of them is looked at, however many there are.
local function time_of_attempt(shard, attempts, buyer, ago)
  local bytes, minute = attempts.bytes[buyer], attempts.minute
  local in_this_minute = #bytes / 2
  if ago > in_this_minute then bytes, minute, ago = attempts.before[buyer], minute - 1, ago - in_this_minute end
  local at = #bytes - 2 * ago + 1
  if at < 1 then return nil end
  local time_ms = minute * MINUTE_MS + struct.unpack('>H', bytes, at)
  return time_ms > shard.now - MINUTE_MS and time_ms or nil
end

-- When the attempt that is as many attempts ago as the sale allows was made, the next one is judged 60 seconds after it.
local function judge_attempts(shard, sale, requests, at)
  local most = sale.settings.attempts_per_minute
  if most == 0 then return nil end
  if not sale.attempts then load_attempts(shard, sale, requests) end
  local time_ms = time_of_attempt(shard, sale.attempts, requests.buyers[at], most)
  if not time_ms then return nil end
  local judged_ms, end_ms, own = time_ms + MINUTE_MS, sale.settings.end_ms, requests.own
  local is_over = end_ms >= 0 and judged_ms >= end_ms or own and judged_ms >= own[EXPIRE_MS]
  return {'ATTEMPT_LIMIT', seen_seq(shard), is_over and -1 or judged_ms - shard.now}
end

local function count_attempt(shard, sale, buyer, result)
  local attempts = sale.attempts
  if not string.find(COUNTED, ' ' .. result[1] .. ' ', 1, true) then return end
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
