#!lua
--[[ create_sale.lua: make a sale, or say that it is unknown: then the caller asks the ledger, which may know it from long ago.
KEYS   1 meta (hash)  2 outbox (stream)  3 due (zset)
       then of the sale  sale, reservations (hashes), expiry (zset), buyers (hash)
ARGV   1 epoch  2 run_id  3 mark of the answer UNKNOWN after which the ledger was asked, '' if it was not
       4 body, which tells a repeat from a reuse  5 title  6 start in ms, '' for now  7 end in ms, -1 for none
       8 hold ttl in ms, 0 for no holds  9 longest hold ttl in ms  10 buyer limit
       11 bytes of the SaleMade but its start  then per item  sku, total
Reply  {now, epoch, seq, settled epoch, settled seq, verdict}
       MADE / REPLAYED, sale  as `sale_reply` has it       ID_REUSED  this id, another body
       UNKNOWN, mark          nothing is made: there is no such sale, and the mark that was given is not this one
       ENDS_TOO_EARLY         at or before its start: nothing is made
Keeps  available + held + sold = total for every item: all is available. No sale is made twice: one that leaves changes the
       mark, so what the ledger did not know after an answer with this mark was not made and forgotten meanwhile either. ]]

local FIRST_ITEM = 12

local shard, refusal = open_shard()
if refusal then return refusal end

local function settings_from_arguments()
  return {
    body = ARGV[4], title = ARGV[5], start_ms = tonumber(ARGV[6]) or shard.now, end_ms = tonumber(ARGV[7]),
    hold_ttl_ms = tonumber(ARGV[8]), max_hold_ttl_ms = tonumber(ARGV[9]), buyer_limit = tonumber(ARGV[10]),
    paused = 0, closed = 0, epoch = shard.epoch, seq = shard.seq + 1, index = #shard.events,
    create_ms = shard.now, update_ms = shard.now,
  }
end

-- One `Event` of commit.proto, behind its tag in CommitBody: a SaleMade.
local function sale_event(settings)
  return field(0x12, field(0x12, ARGV[11] .. struct.pack('<BI8', 0x19, settings.start_ms)))
end

-- Changes with each sale that leaves the shard, and with each take-over.
local function mark_of(shard)
  return string.format('%.0f-%s', shard.epoch, redis.call('HGET', KEYS[1], 'sales_left') or '0')
end

local function make(sale, settings)
  for at = FIRST_ITEM, #ARGV, 2 do
    sale.items[ARGV[at]] = {available = tonumber(ARGV[at + 1]), held = 0, sold = 0}
    sale.changed_items[ARGV[at]] = true
  end
  tell(shard, sale_event(settings))
  commit(shard)
  redis.call('HSET', sale.key, 'settings', bytes_from_settings(settings))
  redis.call('ZADD', KEYS[3], '+inf', sale.name)
  return sale_reply('MADE', sale)
end

local sale = open_sale(shard, 1)
load_settings(sale)
if sale.settings then
  local is_repeat = sale.settings.body == ARGV[4]
  return reply_of(shard, is_repeat and sale_reply('REPLAYED', sale) or {'ID_REUSED'})
end
local mark = mark_of(shard)
if ARGV[3] ~= mark then return reply_of(shard, {'UNKNOWN', mark}) end
local settings = settings_from_arguments()
if settings.end_ms >= 0 and settings.end_ms <= settings.start_ms then return reply_of(shard, {'ENDS_TOO_EARLY'}) end
return reply_of(shard, make(sale, settings))
