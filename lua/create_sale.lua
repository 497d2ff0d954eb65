#!lua
--[[ create_sale.lua: make a sale, or reply that it is unknown: the caller then asks the ledger, because a sale of this id
     may have been archived.
KEYS   1 meta (hash)  2 outbox (stream)  3 due (zset)
       then of the sale  sale, reservations (hashes), expiry (zset), buyers (hash)
ARGV   1 observed  2 latest  3 generation of the reply UNKNOWN after which the ledger was asked, '' if it was not
       4 bytes of the SaleMade but its start  5 how many settings  then per setting  name, value; without a start
       it begins now  then per item  sku, total, limit of one buyer, 0 for none
Reply  {now, epoch, seq, settled epoch, settled seq, result ..}
       MADE / REPLAYED, sale  as `sale_reply` has it       ID_REUSED  this id, another fingerprint
       UNKNOWN, generation    nothing is made: there is no such sale, and the generation that was given is not this one
       ENDS_TOO_EARLY         at or before its start: nothing is made
Keeps  available + held + sold = total for every item: all is available. No sale is made twice: one that leaves changes
       the generation, so a sale that the ledger lacked in this generation was not made and archived meanwhile either.
Uses   clock shard record sale settings make_sale sale_reply event commit ]]

local FIRST_SETTING = 6
local FIRST_ITEM = FIRST_SETTING + 2 * ARGV[5]
local IS_TEXT = {title = true, fingerprint = true}

local shard, not_serving = open_shard()
if not_serving then return not_serving end

local function settings_from_arguments()
  local settings = {
    start_ms = shard.now, paused = 0, close_ms = 0, release_ms = 0, release_reason = '',
    epoch = shard.epoch, seq = shard.seq + 1, index = #shard.events, create_ms = shard.now, update_ms = shard.now,
  }
  for at = FIRST_SETTING, FIRST_ITEM - 1, 2 do
    local name, value = ARGV[at], ARGV[at + 1]
    settings[name] = IS_TEXT[name] and value or tonumber(value)
  end
  return settings
end

-- One `Event`, behind its tag in CommitBody: a SaleMade, of which ARGV has all but the start.
local function sale_made_event(settings)
  return field(0x12, field(0x12, ARGV[4] .. struct.pack('<BI8', 0x19, settings.start_ms)))
end

-- Changes with each sale that leaves the shard, and with each take-over.
local function generation_of(shard)
  return string.format('%.0f-%s', shard.epoch, redis.call('HGET', KEYS[1], 'sales_left') or '0')
end

local function make(sale, settings)
  for at = FIRST_ITEM, #ARGV, 3 do add_item(sale, ARGV[at], ARGV[at + 1], ARGV[at + 2]) end
  add_event(shard, sale_made_event(settings))
  changes_of(sale).settings = bytes_from_settings(settings)
  commit(shard)
  redis.call('ZADD', KEYS[3], '+inf', name_of(sale))
  return sale_reply('MADE', sale)
end

local settings, sale = settings_from_arguments(), open_sale(shard, 1)
load_all_settings(sale)
if sale.settings then
  local is_repeat = sale.settings.fingerprint == settings.fingerprint
  return reply_of(shard, is_repeat and sale_reply('REPLAYED', sale) or {'ID_REUSED'})
end
local generation = generation_of(shard)
if ARGV[3] ~= generation then return reply_of(shard, {'UNKNOWN', generation}) end
if settings.end_ms >= 0 and settings.end_ms <= settings.start_ms then return reply_of(shard, {'ENDS_TOO_EARLY'}) end
return reply_of(shard, make(sale, settings))
