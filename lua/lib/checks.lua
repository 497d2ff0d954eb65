-- checks.lua: what new units for a buyer must pass, whether a Reserve asks for them or a change of a hold. Uses shard
-- record sale move.
-- `requests` has a column for each of their values: `buyers`, and `lines`, what is asked for beyond what is held already, with
-- the sum of the units; for a change there is one request, `own` is the record of its hold, and the sum is less what the
-- change gives back. A sale has the list `asked`, the places of its requests in the columns. Each check gets the place `at`
-- of a request, and returns nil or a result, in the form of reserve.lua.

-- The buyers of a sale's requests.
local function buyers_of(sale, requests)
  local buyers = {}
  for number, at in ipairs(sale.asked) do buyers[number] = requests.buyers[at] end
  return buyers
end

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
local function load_blocked(shard, requests)
  local fields = {}
  for _, sale in ipairs(shard.sales) do
    for _, buyer in ipairs(buyers_of(sale, requests)) do fields[#fields + 1] = blocked_field(sale, buyer) end
  end
  requests.blocked = {}
  load_fields(KEYS[4], fields, requests.blocked)
end

local function judge_block(shard, sale, requests, at)
  if shard.blocked == 0 then return nil end -- the number of buyers in the hash
  if not requests.blocked then load_blocked(shard, requests) end
  if requests.blocked[blocked_field(sale, requests.buyers[at])] then return {'BUYER_BLOCKED', seen_seq(shard), -1} end
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
local function until_next_expiry(shard, sale, own)
  local earliest, first_end = next_expiry(shard, sale), sale.changes and sale.changes.first_end
  if first_end and (not earliest or first_end < earliest) then earliest = first_end end
  local end_ms = sale.settings.end_ms
  if not earliest or end_ms >= 0 and earliest >= end_ms then return -1 end
  if own and earliest >= own[EXPIRE_MS] then return -1 end
  return earliest - shard.now
end

local function is_short(sale, lines)
  local items = sale.items
  for at = 1, #lines do
    local line = lines[at]
    if items[line.sku].available < line.quantity then return true end
  end
  return false
end

-- What the hold that is to be changed has of an item, or of all: it does not come back for it.
local function kept_units(own, sku)
  local kept = 0
  for _, line in ipairs(units_of(own)) do
    if not sku or line.sku == sku then kept = kept + line.quantity end
  end
  return kept
end

local function shortage(shard, sale, lines, own)
  local reason, may_change, short = 'INSUFFICIENT_STOCK', true, {}
  for _, line in ipairs(lines) do
    local item = sale.items[line.sku]
    if item.available < line.quantity then
      if item.available == 0 then reason = 'SOLD_OUT' end
      may_change = may_change and item.available + item.held - (own and kept_units(own, line.sku) or 0) >= line.quantity
      local at = #short
      short[at + 1], short[at + 2], short[at + 3], short[at + 4] = line.sku, line.quantity, item.available, item.held
    end
  end
  return {reason, seen_seq(shard), may_change and until_next_expiry(shard, sale, own) or -1, unpack(short)}
end

local function judge_shortage(shard, sale, requests, at)
  local lines = requests.lines[at]
  if not expire_overdue(shard, sale) then return {'CALL_AGAIN'} end
  if not is_short(sale, lines) then return nil end
  lines.short_sale, lines.short_events, lines.short_at = sale, #shard.events, at
  return shortage(shard, sale, lines, requests.own)
end

-- Equal lines get the place of the request that first got the result, until something changes.
local function judge_stock(shard, sale, requests, at)
  local lines = requests.lines[at]
  if lines.short_sale == sale and lines.short_events == #shard.events then return lines.short_at end
  if is_short(sale, lines) then return judge_shortage(shard, sale, requests, at) end
end

-- What a buyer has of a limited item: units held, and units sold.
local function limited_units(sale, buyer, sku)
  local name = name_of_limited(buyer, sku)
  return sale.held[name] or 0, sale.sold[name] or 0
end

-- The first line, in their order, that would take the buyer over the limit of its item.
local function line_over_limit(sale, buyer, lines)
  if not sale.is_limited then return nil end
  for at = 1, #lines do
    local line = lines[at]
    local limit = sale.items[line.sku].limit
    if limit then
      local held, sold = limited_units(sale, buyer, line.sku)
      if held + sold + line.quantity > limit then return line end
    end
  end
end

-- Whether what the buyer owns, which time does not take away, leaves room for every line.
local function sold_leaves_room(sale, buyer, lines, own)
  for _, line in ipairs(lines) do
    local limit = sale.items[line.sku].limit
    if limit then
      local _, sold = limited_units(sale, buyer, line.sku)
      if sold + (own and kept_units(own, line.sku) or 0) + line.quantity > limit then return false end
    end
  end
  return true
end

-- Reads the units of all buyers of the sale's requests.
local function load_buyers(sale, requests)
  local names, asked, buyers, lines = {}, sale.asked, requests.buyers, requests.lines
  if #asked == #buyers and not sale.is_limited then
    names = buyers
  else
    for number = 1, #asked do add_account_names(sale, names, buyers[asked[number]], lines[asked[number]]) end
  end
  load_accounts(sale, names)
  sale.are_buyers_read = true
end

-- Has the buyers read also where there is no limit: granting needs them.
local function judge_item_limits(shard, sale, requests, at)
  local buyer, lines, own = requests.buyers[at], requests.lines[at], requests.own
  if not sale.are_buyers_read then load_buyers(sale, requests) end
  if not line_over_limit(sale, buyer, lines) then return nil end
  if not expire_overdue(shard, sale) then return {'CALL_AGAIN'} end
  local line = line_over_limit(sale, buyer, lines)
  if not line then return nil end
  local held, sold = limited_units(sale, buyer, line.sku)
  local retry = sold_leaves_room(sale, buyer, lines, own) and until_next_expiry(shard, sale, own) or -1
  return {'ITEM_LIMIT', seen_seq(shard), retry, math.max(0, sale.items[line.sku].limit - held - sold), line.sku}
end

local function is_over_limit(sale, buyer, units)
  return units > 0 and (sale.held[buyer] or 0) + (sale.sold[buyer] or 0) + units > sale.settings.buyer_limit
end

local function judge_limit(shard, sale, requests, at)
  local buyer, units, own, limit = requests.buyers[at], requests.lines[at].units, requests.own, sale.settings.buyer_limit
  if limit == 0 or not is_over_limit(sale, buyer, units) then return nil end
  if not expire_overdue(shard, sale) then return {'CALL_AGAIN'} end
  if not is_over_limit(sale, buyer, units) then return nil end
  local held, sold = sale.held[buyer] or 0, sale.sold[buyer] or 0
  local may_change, remaining = sold + (own and kept_units(own) or 0) + units <= limit, math.max(0, limit - held - sold)
  return {'BUYER_LIMIT', seen_seq(shard), may_change and until_next_expiry(shard, sale, own) or -1, remaining}
end
