-- sale_reply.lua: a sale as replies carry it. Uses sale.

-- The result, then the settings as they are packed, then a list of `sku, available, held, sold, limit` for all its items; the limit
-- of one that has none is 0.
local function sale_reply(result, sale)
  local items = {}
  local fields = redis.call('HGETALL', sale.key)
  local reply
  for at = 1, #fields, 2 do
    local sku = string.match(fields[at], '^item:(.*)$')
    if sku then
      local item = item_from_text(fields[at + 1])
      local values = {sku, item.available, item.held, item.sold, item.limit or 0}
      for _, value in ipairs(values) do items[#items + 1] = value end
    elseif fields[at] == 'settings' then
      reply = {result, cmsgpack.unpack(fields[at + 1])}
    end
  end
  reply[#reply + 1] = items
  return reply
end
