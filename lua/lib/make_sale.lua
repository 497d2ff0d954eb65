-- make_sale.lua: what making a sale and changing one needs: all its settings, and new items. Uses sale settings.

-- Makes an item of which nothing is held or sold; `limit` is 0 for none.
local function add_item(sale, sku, total, limit)
  local is_limited = tonumber(limit) > 0
  sale.items[sku] = {available = tonumber(total), held = 0, sold = 0, limit = is_limited and tonumber(limit) or nil,
    changed = true}
end

-- All settings, in the order in which they are packed. A repeated CreateSale has the same `fingerprint`, a reuse of the id
-- another.
local function load_all_settings(sale)
  load_settings(sale, {})
  local settings = sale.settings
  if not settings then return end
  settings.start_ms, settings.end_ms, settings.hold_ttl_ms, settings.max_hold_ttl_ms, settings.buyer_limit,
    settings.attempts_per_minute, settings.return_window_ms, settings.paused, settings.close_ms, settings.release_ms,
    settings.epoch, settings.seq, settings.index, settings.create_ms, settings.update_ms, settings.title,
    settings.fingerprint, settings.release_reason = cmsgpack.unpack(redis.call('HGET', sale.key, 'settings'))
end

local function bytes_from_settings(settings)
  return cmsgpack.pack(settings.start_ms, settings.end_ms, settings.hold_ttl_ms, settings.max_hold_ttl_ms,
    settings.buyer_limit, settings.attempts_per_minute, settings.return_window_ms, settings.paused, settings.close_ms,
    settings.release_ms, settings.epoch, settings.seq, settings.index, settings.create_ms, settings.update_ms,
    settings.title, settings.fingerprint, settings.release_reason)
end
