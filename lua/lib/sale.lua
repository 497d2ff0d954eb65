-- sale.lua: what is kept of a sale, read into tables on which a call works. Uses record.
-- For each sale of a call there are four KEYS more, behind those of its shard:
--   sale          hash: `settings` (packed), and an `item:<sku>` for each item: "available held sold", and for a limited
--                 item the units of it that one buyer may have
--   reservations  hash: id -> record (packed)
--   expiry        zset: id of a hold -> when it ends, in ms
--   buyers        hash: buyer -> "held sold", in units; and buyer/sku -> the same of a limited item

local function item_from_text(text)
  local available, held, sold = string.match(text, '^(%d+) (%d+) (%d+)$')
  local limit
  if not available then available, held, sold, limit = string.match(text, '^(%d+) (%d+) (%d+) (%d+)$') end
  return {available = tonumber(available), held = tonumber(held), sold = tonumber(sold), limit = tonumber(limit)}
end

-- Makes an item of which nothing is held or sold; `limit` is 0 for none.
local function add_item(sale, sku, total, limit)
  local is_limited = tonumber(limit) > 0
  sale.items[sku] = {available = tonumber(total), held = 0, sold = 0, limit = is_limited and tonumber(limit) or nil}
  sale.changed_items[sku] = true
end

local function buyer_from_text(text)
  local held, sold = string.match(text, '^(%d+) (%d+)$')
  return {held = tonumber(held), sold = tonumber(sold)}
end

-- Names a sale of the call whose keys begin at `first` (by default, those of the first sale at 4): nothing is read yet.
local function open_sale(shard, number, first)
  first = first or 4 * number
  local sale = {
    first_key = first, key = KEYS[first], reservations_key = KEYS[first + 1], expiry_key = KEYS[first + 2], buyers_key = KEYS[first + 3],
    name = string.match(KEYS[first], '}:sale:(.*)$'),
    items = {}, records = {}, buyers = {}, -- what was read, false for what is not there
    changed_items = {}, changed_records = {}, changed_buyers = {}, changed_expiry = {},
  }
  shard.sales[number] = sale
  return sale
end

local MAX_NAMES = 1000 -- of fields in one command: `unpack` fails from 8,000 values

-- Reads the fields of a hash that are not in `known` yet; what is not there becomes false.
local function load_fields(key, prefix, names, known, decode)
  local missing, fields, count = {}, {}, 0
  for _, name in ipairs(names) do
    if known[name] == nil then
      known[name], count = false, count + 1
      missing[count], fields[count] = name, prefix .. name
    end
  end
  for first = 1, count, MAX_NAMES do
    local values = redis.call('HMGET', key, unpack(fields, first, math.min(first + MAX_NAMES - 1, count)))
    for at, value in ipairs(values) do
      if value then known[missing[first + at - 1]] = decode(value) end
    end
  end
end

local function load_items(sale, skus)
  load_fields(sale.key, 'item:', skus, sale.items, item_from_text)
end

local function load_records(sale, ids)
  load_fields(sale.reservations_key, '', ids, sale.records, record_from_bytes)
end

-- The name under which a buyer's units of a limited item are kept.
local function name_of_limited(buyer, sku)
  return buyer .. '/' .. sku
end

-- Reads the units of buyers, each with a list of lines: also those of the limited items in it. These must have been read.
local function load_buyers(sale, buyers, lines_of_buyers)
  local names = {}
  for at, buyer in ipairs(buyers) do
    names[#names + 1] = buyer
    for _, line in ipairs(lines_of_buyers[at]) do
      local item = sale.items[line.sku]
      if item and item.limit then names[#names + 1] = name_of_limited(buyer, line.sku) end
    end
  end
  load_fields(sale.buyers_key, '', names, sale.buyers, buyer_from_text)
  for _, name in ipairs(names) do
    sale.buyers[name] = sale.buyers[name] or {held = 0, sold = 0}
  end
end

-- Reads what a move of these reservations will touch.
local function load_accounts(sale, ids)
  local skus, buyers, lines_of_buyers = {}, {}, {}
  for _, id in ipairs(ids) do
    local record = sale.records[id]
    if record and record[FINGERPRINT] ~= '' then
      local units = units_of(record)
      buyers[#buyers + 1], lines_of_buyers[#buyers + 1] = terms_of(record).buyer, units
      for _, line in ipairs(units) do skus[#skus + 1] = line.sku end
    end
  end
  load_items(sale, skus)
  load_buyers(sale, buyers, lines_of_buyers)
end
