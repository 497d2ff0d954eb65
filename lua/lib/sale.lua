-- sale.lua: what is kept of a sale, read into tables on which a call works. Uses record.
-- For each sale of a call there are four KEYS more, behind those of its shard:
--   sale          hash: `settings` (packed), and an `item:<sku>` for each item: "available held sold", and for a limited
--                 item the units of it that one buyer may have; `at`, the commit that changed the sale or one of its
--                 reservations last, "epoch-seq", not there after a load; and `due`, a moment in ms: the zset `due` has
--                 the sale at this moment, or earlier after a load. Where the field is missing, nothing is known
--   reservations  hash: id -> record (packed)
--   expiry        zset: id of a hold -> when it ends, in ms
--   buyers        hash: buyer -> "held sold", in units; and buyer/sku -> the same of a limited item

local function item_from_text(text)
  local available, held, sold, limit = string.match(text, '^(%d+) (%d+) (%d+) ?(%d*)$')
  return {available = available + 0, held = held + 0, sold = sold + 0, limit = limit ~= '' and limit + 0 or nil,
    changed = false}
end

-- The units held and sold of a buyer.
local function units_from_account(text)
  local held, sold = string.match(text, '^(%d+) (%d+)$')
  return held + 0, sold + 0
end

-- Names a sale of the call whose keys begin at `first` (by default, those of the first sale at 4): nothing is read yet.
local function open_sale(shard, number, first)
  first = first or 4 * number
  local sale = {
    key = KEYS[first], reservations_key = KEYS[first + 1], expiry_key = KEYS[first + 2], buyers_key = KEYS[first + 3],
    items = {}, records = {}, -- what was read, nil or false for what is not there; `record_of` has a record
    held = false, sold = false, -- once accounts were read: units by account, the name of a buyer, or of one with a limited item
    changes = false, -- once there are some, as `changes_of` has them
  }
  shard.sales[number] = sale
  return sale
end

-- What the commit will write, but for items that are `changed`: names of the records and accounts that were changed above;
-- id, record ..; end of a hold, id ..; ids of holds that ended; settings; the first of `ends`; whether the first hold ended.
local function changes_of(sale)
  local changes = sale.changes
  if not changes then
    changes = {records = {}, accounts = {}, new_records = {}, ends = {}, ended = {}, settings = false, first_end = false,
      is_first_gone = false}
    sale.changes = changes
  end
  return changes
end

-- The sale as `due` has it: "tenant/id".
local function name_of(sale)
  return string.match(sale.key, '}:sale:(.*)$')
end

local MAX_NAMES = 1000 -- of fields in one command: `unpack` fails from 8,000 values

-- Reads fields of a hash into `known`, but for those that are there already; a field that the hash lacks is not there.
local function load_fields(key, fields, known)
  for first = 1, #fields, MAX_NAMES do
    local last = math.min(first + MAX_NAMES - 1, #fields)
    local values = redis.call('HMGET', key, unpack(fields, first, last))
    for at = 1, #values do
      local value = values[at]
      if value then
        local name = fields[first + at - 1]
        if known[name] == nil then known[name] = value end
      end
    end
  end
end

-- Adds an item to the sale, or false, as the value of its field has it. While `is_limited` is nil, no item that was read has
-- a limit of its own.
local function note_item(sale, sku, text)
  local item = text and item_from_text(text)
  sale.items[sku] = item
  if item and item.limit then sale.is_limited = true end
end

local function load_items(sale, skus)
  local fields, texts = {}, {}
  for at = 1, #skus do fields[at] = 'item:' .. skus[at] end
  load_fields(sale.key, fields, texts)
  for at = 1, #skus do
    if sale.items[skus[at]] == nil then note_item(sale, skus[at], texts[fields[at]]) end
  end
end

local function load_records(sale, ids)
  load_fields(sale.reservations_key, ids, sale.records)
end

-- A record that was read or made, false if there is none. It is unpacked when it is first asked for.
local function record_of(sale, id)
  local record = sale.records[id]
  if type(record) == 'string' then
    record = record_from_bytes(record)
    sale.records[id] = record
  end
  return record
end

-- The name under which a buyer's units of a limited item are kept.
local function name_of_limited(buyer, sku)
  return buyer .. '/' .. sku
end

-- Adds the names of the accounts of a buyer that these lines touch. Their items must have been read.
local function add_account_names(sale, names, buyer, lines)
  names[#names + 1] = buyer
  if not sale.is_limited then return end
  for at = 1, #lines do
    local item = sale.items[lines[at].sku]
    if item and item.limit then names[#names + 1] = name_of_limited(buyer, lines[at].sku) end
  end
end

-- Reads accounts, but for those that were read before; one that is not there has no units, and is nil.
local function load_accounts(sale, names)
  sale.held, sale.sold = sale.held or {}, sale.sold or {}
  local held, sold, texts = sale.held, sale.sold, {}
  load_fields(sale.buyers_key, names, texts)
  for name, text in pairs(texts) do
    if not held[name] then held[name], sold[name] = units_from_account(text) end
  end
end
