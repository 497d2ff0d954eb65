-- checks.lua: what new units for a buyer must pass, whether a Reserve asks for them or a change of a hold. Uses shard
-- record sale move.
-- `wanted` is what is asked for beyond what is held already: a buyer, lines, the sum of their units and, for a change,
-- `own`, the record of its hold; the sum is then less what the change gives back. A sale has the list `requests`, with
-- buyer and lines of each request of the call. Each check returns nil or a result, in the form of reserve.lua.

local function judge_backpressure(is_full)
  if is_full then return {'LEDGER_BEHIND'} end
end

local function judge_window(shard, sale)
  local settings = sale.settings
  local ended = settings.close_ms > 0 or settings.end_ms >= 0 and shard.now >= settings.end_ms
  if ended then return {'SALE_ENDED', seen_seq(shard), -1} end
  if shard.now < settings.start_ms then -- one that is paused does not open by itself
    return {'SALE_NOT_STARTED', seen_seq(shard), settings.paused == 1 and -1 or settings.start_ms - shard.now}
  end
  if settings.paused == 1 then return {'SALE_PAUSED', seen_seq(shard), -1} end
end

-- The field of a buyer in the hash `blocked`: buyers of two tenants never share one.
local function blocked_field(sale, buyer)
  return string.match(sale.key, '}:sale:([^/]*/)') .. buyer
end

-- Reads which buyers of the call are blocked, in one command.
local function load_blocked(shard)
  local fields = {}
  for _, sale in ipairs(shard.sales) do
    for _, request in ipairs(sale.requests) do fields[#fields + 1] = blocked_field(sale, request.buyer) end
  end
  shard.blocked_fields = {}
  load_fields(KEYS[4], nil, fields, shard.blocked_fields, tonumber)
end

local function judge_block(shard, sale, wanted)
  if shard.blocked == 0 then return nil end -- the number of buyers in the hash
  if not shard.blocked_fields then load_blocked(shard) end
  if shard.blocked_fields[blocked_field(sale, wanted.buyer)] then return {'BUYER_BLOCKED', seen_seq(shard), -1} end
end

-- When the first hold ends of those that were there before this call and are not overdue; false if there is none.
local function next_expiry(shard, sale)
  if sale.next_expiry == nil then
    local first = redis.call('ZRANGEBYSCORE', sale.expiry_key, string.format('(%.0f', shard.now), '+inf',
      'WITHSCORES', 'LIMIT', 0, 1)
    sale.next_expiry = tonumber(first[2]) or false
  end
  return sale.next_expiry
end

-- How long until the sale's next hold can end: no answer that waits for units changes earlier. -1: there is none, or the
-- sale, or the hold that is to be changed, is over by then.
local function until_next_expiry(shard, sale, wanted)
  local earliest = next_expiry(shard, sale)
  for _, expire_ms in pairs(sale.changed_expiry) do
    if expire_ms and (not earliest or expire_ms < earliest) then earliest = expire_ms end
  end
  local end_ms = sale.settings.end_ms
  if not earliest or end_ms >= 0 and earliest >= end_ms then return -1 end
  if wanted.own and earliest >= wanted.own[EXPIRE_MS] then return -1 end
  return earliest - shard.now
end

local function is_short(sale, wanted)
  local lines = wanted.lines
  for at = 1, #lines do
    if sale.items[lines[at].sku].available < lines[at].quantity then return true end
  end
  return false
end

-- What the hold that is to be changed has of an item, or of all: it does not come back for it.
local function kept_units(wanted, sku)
  if not wanted.own then return 0 end
  local kept = 0
  for _, line in ipairs(units_of(wanted.own)) do
    if not sku or line.sku == sku then kept = kept + line.quantity end
  end
  return kept
end

local function shortage(shard, sale, wanted)
  local reason, may_change, short = 'INSUFFICIENT_STOCK', true, {}
  for _, line in ipairs(wanted.lines) do
    local item = sale.items[line.sku]
    if item.available < line.quantity then
      if item.available == 0 then reason = 'SOLD_OUT' end
      may_change = may_change and item.available + item.held - kept_units(wanted, line.sku) >= line.quantity
      local at = #short
      short[at + 1], short[at + 2], short[at + 3], short[at + 4] = line.sku, line.quantity, item.available, item.held
    end
  end
  return {reason, seen_seq(shard), may_change and until_next_expiry(shard, sale, wanted) or -1, unpack(short)}
end

local function judge_stock(shard, sale, wanted)
  if not is_short(sale, wanted) then return nil end
  if not expire_overdue(shard, sale) then return {'CALL_AGAIN'} end
  if is_short(sale, wanted) then return shortage(shard, sale, wanted) end
end

-- The first line, in their order, that would take the buyer over the limit of its item.
local function line_over_limit(sale, wanted)
  for at = 1, #wanted.lines do
    local line = wanted.lines[at]
    local limit = sale.items[line.sku].limit
    local buyer = limit and sale.buyers[name_of_limited(wanted.buyer, line.sku)]
    if limit and buyer.held + buyer.sold + line.quantity > limit then return line end
  end
end

-- Whether what the buyer owns, which time does not take away, leaves room for every line.
local function sold_leaves_room(sale, wanted)
  for _, line in ipairs(wanted.lines) do
    local limit = sale.items[line.sku].limit
    local buyer = limit and sale.buyers[name_of_limited(wanted.buyer, line.sku)]
    if limit and buyer.sold + kept_units(wanted, line.sku) + line.quantity > limit then return false end
  end
  return true
end

-- Reads the units of all buyers of the call, also where there is no limit: granting needs them.
local function judge_item_limits(shard, sale, wanted)
  if not sale.are_buyers_read then
    local names, requests = {}, sale.requests
    for at = 1, #requests do add_account_names(sale, names, requests[at].buyer, requests[at].lines) end
    load_buyers(sale, names)
    sale.are_buyers_read = true
  end
  if not line_over_limit(sale, wanted) then return nil end
  if not expire_overdue(shard, sale) then return {'CALL_AGAIN'} end
  local line = line_over_limit(sale, wanted)
  if not line then return nil end
  local buyer, limit = sale.buyers[name_of_limited(wanted.buyer, line.sku)], sale.items[line.sku].limit
  local retry = sold_leaves_room(sale, wanted) and until_next_expiry(shard, sale, wanted) or -1
  return {'ITEM_LIMIT', seen_seq(shard), retry, math.max(0, limit - buyer.held - buyer.sold), line.sku}
end

local function is_over_limit(sale, wanted)
  local buyer = sale.buyers[wanted.buyer]
  return wanted.units > 0 and buyer.held + buyer.sold + wanted.units > sale.settings.buyer_limit
end

local function judge_limit(shard, sale, wanted)
  if sale.settings.buyer_limit == 0 or not is_over_limit(sale, wanted) then return nil end
  if not expire_overdue(shard, sale) then return {'CALL_AGAIN'} end
  if not is_over_limit(sale, wanted) then return nil end
  local buyer = sale.buyers[wanted.buyer]
  local remaining = math.max(0, sale.settings.buyer_limit - buyer.held - buyer.sold)
  local may_change = buyer.sold + kept_units(wanted) + wanted.units <= sale.settings.buyer_limit
  return {'BUYER_LIMIT', seen_seq(shard), may_change and until_next_expiry(shard, sale, wanted) or -1, remaining}
end
