-- commit.lua: writes what a call changed, the outbox entry first. Uses record sale.
-- A script judges in tables and calls `commit` last: nothing is refused after the first write.

-- %d, because Lua by itself writes 10^14 as 1e+14.
local function text_from_item(item)
  local text = string.format('%d %d %d', item.available, item.held, item.sold)
  return item.limit and string.format('%s %d', text, item.limit) or text
end

local function text_from_buyer(buyer)
  return (buyer.held > 0 or buyer.sold > 0) and string.format('%d %d', buyer.held, buyer.sold)
end

-- Calls a command on these values, as many of them at once as `unpack` can take.
local function call_in_chunks(command, key, values)
  for first = 1, #values, 2 * MAX_NAMES do
    redis.call(command, key, unpack(values, first, math.min(first + 2 * MAX_NAMES - 1, #values)))
  end
end

-- Writes the named entries of a hash behind those in `set`, and drops those that `encode` answers false for.
local function write_fields(key, prefix, names, known, encode, set)
  local drop, count = {}, #set
  for name in pairs(names) do
    local field_name, value = prefix and prefix .. name or name, encode(known[name])
    if value then
      set[count + 1], set[count + 2], count = field_name, value, count + 2
    else
      drop[#drop + 1] = field_name
    end
  end
  call_in_chunks('HSET', key, set)
  call_in_chunks('HDEL', key, drop)
end

-- Writes when holds end, and when the first of the sale's does; holds that are only added can but bring that forward.
-- While a sale has holds that were released, it is due since that moment.
local function write_expiry(sale)
  if next(sale.changed_expiry) == nil then return end
  local add, drop, count, earliest = {}, {}, 0, nil
  for id, expire_ms in pairs(sale.changed_expiry) do
    if expire_ms then
      add[count + 1], add[count + 2], count = expire_ms, id, count + 2
      if not earliest or expire_ms < earliest then earliest = expire_ms end
    else
      drop[#drop + 1] = id
    end
  end
  if count > 0 then redis.call('ZADD', sale.expiry_key, unpack(add)) end
  if #drop == 0 and not sale.has_extended then
    redis.call('ZADD', KEYS[3], 'LT', earliest, name_of(sale))
    return
  end
  if #drop > 0 then redis.call('ZREM', sale.expiry_key, unpack(drop)) end
  local first = redis.call('ZRANGE', sale.expiry_key, 0, 0, 'WITHSCORES')
  local due_ms = first[2] or '+inf'
  if first[2] and sale.settings.release_ms > 0 then due_ms = sale.settings.release_ms end
  redis.call('ZADD', KEYS[3], due_ms, name_of(sale))
end

-- Writes what changed of a sale, and in `at` the commit that did: by it a watch sees whether to read the sale again.
local function write_sale(sale, commit_id)
  local settings = sale.changed_settings
  if not settings and next(sale.changed_records) == nil and next(sale.changed_items) == nil then return end
  local first = settings and {'at', commit_id, 'settings', settings} or {'at', commit_id}
  write_fields(sale.key, 'item:', sale.changed_items, sale.items, text_from_item, first)
  write_fields(sale.reservations_key, nil, sale.changed_records, sale.records, bytes_from_record, {})
  write_fields(sale.buyers_key, nil, sale.changed_buyers, sale.buyers, text_from_buyer, {})
  write_expiry(sale)
end

-- Writes everything that the call changed; a call that changed nothing writes nothing.
local function commit(shard)
  if #shard.events == 0 then return end
  local payload = struct.pack('<BI8', 0x09, shard.now) .. table.concat(shard.events)
  local hash = redis.sha1hex(shard.hash .. payload)
  shard.seq = shard.seq + 1
  local commit_id = string.format('%.0f-%.0f', shard.epoch, shard.seq)
  redis.call('XADD', KEYS[2], commit_id, 'p', payload, 'h', hash)
  redis.call('HSET', KEYS[1], 'seq', shard.seq, 'hash', hash, 'time', shard.now)
  for _, sale in ipairs(shard.sales) do write_sale(sale, commit_id) end
end
