#!lua flags=allow-oom
--[[ change_sale.lua: pause, resume, close or update a sale.
KEYS   1 meta (hash)  2 outbox (stream)  3 due (zset)
       then of the sale  sale, reservations (hashes), expiry (zset), buyers (hash)
ARGV   1 observed  2 latest  3 PAUSE | RESUME | CLOSE | CLOSE_AND_RELEASE | UPDATE  4 etag that is expected, '' for any
       5 reason  6 bytes of the SaleChanged but its settings and items  7 how many settings  then of UPDATE per setting
       name, value ('': what an unset one means at creation)  then per item  sku, total, limit of one buyer, bytes in the
       SaleChanged
Reply  {now, epoch, seq, settled epoch, settled seq, result ..}, the first that applies; only CHANGED writes
       NO_SALE              there is none                   REPLAYED, sale      it stands so already
       WRONG_STATE, sale    its state does not allow this   ETAG_MISMATCH       its settings changed since they were read
       OUT_OF_BOUNDS, field   the settings would not go together, or the items be too many
       CHANGED, sale        as it stands; of the holds that a close releases 100 are taken back, the sweep has the rest
Keeps  available + held + sold = total for every item. A close releases all holds in one moment: each that stands then is
       RELEASED for every later call, swept or not, and none comes to be after it.
Uses   clock shard record sale settings make_sale sale_reply event sale_event move commit ]]

local FIRST_SETTING = 8
local FIRST_ITEM = FIRST_SETTING + 2 * ARGV[7]
local MAX_ITEMS = 1000
local kind, etag, reason = ARGV[3], ARGV[4], ARGV[5]
local closes = kind == 'CLOSE' or kind == 'CLOSE_AND_RELEASE'

local shard, not_serving = open_shard()
if not_serving then return not_serving end

-- The settings that the request names, as they would be after it.
local function named_settings(settings)
  local named = {}
  for at = FIRST_SETTING, FIRST_ITEM - 1, 2 do
    named[ARGV[at]] = ARGV[at] == 'title' and ARGV[at + 1] or tonumber(ARGV[at + 1]) or ''
  end
  if named.start_ms == '' then named.start_ms = math.min(shard.now, settings.start_ms) end -- one that has started goes on
  if named.end_ms == '' then named.end_ms = -1 end
  if named.max_hold_ttl_ms == '' then named.max_hold_ttl_ms = named.hold_ttl_ms or settings.hold_ttl_ms end
  if kind == 'PAUSE' or kind == 'RESUME' then named.paused = kind == 'PAUSE' and 1 or 0 end
  if closes and settings.close_ms == 0 then named.close_ms = shard.now end
  if kind == 'CLOSE_AND_RELEASE' and settings.release_ms == 0 then
    named.release_ms, named.release_reason = shard.now, reason
  end
  return named
end

-- What the request would change: settings with their new values, and the places in ARGV of the items that are missing.
local function change_of(sale)
  local change, skus = {settings = {}, items = {}, named = named_settings(sale.settings)}, {}
  for name, value in pairs(change.named) do
    if sale.settings[name] ~= value then change.settings[name] = value end
  end
  for at = FIRST_ITEM, #ARGV, 4 do skus[#skus + 1] = ARGV[at] end
  load_items(sale, skus)
  for at = FIRST_ITEM, #ARGV, 4 do
    if not sale.items[ARGV[at]] then change.items[#change.items + 1] = at end
  end
  return change
end

-- A sale that stands so already is read. A closed one is neither paused nor resumed, whatever it was before.
local function judge_repeat(sale, change)
  if sale.settings.close_ms > 0 and (kind == 'PAUSE' or kind == 'RESUME') then return nil end
  if next(change.settings) == nil and #change.items == 0 then return sale_reply('REPLAYED', sale) end
end

-- A closed sale can but release its holds; the start, and whether there are holds, are fixed once it has started.
local function judge_state(sale, change)
  if closes then return nil end
  local settings, ttl_ms = sale.settings, change.settings.hold_ttl_ms
  local switches_holds = ttl_ms and (ttl_ms == 0) ~= (settings.hold_ttl_ms == 0)
  local too_late = shard.now >= settings.start_ms and (change.settings.start_ms or switches_holds)
  if settings.close_ms > 0 or too_late then return sale_reply('WRONG_STATE', sale) end
end

-- The caller must have read the settings as they stand, if it says which it read.
local function judge_etag(sale)
  local settings = sale.settings
  local present = string.format('%.0f-%.0f-%.0f', settings.epoch, settings.seq, settings.index)
  if etag ~= '' and etag ~= present then return {'ETAG_MISMATCH'} end
end

local function count_items(sale)
  local items = 0
  for _, name in ipairs(redis.call('HKEYS', sale.key)) do
    if string.sub(name, 1, 5) == 'item:' then items = items + 1 end
  end
  return items
end

-- The settings must go together after the change; the field that is named is one that the request sets.
local function judge_fields(sale, change)
  local named, after = change.named, setmetatable(change.settings, {__index = sale.settings})
  if after.end_ms >= 0 and after.end_ms <= after.start_ms then
    return {'OUT_OF_BOUNDS', named.end_ms and 'end_time' or 'start_time'}
  end
  if after.hold_ttl_ms > after.max_hold_ttl_ms then
    return {'OUT_OF_BOUNDS', named.max_hold_ttl_ms and 'max_hold_ttl' or 'hold_ttl'}
  end
  if #change.items > 0 and count_items(sale) + #change.items > MAX_ITEMS then return {'OUT_OF_BOUNDS', 'items'} end
end

local function add_items(sale, places)
  local added = {}
  for number, at in ipairs(places) do
    add_item(sale, ARGV[at], ARGV[at + 1], ARGV[at + 2])
    added[number] = ARGV[at + 3]
  end
  return table.concat(added)
end

local function carry_out(sale, change)
  local settings = sale.settings
  for name, value in pairs(change.settings) do settings[name] = value end
  settings.epoch, settings.seq, settings.index = shard.epoch, shard.seq + 1, #shard.events
  settings.update_ms = shard.now
  add_event(shard, sale_changed_event(settings, ARGV[6], add_items(sale, change.items)))
  if settings.release_ms > 0 then expire_overdue(shard, sale) end
  changes_of(sale).settings = bytes_from_settings(settings)
  commit(shard)
  return sale_reply('CHANGED', sale)
end

-- The checks in their order: the first that returns a result decides. `change_sale` in sale_changes.py has the same.
local function judge(sale, change)
  return judge_repeat(sale, change)
    or judge_state(sale, change)
    or judge_etag(sale)
    or judge_fields(sale, change)
    or carry_out(sale, change)
end

local sale = open_sale(shard, 1)
load_all_settings(sale)
if not sale.settings then return reply_of(shard, {'NO_SALE'}) end
return reply_of(shard, judge(sale, change_of(sale)))
