#!lua flags=allow-oom
--[[ archive.lua: drop records of a sale that are final, settled and old, and then the sale itself, once it is over and
     has no records left. Calls about them are answered from the ledger afterwards.
KEYS   1 meta (hash)  2 outbox (stream)  3 due (zset)
       then of the sale  sale, reservations (hashes), expiry (zset), buyers, adjustments (hashes)
ARGV   1 observed  2 latest  3 ms for which a record is kept after it is final, and a sale at least after it is over
       4 cursor, 0 to begin a walk  5 bytes of the SaleLeft
Reply  {now, epoch, seq, settled epoch, settled seq, cursor, how many records, 1 or 0, ms}; 1: the sale has left too
       A walk is over when the cursor is 0 again; ms: no record that was scanned can leave sooner.
Keeps  what is HELD, above what is settled (a compensation may still come) or young. No unit moves: while the sale is here,
       what was sold is still sold and still counts for its buyer. Each sale that leaves raises `sales_left` of meta, by
       which create_sale.lua detects that one has left since the ledger was asked.
Uses   clock shard record sale settings event sale_event commit ]]

local SCAN_COUNT = 100 -- about how many entries one call scans

local shard, not_serving = open_shard()
if not_serving then return not_serving end

local keep_ms, adjustments_key = tonumber(ARGV[3]), KEYS[8]
local wait_ms = keep_ms -- a record that is not final yet leaves no sooner

local function is_settled(epoch, seq)
  return not is_before(shard.settled_epoch, shard.settled_seq, epoch, seq)
end

-- Whether what ended at `end_ms` and is kept for `ms` may leave, if all changes of it are settled.
local function may_leave(end_ms, ms, settled)
  local left_ms = end_ms + ms - shard.now
  if left_ms <= 0 and settled then return true end
  wait_ms = math.min(wait_ms, math.max(left_ms, 0))
  return false
end

-- Keeps in meta the highest change of a record that has left, by which return_archived.lua tells what it may have missed.
local function keep_archived(highest)
  local epoch, seq = string.match(redis.call('HGET', KEYS[1], 'archived') or '0-0', '^(%d+)-(%d+)$')
  if is_before(tonumber(epoch), tonumber(seq), highest[EPOCH], highest[SEQ]) then
    redis.call('HSET', KEYS[1], 'archived', string.format('%.0f-%.0f', highest[EPOCH], highest[SEQ]))
  end
end

local function drop_records(sale, entries)
  local ids, highest = {}, nil
  for at = 1, #entries, 2 do
    local record = record_from_bytes(entries[at + 1])
    local is_final = record[STATE] ~= HELD
    local settled = is_settled(record[EPOCH], record[SEQ])
    if is_final and may_leave(record[UPDATE_MS], keep_ms, settled) then
      ids[#ids + 1] = entries[at]
      if not highest or is_before(highest[EPOCH], highest[SEQ], record[EPOCH], record[SEQ]) then highest = record end
    end
  end
  if not highest then return 0 end
  redis.call('HDEL', sale.reservations_key, unpack(ids))
  keep_archived(highest)
  return #ids
end

-- When a sale is over for its buyers: at its end or its close, whichever comes first; nil: never yet.
local function over_ms(settings)
  if settings.close_ms > 0 and (settings.end_ms < 0 or settings.close_ms < settings.end_ms) then return settings.close_ms end
  return settings.end_ms >= 0 and settings.end_ms or nil
end

-- Whether the ledger has all that was done to a sale as a whole: a caller who repeats it is answered from there.
local function sale_is_settled(settings)
  local epoch, seq = string.match(redis.call('HGET', adjustments_key, '@') or '', '^(%d+)-(%d+)$')
  return is_settled(settings.epoch, settings.seq) and (not epoch or is_settled(tonumber(epoch), tonumber(seq)))
end

local function drop_sale(sale)
  load_settings(sale, {})
  local settings = sale.settings
  local ended_ms = settings and over_ms(settings)
  if not ended_ms or redis.call('EXISTS', sale.reservations_key) == 1 then return 0 end
  if not may_leave(ended_ms, math.max(keep_ms, settings.return_window_ms), sale_is_settled(settings)) then return 0 end
  add_event(shard, sale_left_event(ARGV[5]))
  commit(shard)
  redis.call('HINCRBY', KEYS[1], 'sales_left', 1)
  redis.call('UNLINK', sale.key, sale.reservations_key, sale.expiry_key, sale.buyers_key, adjustments_key)
  redis.call('ZREM', KEYS[3], name_of(sale))
  return 1
end

local sale = open_sale(shard, 1)
local step = redis.call('HSCAN', sale.reservations_key, ARGV[4], 'COUNT', SCAN_COUNT)
local dropped = drop_records(sale, step[2])
local has_left = drop_sale(sale)
return reply_of(shard, {step[1], dropped, has_left, wait_ms})
