-- sale.lua: what is kept of a sale, read into tables on which a call works. Uses record.
-- For each sale of a call there are four KEYS more, behind those of its shard:
--   sale          hash: `settings` (packed), and an `item:<sku>` for each item: "available held sold"
--   reservations  hash: id -> record (packed)
--   expiry        zset: id of a hold -> when it ends, in ms
--   buyers        hash: buyer -> "held sold", in units

local function item_from_text(text)
  local available, held, sold = string.match(text, '^(%d+) (%d+) (%d+)$')
  return {available = tonumber(available), held = tonumber(held), sold = tonumber(sold)}
end

local function buyer_from_text(text)
  local held, sold = string.match(text, '^(%d+) (%d+)$')
  return {held = tonumber(held), sold = tonumber(sold)}
end

-- Names sale number `number` of the call, where the keys of sales begin at `first_key` (4 if not given): nothing is read
-- yet.
local function open_sale(shard, number, first_key)
  local first = (first_key or 4) + 4 * (number - 1)
  local sale = {
    key = KEYS[first], reservations_key = KEYS[first + 1], expiry_key = KEYS[first + 2], buyers_key = KEYS[first + 3],
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

local function load_buyers(sale, buyers)
  load_fields(sale.buyers_key, '', buyers, sale.buyers, buyer_from_text)
  for _, buyer in ipairs(buyers) do
    sale.buyers[buyer] = sale.buyers[buyer] or {held = 0, sold = 0}
  end
end

-- Reads what a move of these reservations will touch.
local function load_accounts(sale, ids)
  local skus, buyers = {}, {}
  for _, id in ipairs(ids) do
    local record = sale.records[id]
    if record and record[FINGERPRINT] ~= '' then
      buyers[#buyers + 1] = terms_of(record).buyer
      for _, line in ipairs(units_of(record)) do skus[#skus + 1] = line.sku end
    end
  end
  load_items(sale, skus)
  load_buyers(sale, buyers)
end
