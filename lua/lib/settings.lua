-- settings.lua: the settings of a sale, packed in the field `settings` of its hash. Uses sale.

-- They are packed and replied in this order; StoredSettings of shard_load.py has the same. `end_ms` is -1 for a sale
-- without end, `close_ms` 0 for one that is not closed, `release_ms` 0 unless the close released its holds; `epoch`,
-- `seq` and `index` are the position of the last change of a setting; a repeated CreateSale has the same `fingerprint`,
-- a reuse of the id another.
local function settings_from_bytes(bytes)
  local settings = {}
  settings.start_ms, settings.end_ms, settings.hold_ttl_ms, settings.max_hold_ttl_ms, settings.buyer_limit,
    settings.attempts_per_minute, settings.return_window_ms, settings.paused, settings.close_ms, settings.release_ms,
    settings.epoch, settings.seq, settings.index, settings.create_ms, settings.update_ms, settings.title,
    settings.fingerprint, settings.release_reason = cmsgpack.unpack(bytes)
  return settings
end

local function bytes_from_settings(settings)
  return cmsgpack.pack(settings.start_ms, settings.end_ms, settings.hold_ttl_ms, settings.max_hold_ttl_ms,
    settings.buyer_limit, settings.attempts_per_minute, settings.return_window_ms, settings.paused, settings.close_ms,
    settings.release_ms, settings.epoch, settings.seq, settings.index, settings.create_ms, settings.update_ms,
    settings.title, settings.fingerprint, settings.release_reason)
end

-- Reads the settings, and the stock of these items, in one command; what is not there becomes false.
local function load_settings(sale, skus)
  local fields, missing, count = {'settings'}, {}, 0
  for _, sku in ipairs(skus) do
    if sale.items[sku] == nil then
      sale.items[sku], count = false, count + 1
      missing[count], fields[count + 1] = sku, 'item:' .. sku
    end
  end
  local values = redis.call('HMGET', sale.key, unpack(fields))
  sale.settings = values[1] and settings_from_bytes(values[1])
  for at = 1, count do
    if values[at + 1] then sale.items[missing[at]] = item_from_text(values[at + 1]) end
  end
end

-- The latest end of a hold that is to be taken back: now or, of a sale whose holds were released, any. An absent sale has
-- no holds.
local function last_due(shard, sale)
  local is_released = sale.settings and sale.settings.release_ms > 0
  return is_released and '+inf' or shard.now
end
