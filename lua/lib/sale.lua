-- sale.lua: what is kept of a sale, read into tables on which a call works. Uses record.
-- For each sale of a call there are four KEYS more, behind those of its shard:
--   sale          hash: `settings` (packed), and an `item:<sku>` for each item: "available held sold", and for a limited
--                 item the units of it that one buyer may have; and `at`, the commit that changed the sale or one of its
--                 reservations last, "epoch-seq", not there after a load
--   reservations  hash: id -> record (packed)
--   expiry        zset: id of a hold -> when it ends, in ms
--   buyers        hash: buyer -> "held sold", in units; and buyer/sku -> the same of a limited item

local function item_from_text(text)
  local available, held, sold = string.match(text, '^(%d+) (%d+) (%d+)$')
  local limit
  if not available then available, held, sold, limit = string.match(text, '^(%d+) (%d+) (%d+) (%d+)$') end
  return {available = tonumber(available), held = tonumber(held), sold = tonumber(sold), limit = tonumber(limit)}
end

local function buyer_from_text(text)
  local held, sold = string.match(text, '^(%d+) (%d+)$')
  return {held = tonumber(held), sold = tonumber(sold)}
end

-- Names a sale of the call whose keys begin at `first` (by default, those of the first sale at 4): nothing is read yet.
local function open_sale(shard, number, first)
  first = first or 4 * number
  local sale = {
    key = KEYS[first], reservations_key = KEYS[first + 1], expiry_key = KEYS[first + 2], buyers_key = KEYS[first + 3],
    items = {}, records = {}, buyers = {}, -- what was read, false for what is not there
    changed_items = {}, changed_records = {}, changed_buyers = {}, changed_expiry = {},
  }
  shard.sales[number] = sale
  return sale
end

-- The sale as `due` has it: "tenant/id".
local function name_of(sale)
  return string.match(sale.key, '}:sale:(.*)$')
end

local MAX_NAMES = 1000 -- of fields in one command: `unpack` fails from 8,000 values

-- Reads the fields of a hash that are not in `known` yet, under a prefix or nil; what is not there becomes false.
local function load_fields(key, prefix, names, known, decode)
  local missing, fields, count = {}, {}, 0
  for at = 1, #names do
    local name = names[at]
    if known[name] == nil then
      known[name], count = false, count + 1
      missing[count], fields[count] = name, prefix and prefix .. name or name
    end
  end
  for first = 1, count, MAX_NAMES do
    local values = redis.call('HMGET', key, unpack(fields, first, math.min(first + MAX_NAMES - 1, count)))
    for at = 1, #values do
      if values[at] then known[missing[first + at - 1]] = decode(values[at]) end
    end
  end
end

local function load_items(sale, skus)
  load_fields(sale.key, 'item:', skus, sale.items, item_from_text)
end

local function load_records(sale, ids)
  load_fields(sale.reservations_key, nil, ids, sale.records, record_from_bytes)
end

-- The name under which a buyer's units of a limited item are kept.
local function name_of_limited(buyer, sku)
  return buyer .. '/' .. sku
end

-- Adds the names of the accounts of a buyer that these lines touch. Their items must have been read.
local function add_account_names(sale, names, buyer, lines)
  names[#names + 1] = buyer
  for at = 1, #lines do
    local item = sale.items[lines[at].sku]
    if item and item.limit then names[#names + 1] = name_of_limited(buyer, lines[at].sku) end
  end
end

local function load_buyers(sale, names)
  load_fields(sale.buyers_key, nil, names, sale.buyers, buyer_from_text)
  for at = 1, #names do
    sale.buyers[names[at]] = sale.buyers[names[at]] or {held = 0, sold = 0}
  end
end
