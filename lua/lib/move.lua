-- move.lua: a reservation moves from one state to another, and its units with it. Uses record sale settings event.

-- Where the units of a reservation lie, by its state: the account of the item.
local ACCOUNT = {
  [NEW] = 'available', [HELD] = 'held', [CONFIRMED] = 'sold', [RELEASED] = 'available',
  [EXPIRED] = 'available', [COMPENSATED] = 'available', [RETURNED] = 'available',
}

local MAX_EXPIRIES = 100 -- holds taken back by one call, so that no call blocks Redis for long

-- Transfers a reservation's units from one account to another, of each item and of the buyer.
local function transfer(sale, terms, from, to)
  for _, line in ipairs(terms.lines) do
    local item = sale.items[line.sku]
    item[from], item[to] = item[from] - line.quantity, item[to] + line.quantity
    assert(item[from] >= 0, 'an account below zero')
    sale.changed_items[line.sku] = true
  end
  if terms.buyer then
    local buyer = sale.buyers[terms.buyer] -- has no account `available`: what is available belongs to no buyer
    if buyer[from] then buyer[from] = buyer[from] - terms.units end
    if buyer[to] then buyer[to] = buyer[to] + terms.units end
    sale.changed_buyers[terms.buyer] = true
  end
end

-- Moves a reservation on (or makes it, from NEW): the one place where units change account and an event is added.
-- Its items and buyer must have been read.
local function move(shard, sale, id, record, state)
  local previous = record[STATE]
  transfer(sale, terms_of(record), ACCOUNT[previous], ACCOUNT[state])
  record[STATE], record[REVISION], record[UPDATE_MS] = state, record[REVISION] + 1, shard.now
  record[EPOCH], record[SEQ], record[INDEX] = shard.epoch, shard.seq + 1, #shard.events
  add_event(shard, change_event(record, previous))
  sale.records[id], sale.changed_records[id] = record, true
  if state == HELD then sale.changed_expiry[id] = record[EXPIRE_MS]
  elseif previous == HELD then sale.changed_expiry[id] = false end
end

-- Takes back the overdue holds of a sale, and the released ones, the longest overdue first. False if they are more than
-- the call may take back. The sale's settings must have been read.
local function expire_overdue(shard, sale)
  if sale.overdue_cleared ~= nil then return sale.overdue_cleared end
  local room = MAX_EXPIRIES - shard.expired
  local ids = redis.call('ZRANGEBYSCORE', sale.expiry_key, '-inf', last_due(shard, sale), 'LIMIT', 0, room + 1)
  sale.overdue_cleared = #ids <= room
  if #ids > room then ids[#ids] = nil end
  load_records(sale, ids)
  load_accounts(sale, ids)
  for _, id in ipairs(ids) do
    local record = sale.records[id]
    local state = effective(shard, sale, record)
    if state == RELEASED then record[NOTE] = sale.settings.release_reason end
    move(shard, sale, id, record, state)
  end
  shard.expired = shard.expired + #ids
  return sale.overdue_cleared
end
