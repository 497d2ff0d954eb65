-- settings.lua: what judging needs of the settings of a sale, packed in the field `settings` of its hash. Uses sale.

-- They are packed and replied in the order in which they are unpacked here; StoredSettings of shard_load.py has the same.
-- `end_ms` is -1 for a sale without end, `close_ms` 0 for one that is not closed, `release_ms` 0 unless the close released
-- its holds; `epoch`, `seq` and `index` are the position of the last change of a setting. What is `_` here only calls that
-- make or change a sale read. The table is made at once, and has at most 16 fields: a larger one, or one that grows field
-- by field, costs a lone Reserve a twentieth more.
local function settings_from_bytes(bytes)
  local start_ms, end_ms, hold_ttl_ms, max_hold_ttl_ms, buyer_limit, attempts_per_minute, return_window_ms, paused,
    close_ms, release_ms, epoch, seq, index, _, _, _, _, release_reason = cmsgpack.unpack(bytes)
  return {
    start_ms = start_ms, end_ms = end_ms, hold_ttl_ms = hold_ttl_ms, max_hold_ttl_ms = max_hold_ttl_ms,
    buyer_limit = buyer_limit, attempts_per_minute = attempts_per_minute, return_window_ms = return_window_ms,
    paused = paused, close_ms = close_ms, release_ms = release_ms, epoch = epoch, seq = seq, index = index,
    release_reason = release_reason,
  }
end

-- Reads the settings, when the sale is due, and the stock of these items, in one command; what is not there becomes false.
local function load_settings(sale, skus)
  local fields = {'settings', 'due'}
  for at = 1, #skus do fields[at + 2] = 'item:' .. skus[at] end
  local values = redis.call('HMGET', sale.key, unpack(fields))
  sale.settings = values[1] and settings_from_bytes(values[1])
  sale.due_ms = (values[2] or math.huge) + 0
  for at = 1, #skus do note_item(sale, skus[at], values[at + 2]) end
end

-- Reads what a move of these reservations will touch, and the settings unless they were read. The records must have been.
local function load_moved(sale, ids)
  local moved, skus, names = {}, {}, {}
  for at = 1, #ids do
    local record = record_of(sale, ids[at])
    if record and record[FINGERPRINT] ~= '' then
      local units = units_of(record)
      moved[#moved + 1] = record
      for line_at = 1, #units do skus[#skus + 1] = units[line_at].sku end
    end
  end
  if sale.settings == nil then load_settings(sale, skus) else load_items(sale, skus) end
  for at = 1, #moved do add_account_names(sale, names, terms_of(moved[at]).buyer, units_of(moved[at])) end
  load_accounts(sale, names)
end

-- The latest end of a hold that is to be taken back: now or, of a sale whose holds were released, any. An absent sale has
-- no holds.
local function last_due(shard, sale)
  local is_released = sale.settings and sale.settings.release_ms > 0
  return is_released and '+inf' or shard.now
end
