#!lua flags=allow-oom
--[[ adjust_stock.lua: change how many units of an item are on sale, once for each id.
KEYS   1 meta (hash)  2 outbox (stream)  3 due (zset)
       then of the sale  sale, reservations (hashes), expiry (zset), buyers, adjustments (hashes)
ARGV   1 observed  2 latest  3 id  4 body, "sku by|to number expected reference": what a repeat must ask for too; expected
       is '-' for any total  5 reason  6 actor  7 bytes of the StockAdjusted but what was made of it
Reply  {now, epoch, seq, settled epoch, settled seq, result ..}, the first that applies; only ADJUSTED, and the holds taken
       back on the way, write
       NO_SALE                          there is none
       REPLAYED, adjustment, item       this id and body were seen
       ID_REUSED                        this id, another body       NO_ITEM   the sale has none of this SKU
       TOTAL_MISMATCH, total            not the expected one        TOO_MANY  units for one item
       CALL_AGAIN                       more holds of the sale are overdue than one call takes back
       IN_USE, held, sold               fewer units than these would remain
       ADJUSTED, adjustment, item       the adjustment as it was made, the item as it stands
       an adjustment: {body, change, total after, reason, actor, ms, epoch, seq, index}   an item: {available, held, sold, limit}
Keeps  available + held + sold = total for every item, and none of them is ever below zero.
Uses   clock shard record sale settings event sale_event move commit ]]

local MAX_TOTAL = 1e12
local id, body, reason, actor = ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local sku, way, number, expected = string.match(body, '^(%S+) (%S+) (%S+) (%S+) ')

local shard, not_serving = open_shard()
if not_serving then return not_serving end

local sale, adjustments_key = open_sale(shard, 1), KEYS[8]

local function total_of(item)
  return item.available + item.held + item.sold
end

local function total_after(item)
  return way == 'to' and tonumber(number) or total_of(item) + tonumber(number)
end

local function adjustment_reply(result, adjustment)
  local item = sale.items[sku]
  return {result, adjustment, {item.available, item.held, item.sold, item.limit or 0}}
end

-- A known id gets the adjustment as it was made, beside the item as it stands.
local function judge_repeat()
  local bytes = redis.call('HGET', adjustments_key, id)
  if not bytes then return nil end
  local adjustment = {cmsgpack.unpack(bytes)}
  return adjustment[1] == body and adjustment_reply('REPLAYED', adjustment) or {'ID_REUSED'}
end

local function judge_item()
  if not sale.items[sku] then return {'NO_ITEM'} end
end

local function judge_total()
  local total = total_of(sale.items[sku])
  if expected ~= '-' and tonumber(expected) ~= total then return {'TOTAL_MISMATCH', total} end
  if total_after(sale.items[sku]) > MAX_TOTAL then return {'TOO_MANY'} end
end

local function is_in_use()
  local item = sale.items[sku]
  return total_after(item) < item.held + item.sold
end

-- What is held and sold stays in the sale; overdue holds are taken back before a request is refused for it.
local function judge_units_in_use()
  if not is_in_use() then return nil end
  if not expire_overdue(shard, sale) then return {'CALL_AGAIN'} end
  if is_in_use() then return {'IN_USE', sale.items[sku].held, sale.items[sku].sold} end
end

local function carry_out()
  local item = sale.items[sku]
  local after = total_after(item)
  local change = after - total_of(item)
  local adjustment = {body, change, after, reason, actor, shard.now, shard.epoch, shard.seq + 1, #shard.events}
  item.available, item.changed = item.available + change, true
  changes_of(sale)
  add_event(shard, stock_adjusted_event(ARGV[7], change, after))
  return adjustment_reply('ADJUSTED', adjustment)
end

-- The checks in their order: the first that returns a result decides. `adjust_stock` in adjustments.py has the same.
local function judge()
  return judge_repeat()
    or judge_item()
    or judge_total()
    or judge_units_in_use()
    or carry_out()
end

load_settings(sale, {sku})
if not sale.settings then return reply_of(shard, {'NO_SALE'}) end
local result = judge()
commit(shard)
if result[1] == 'ADJUSTED' then
  local latest = string.format('%.0f-%.0f', shard.epoch, shard.seq) -- archive.lua waits until it is settled
  redis.call('HSET', adjustments_key, id, cmsgpack.pack(unpack(result[2])), '@', latest)
end
return reply_of(shard, result)
