-- entries.lua: entries of a hash that is read page by page, or by name.

-- Names and values in turn, and the next cursor. Without names a page from this cursor, of about so many entries.
local function read_entries(hash, cursor, count, names)
  if #names == 0 then
    local found = redis.call('HSCAN', hash, cursor, 'COUNT', count)
    return found[2], found[1]
  end
  local entries, values = {}, redis.call('HMGET', hash, unpack(names))
  for at = 1, #values do
    if values[at] then entries[#entries + 1], entries[#entries + 2] = names[at], values[at] end
  end
  return entries, '0'
end
