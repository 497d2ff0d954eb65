-- commit.lua: writes what a call changed, the outbox entry first. Uses record sale.
-- A script judges in tables and calls `commit` last: nothing is refused after the first write.

-- %d, because Lua by itself writes 10^14 as 1e+14.
local function text_from_item(item)
  local text = string.format('%d %d %d', item.available, item.held, item.sold)
  return item.limit and string.format('%s %d', text, item.limit) or text
end

-- Calls a command on these values, as many of them at once as `unpack` can take.
local function call_in_chunks(command, key, values)
  for first = 1, #values, 2 * MAX_NAMES do
    redis.call(command, key, unpack(values, first, math.min(first + 2 * MAX_NAMES - 1, #values)))
  end
end

-- Writes the items that changed, `at`, the commit that did: by it a watch sees whether to read the sale again, and when
-- the sale is `due`, if that changed.
local function write_items(sale, commit_id, due)
  local fields, settings = {'at', commit_id}, sale.changes.settings
  if settings then fields[3], fields[4] = 'settings', settings end
  if due then fields[#fields + 1], fields[#fields + 2] = 'due', due end
  for sku, item in pairs(sale.items) do
    if item and item.changed then
      local count = #fields
      fields[count + 1], fields[count + 2] = 'item:' .. sku, text_from_item(item)
    end
  end
  call_in_chunks('HSET', sale.key, fields)
end

-- Writes the reservations that Reserve made and those that moved.
local function write_records(sale)
  local fields = sale.changes.new_records
  for id in pairs(sale.changes.records) do
    local count = #fields
    fields[count + 1], fields[count + 2] = id, bytes_from_record(sale.records[id])
  end
  call_in_chunks('HSET', sale.reservations_key, fields)
end

-- Writes the accounts that changed, and drops those that have no units left.
local function write_accounts(sale)
  local fields, count, empty, held, sold = {}, 0, nil, sale.held, sale.sold
  local last_held, last_sold, text -- buyers of a flash sale mostly have the same
  for name in pairs(sale.changes.accounts) do
    local held_units, sold_units = held[name] or 0, sold[name] or 0
    if held_units == 0 and sold_units == 0 then
      empty = empty or {}
      empty[#empty + 1] = name
    else
      if held_units ~= last_held or sold_units ~= last_sold then
        last_held, last_sold = held_units, sold_units
        text = string.format('%d %d', held_units, sold_units)
      end
      fields[count + 1], fields[count + 2], count = name, text, count + 2
    end
  end
  call_in_chunks('HSET', sale.buyers_key, fields)
  if empty then call_in_chunks('HDEL', sale.buyers_key, empty) end
end

-- When the first hold ends of those that a sale has now. While it has holds that were released, it is due since that moment.
local function first_due(sale)
  local first, release_ms = redis.call('ZRANGE', sale.expiry_key, 0, 0, 'WITHSCORES'), sale.settings.release_ms
  return first[2] and release_ms > 0 and release_ms or first[2] or '+inf'
end

-- Writes when holds end, and returns when the sale is due by that, nil where that does not change: holds that are added can
-- but bring it forward, and others change it only if they were the first to end.
local function write_ends(sale)
  local changes, due = sale.changes, nil
  local first_end = changes.first_end
  if first_end then redis.call('ZADD', sale.expiry_key, unpack(changes.ends)) end
  if #changes.ended > 0 then redis.call('ZREM', sale.expiry_key, unpack(changes.ended)) end
  if changes.is_first_gone then
    due = first_due(sale)
    redis.call('ZADD', KEYS[3], due, name_of(sale))
  elseif first_end and first_end < sale.due_ms then
    due = first_end
    redis.call('ZADD', KEYS[3], 'LT', due, name_of(sale))
  end
  return due
end

local function write_sale(sale, commit_id)
  if not sale.changes then return end
  write_items(sale, commit_id, write_ends(sale))
  write_records(sale)
  write_accounts(sale)
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
